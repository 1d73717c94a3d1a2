"""The task of the ingest that keeps faulty rows out of a snapshot, and refuses tables that are faulty as such."""

import logging
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys import columns as c
from recsys.config import NO_RATINGS, IngestConfig, Settings
from recsys.errors import DataError, PermanentError
from recsys.ingest.formats.known_releases import RELEASES, Release
from recsys.ingest.parsers.counts import n_pairs
from recsys.ingest.validation import data_docs
from recsys.ingest.validation.limits import Baseline, Limits
from recsys.ingest.validation.quarantine import Examination, Removal, examine
from recsys.ingest.validation.rules import SUPERSEDED
from recsys.ingest.validation.validation_report import document, failure, headline, page
from recsys.rating_scales import HALF_STARS, parse_scale, propose_scale, stars_of
from recsys.spark.session import spark_session
from recsys.storage import layout
from recsys.storage.base import Store
from recsys.storage.opening import open_store
from recsys.storage.tables import read_json, read_schema, read_table, spark_table, write_json, write_table

log = logging.getLogger(__name__)

_BRIEF_ROWS = 1_000_000  # below this, Spark spends its time on compiling queries
_N_EXAMPLES = 2
_ROW_LENGTH = 80
_CAN_BE_SPARED = {
    *("unknown_movie", "blank_title", "blank_tag", "bad_genres", "bad_imdb_id", "bad_tmdb_id", "duplicate"),
    "bad_count",
}
_SETTINGS = {"not a time": "times=… (how they are written)", "ids=text": "ids=text"}
_N_NAMED = 5  # failed expectations and faulty rows an error message names; the report has more


def validate(parsed: Mapping[str, Any], config: IngestConfig, settings: Settings | None = None) -> dict[str, Any]:
    """Check the staged tables and set single faulty rows aside; the reports are written whatever comes out.

    Args:
        parsed: what `recsys.ingest.tasks.parse` returned: ``ingest_id``, ``dataset`` and the staged rows as
            ``n_<table>``; where known also ``release`` (its scale and counts apply), ``previous_snapshot_id`` (drift is
            measured against it), ``n_malformed`` and ``files`` (both by table) and ``is_invented``.
        config: its min_ratings, rating_scale, max_quarantined and max_drift are among the limits.
        settings: where things are; by default from the environment.

    Returns:
        ``report`` and ``data_docs`` (addresses of the pages), ``n_expectations``, ``n_quarantined`` (staged rows that
        were set aside, in `layout.staging_faults`), ``quarantined`` (the same by reason) and ``success``.

    Raises:
        DataError: the tables are faulty as such, or too many rows are; nothing is published.
        PermanentError: the data were not found wrong, but a check could not run.
        NotFoundError: a staged table is missing, or the snapshot before.
    """
    settings = settings or Settings.load()
    store = open_store(settings.resolved_store_url)
    ingest_id = str(parsed["ingest_id"])
    checked_at = datetime.now(UTC)
    limits = _limits(parsed, config, store, checked_at)
    with tempfile.TemporaryDirectory(dir=settings.tmp_dir, prefix="data-docs-") as folder:
        site = Path(folder)
        found = _examine(parsed, config, settings, limits, site)
        docs = _publish_docs(store, site, ingest_id)
    advice = " ".join(dict.fromkeys(_advice(removal, parsed, store) for removal in found.over))
    report = _publish_report(store, found, parsed, checked_at, advice)
    log.info("%s Report: %s. Data Docs: %s", headline(found), report, docs)
    if not found.success:
        raise _refusal(found, report, advice)
    write_table(store, layout.staging_faults(ingest_id), found.faults, overwrite=True)
    return {
        "report": report,
        "data_docs": docs,
        "n_expectations": len(found.first.outcomes),
        "n_quarantined": found.faults.num_rows,
        "quarantined": _by_reason(found),
        "success": True,
    }


