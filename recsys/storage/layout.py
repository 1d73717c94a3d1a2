"""Every key of the object store, in one place.

::

    archives/<dataset>/<digest>/<file>            source bytes, as they came; <file>.json is written last
    staging/<ingest_id>/<table>.parquet           parsed, not yet trusted; manifest.json is written last
    staging/<ingest_id>/faults.parquet            rows the validation takes out of them
    snapshots/<snapshot_id>/<table>.parquet       immutable, quarantine and seen among them; manifest.json is last
    reports/validation/<ingest_id>.{html,json}
    reports/data-docs/<ingest_id>/index.html      Great Expectations' own pages
    reports/eda/<snapshot_id>.{html,json}
    splits/<split_id>/{train,holdout}.parquet     immutable; manifest.json is written last
    models/<run_id>/...                           trials, fitted factors and evaluation of a training run
    models/_champions/<name>/00000042.json        promotions of a registered model, create-only; 00000042.done.json
    scratch/<owner_id>/...                        what tasks of one search or scoring share; gone when it ends
    tables/version=<v>/<table>/part-*.parquet     immutable; manifest.json is written last
    tables/_releases/00000042.json                create-only: the point of truth
    tables/current.json                           convenience pointer, overwritten last
    posters/images/<movie_id>.jpg                 with posters/manifest.json beside them
"""

import hashlib
import re

MANIFEST = "manifest.json"
TABLES = "tables"
RELEASES = f"{TABLES}/_releases"
CURRENT = f"{TABLES}/current.json"
REPORTS = "reports"
POSTERS = "posters"
POSTER_MANIFEST = f"{POSTERS}/{MANIFEST}"


def safe_id(text: str) -> str:
    """A run's or a data set's name as one part of a key: letters, digits, ``.``, ``_`` and ``-`` only.

    A name that had to be changed gets eight digits of its digest, so different names stay different.

    >>> safe_id("ml-latest-small")
    'ml-latest-small'
    >>> safe_id("manual__2025-01-01T00:00:00+00:00")
    'manual__2025-01-01T00-00-00-00-00-31d00d8e'
    >>> safe_id("a:b") == safe_id("a+b")
    False
    """
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", text).strip(".-") or "id"
    if plain == text and len(text) <= 100:
        return text
    return _with_digest(plain, text)


def _with_digest(plain: str, text: str) -> str:
    return f"{plain[:91]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def archives(dataset: str = "") -> str:
    """The prefix of a data set's archives, or of all."""
    return f"archives/{dataset}/" if dataset else "archives/"


def run_key(run_id: str) -> str:
    """The id of what a scheduled run writes, from the scheduler's own id of it: the same on a retry, and of no other.

    Ids that differ in case or punctuation alone give different keys, also where file names have no case.

    >>> run_key("manual__2025-01-01T00:00:00+00:00")
    'manual-2025-01-01T00-00-00-00-00-31d00d8e'
    """
    return _with_digest(_readable(run_id) or "run", run_id)


def former_run_key(run_id: str) -> str:
    """What `run_key` was before it told all runs apart: reports of old runs still stand under it."""
    return safe_id(_readable(run_id))


def _readable(run_id: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", run_id).strip("-")


def archive(dataset: str, digest: str, filename: str) -> str:
    return f"{archives(dataset)}{digest[:16]}/{filename}"


def archive_note(archive_key: str) -> str:
    """What is known of an archive (source, digest, identity there), written after it."""
    return f"{archive_key}.json"


def staging(ingest_id: str) -> str:
    """The folder of an ingest; like `snapshot` and `split`, without a name the prefix of all of them."""
    return f"staging/{ingest_id}"


def staging_table(ingest_id: str, table: str) -> str:
    return f"{staging(ingest_id)}/{table}.parquet"


def staging_manifest(ingest_id: str) -> str:
    return f"{staging(ingest_id)}/{MANIFEST}"


def snapshot(snapshot_id: str) -> str:
    return f"snapshots/{snapshot_id}"


def snapshot_table(snapshot_id: str, table: str) -> str:
    return f"{snapshot(snapshot_id)}/{table}.parquet"


def snapshot_manifest(snapshot_id: str) -> str:
    return f"{snapshot(snapshot_id)}/{MANIFEST}"


def staging_faults(ingest_id: str) -> str:
    """Rows the validation takes out of the staged tables, written after the parser's own quarantine."""
    return f"{staging(ingest_id)}/faults.parquet"


def validation_report(ingest_id: str, extension: str = "html") -> str:
    return f"{REPORTS}/validation/{ingest_id}.{extension}"


def data_docs(ingest_id: str) -> str:
    """The folder of Great Expectations' own pages about an ingest; they start at ``index.html``."""
    return f"{REPORTS}/data-docs/{ingest_id}"


def eda_report(snapshot_id: str, extension: str = "html") -> str:
    return f"{REPORTS}/eda/{snapshot_id}.{extension}"


def split(split_id: str) -> str:
    return f"splits/{split_id}"


def split_manifest(split_id: str) -> str:
    return f"{split(split_id)}/{MANIFEST}"


def model(run_id: str) -> str:
    return f"models/{run_id}"


def recommender(model_prefix: str) -> str:
    return f"{model_prefix}/recommender.npz"


def model_record(model_prefix: str) -> str:
    """What a model was made of, and from which ratings; written before the model itself."""
    return f"{model_prefix}/model.json"


def trials(model_prefix: str) -> str:
    """The prefix of the trials of a search that were finished, each written when it was."""
    return f"{model_prefix}/trials/"


def trial(model_prefix: str, model: str, params: str) -> str:
    """A trial of the search of `model`, by its hyper-parameters as a text."""
    return f"{trials(model_prefix)}{model}-{hashlib.sha256(params.encode()).hexdigest()[:16]}.json"


def search(model_prefix: str) -> str:
    """Every trial of both searches, written when they are over."""
    return f"{model_prefix}/search.json"


def scratch(owner_id: str) -> str:
    """What is of use to one search or scoring alone, while it runs; without an id the prefix of all of them."""
    return f"scratch/{owner_id}"


def evaluation(model_prefix: str) -> str:
    return f"{model_prefix}/evaluation.json"


def comparison(model_prefix: str, champion_run_id: str | None) -> str:
    """A later verdict than `evaluation`, by the champion it is about; None: there was none any more."""
    return f"{model_prefix}/comparisons/{champion_run_id or 'without-champion'}.json"


def promotions(name: str) -> str:
    """The prefix of the promotions of a registered model."""
    return f"models/_champions/{safe_id(name)}/"


def promotion(name: str, number: int) -> str:
    return f"{promotions(name)}{number:08d}.json"


def promotion_done(name: str, number: int) -> str:
    """Written when the alias has followed a promotion."""
    return f"{promotions(name)}{number:08d}.done.json"


def version(version_id: str) -> str:
    return f"{TABLES}/version={version_id}"


def version_table(version_id: str, table: str) -> str:
    return f"{version(version_id)}/{table}"


def release(number: int) -> str:
    return f"{RELEASES}/{number:08d}.json"


def poster_image(movie_id: int) -> str:
    return f"{POSTERS}/images/{movie_id}.jpg"