def _examine(
    parsed: Mapping[str, Any], config: IngestConfig, settings: Settings, limits: Limits, site: Path
) -> Examination:
    store = open_store(settings.resolved_store_url)
    ingest_id = str(parsed["ingest_id"])
    keys = {table: layout.staging_table(ingest_id, table) for table in c.SNAPSHOT_TABLES}
    n_rows = limits.n_rows
    log.info("Checking %s", ", ".join(f"{n:,} {table}" for table, n in n_rows.items()) or f"the tables of {ingest_id}")
    with spark_session(settings, f"validate {ingest_id}", is_brief=sum(n_rows.values()) < _BRIEF_ROWS) as spark:
        # With the types they were written with: the schema is one of the things to check.
        tables = {name: spark_table(spark, store, [key], read_schema(store, key)) for name, key in keys.items()}
        context = data_docs.new_context(site, f"{parsed.get('dataset', ingest_id)}, ingest {ingest_id}")
        found = examine(
            tables,
            limits,
            max_quarantined=config.max_quarantined,
            n_malformed=parsed.get("n_malformed"),
            malformed=parsed.get("malformed"),
            n_base=parsed.get("n_base"),
            files=parsed.get("files"),
            context=context,
        )
        data_docs.build(context, site)
    return found


def _limits(parsed: Mapping[str, Any], config: IngestConfig, store: Store, now: datetime) -> Limits:
    release = RELEASES.get(parsed.get("release") or "")
    malformed: Mapping[str, int] = parsed.get("n_malformed") or {}
    counts = release.counts if release else None
    official = {"ratings": counts.n_ratings, "movies": counts.n_movies, "tags": counts.n_tags} if counts else {}
    scale = parsed.get("rating_scale") or config.rating_scale  # an increment takes its base's
    return Limits.at(
        now,
        min_ratings=config.min_ratings,
        stars=_stars(scale, release),
        n_rows={table: int(parsed[f"n_{table}"]) for table in c.SNAPSHOT_TABLES if f"n_{table}" in parsed},
        official={table: n - malformed.get(table, 0) for table, n in official.items()},
        is_official_binding=bool(release and release.is_frozen),
        max_drift=config.max_drift,
        baseline=_baseline(parsed, release, store),
    )


def _stars(scale: str, release: Release | None) -> tuple[float, ...]:
    if scale == NO_RATINGS:
        return ()
    return parse_scale(scale) if scale else stars_of(*release.rating_range) if release else HALF_STARS


def _baseline(parsed: Mapping[str, Any], release: Release | None, store: Store) -> Baseline | None:
    """The snapshot before; only its column of ratings is transferred."""
    snapshot_id = parsed.get("previous_snapshot_id")
    if not snapshot_id or parsed.get("is_invented"):  # what is invented is as its settings say, not as it was
        return None
    manifest = read_json(store, layout.snapshot_manifest(snapshot_id))
    n_rows = {table: int(about["n_rows"]) for table, about in manifest["tables"].items()}
    if manifest.get("rating_scale") == NO_RATINGS:
        # An increment starts from the pairs of its base, a source anew from its rows.
        if not (parsed.get("reading") or {}).get("base_snapshot_id"):
            n_rows["ratings"] = manifest.get("summed", {}).get("n_rows", n_rows["ratings"])
        return Baseline(snapshot_id, {}, n_rows, is_growing=bool(release and not release.is_frozen))
    with store.open(layout.snapshot_table(snapshot_id, "ratings")) as file:
        ratings = (batch.column(c.RATING) for batch in pq.ParquetFile(file).iter_batches(columns=[c.RATING]))
        return Baseline.of(snapshot_id, ratings, n_rows, is_growing=bool(release and not release.is_frozen))


def _publish_docs(store: Store, site: Path, ingest_id: str) -> str:
    """Put the pages into the store in place of those of an earlier attempt; returns the address of the first."""
    prefix = layout.data_docs(ingest_id)
    for key in list(store.list(f"{prefix}/")):
        store.delete(key)
    for path in site.rglob("*.html"):  # the library's own images and fonts are not used
        store.put_file(f"{prefix}/{path.relative_to(site).as_posix()}", path, overwrite=True)
    return store.uri(f"{prefix}/index.html")


def _publish_report(
    store: Store, found: Examination, parsed: Mapping[str, Any], checked_at: datetime, advice: str
) -> str:
    """Write the page and its JSON; returns the address of the page."""
    ingest_id = str(parsed["ingest_id"])
    about: dict[str, Any] = {
        "ingest_id": ingest_id,
        "dataset": str(parsed.get("dataset", ingest_id)),
        "is_invented": bool(parsed.get("is_invented")),
        "checked_at": checked_at,
        "advice": advice,
        "not_read": tuple(parsed.get("not_read") or ()),
        "summed": _summed(store, found, parsed),
    }
    write_json(store, layout.validation_report(ingest_id, "json"), document(found, **about), overwrite=True)
    key = layout.validation_report(ingest_id)
    link = f"../{layout.data_docs(ingest_id).removeprefix('reports/')}/index.html"
    store.put(key, page(found, **about, data_docs=link).encode(), overwrite=True)
    return store.uri(key)


def _summed(store: Store, found: Examination, parsed: Mapping[str, Any]) -> str:
    """What becomes of rows with counts, in a sentence; empty where there are ratings, or nothing is published."""
    if parsed.get("rating_scale") != NO_RATINGS or not found.success:
        return ""
    rows = read_table(store, layout.staging_table(str(parsed["ingest_id"]), "ratings"), [c.USER_ID, c.MOVIE_ID, c.LINE])
    faulty = found.faults.filter(pc.equal(found.faults["table"], "ratings"))[c.LINE].combine_chunks()
    rows = rows.filter(pc.invert(pc.is_in(rows[c.LINE], faulty)))
    return (
        f"Nobody rated: the counts of {rows.num_rows:,} rows are summed over {n_pairs(rows):,} pairs of user and "
        "movie, each at its latest time."
    )


def _by_reason(found: Examination) -> dict[str, int]:
    reasons: dict[str, int] = {}
    for removal in found.removals:
        for reason, n in removal.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + n
    return reasons


def _refusal(found: Examination, report: str, advice: str) -> PermanentError:
    state = f"Nothing was published. The report with every rule, its reason and samples: {report}."
    if found.over:
        lines = [headline(found), *map(_examples, found.over), f"{advice} Then run ingest_ratings again.", state]
        return DataError("\n".join(line for line in lines if line))
    wrong = found.verdict.faults or found.verdict.errors
    named = "; ".join(failure(outcome) for outcome in wrong[:_N_NAMED])
    more = f"; and {len(wrong) - _N_NAMED} more" if len(wrong) > _N_NAMED else ""
    if found.verdict.faults:
        return DataError(
            f"{headline(found)} {named}{more}. {state} Correct the source or choose another, then run "
            "ingest_ratings again."
        )
    return PermanentError(
        f"{headline(found)} {named}{more}. The data were not found wrong; the check itself raised. {state} Mend what "
        "the message names, then run ingest_ratings again."
    )


def _examples(removal: Removal) -> str:
    """The first faulty rows of a table, with their text, in one line."""
    wrong = [sample for sample in removal.samples if sample["reason"] != SUPERSEDED]
    shown = [
        f"{sample.get('file') or removal.table} line {sample['line']:,}: {sample['fault']}"
        + (f" (the row is {sample['content'][:_ROW_LENGTH]!r})" if sample.get("content") else "")
        for sample in wrong[:_N_EXAMPLES]
    ]
    n_more = removal.n_wrong - len(shown)
    return f"Such as {'; '.join(shown)}{f'; and {n_more:,} more' if n_more else ''}." if shown else ""


def _advice(removal: Removal, parsed: Mapping[str, Any], store: Store) -> str:
    """What to do about a table's faulty rows: the most frequent reason decides."""
    reason = next(reason for reason in removal.by_reason if reason != SUPERSEDED)
    if reason == "off_scale":
        return _scale_advice(parsed, store)
    if reason == "malformed":
        faults = " ".join(str(sample["fault"]) for sample in removal.samples)
        settings = [setting for word, setting in _SETTINGS.items() if word in faults]
        return f"Correct the source{''.join(f', or say {setting}' for setting in settings)}."
    if reason in _CAN_BE_SPARED:
        return "Correct the source or choose another, or raise max_quarantined if these rows may be left out."
    return "Correct the source or choose another."


def _scale_advice(parsed: Mapping[str, Any], store: Store) -> str:
    """Which scale the ratings may be on; an increment has its base's."""
    staged = read_table(store, layout.staging_table(str(parsed["ingest_id"]), "ratings"), [c.RATING, c.LINE])
    values = staged.filter(pc.greater(staged[c.LINE], 0))[c.RATING].unique().to_pylist()
    found = propose_scale(values)
    if (parsed.get("reading") or {}).get("base_snapshot_id"):
        return (
            "The increment has another rating scale than the snapshot it is added to, whose rating_scale holds for "
            "both. Bring the ratings to that scale, or take them in as a data set of their own."
        )
    if found is None:
        return "Say which scale the ratings are on: rating_scale=lowest-highest/step; for counts, rating_scale=none."
    return f"If the ratings are right, say their scale: rating_scale={found.text}, as {found.reason}."
