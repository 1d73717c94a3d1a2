"""The commands of ``recsys``."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.table import Table

from recsys.cli.entry import log_to_terminal
from recsys.cli.output import console, print_json, show
from recsys.config import IngestConfig, JobConfig, PosterConfig, ScoreConfig, Settings, TrainConfig
from recsys.errors import ConfigError
from recsys.messages import SnapshotRef
from recsys.storage.base import Store
from recsys.workspace import Workspace

if TYPE_CHECKING:
    from recsys.lifecycle import retention

app = typer.Typer(
    name="recsys",
    help="A movie recommender as one workflow: ingest, tune, score, publish. Settings are RECSYS_* variables.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
Config = TypeVar("Config", bound=JobConfig)
Given = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A setting; `recsys settings` lists them. Repeatable."),
]
Keep = Annotated[int, typer.Option(min=1, help="How many snapshots of each data set stay in any case.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.callback()
def options(verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log details too.")] = False) -> None:
    log_to_terminal(verbose=verbose)


@app.command()
def run(
    dataset: Annotated[str, typer.Option(help="`sample`, a release's name, or a local archive.")] = "sample",
    given: Given = None,
) -> None:
    """Run the whole pipeline in this process, without Airflow."""
    from recsys import pipeline

    settings, values = Settings.load(), _values(given)
    _refuse_unknown(values)
    ingest_config = _pick(IngestConfig, {**values, "dataset": dataset})
    train_config, score_config = _pick(TrainConfig, values), _pick(ScoreConfig, values)
    poster_config = _pick(PosterConfig, values)
    workspace = Workspace(settings)
    snapshot = pipeline.ingest_ratings(workspace, ingest_config).snapshot
    champion = pipeline.train_model(workspace, snapshot.snapshot_id, train_config)
    tables = pipeline.score_users(workspace, champion, score_config)
    pipeline.fetch_posters(workspace, poster_config, tables)
    summary(user_id=None)


@app.command()
def ingest(
    dataset: Annotated[str, typer.Option(help="`sample`, a release's name, or a local file or folder.")] = "sample",
    append_to: Annotated[str, typer.Option(help="Add the ratings to this snapshot (or `latest`).")] = "",
    given: Given = None,
) -> None:
    """Download, parse, validate and publish a dataset as a snapshot; print it as JSON."""
    from recsys import pipeline

    more = {"append_to": append_to} if append_to else {}
    config = _config(IngestConfig, given, dataset=dataset, **more)
    print_json(pipeline.ingest_ratings(Workspace.open(), config).to_json())


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="An archive, a folder or a file with ratings.")],
    given: Given = None,
    as_json: AsJson = False,
) -> None:
    """Show what is recognised in a file, and what is in doubt, before anything is ingested."""
    from recsys.ingest.formats.tabular import ReadOptions
    from recsys.ingest.inspection import inspect_source
    from recsys.ingest.snapshot_recipe import reading_of

    config = _config(IngestConfig, given, dataset=str(path))
    found = inspect_source(path, ReadOptions.of(reading_of(config)))
    if as_json:
        print_json(found.to_dict())
    else:
        typer.echo("\n".join(found.lines()))
    if not found.layout:
        raise typer.Exit(1)


@app.command()
def tune(
    snapshot_id: Annotated[str, typer.Option(help="Which snapshot; the newest by default.")] = "",
    given: Given = None,
) -> None:
    """Search, fit, evaluate, register and promote on a snapshot; print the champion as JSON."""
    from recsys import pipeline

    settings = Settings.load()
    snapshot_id = snapshot_id or _latest(settings).snapshot_id
    print_json(pipeline.train_model(Workspace(settings), snapshot_id, _config(TrainConfig, given)).flat())


@app.command()
def score(
    snapshot_id: Annotated[str, typer.Option(help="Whose users get lists; the newest snapshot by default.")] = "",
    given: Given = None,
) -> None:
    """Score lists and similar movies with the champion and publish them; print the release as JSON."""
    from recsys import pipeline
    from recsys.registry import champions
    from recsys.storage import snapshots

    workspace = Workspace.open()
    snapshot = snapshots.snapshot_ref(workspace.store, snapshot_id) if snapshot_id else _latest(workspace.settings)
    champion = champions.serving(workspace, snapshot.dataset, snapshot.snapshot_id)
    tables = pipeline.score_users(workspace, champion, _config(ScoreConfig, given))
    counts = {"n_users": tables.n_users, "n_movies": tables.n_movies}
    print_json({"release": tables.number, "version_id": tables.version_id, "path": tables.uri, **counts})


@app.command()
def posters(given: Given = None) -> None:
    """Fetch the posters of the published lists into the store; print the manifest's summary as JSON."""
    from recsys import pipeline

    print_json(pipeline.fetch_posters(Workspace.open(), _config(PosterConfig, given)).to_json())


@app.command()
def recommend(
    user_id: Annotated[str | None, typer.Option(help="The user, as the data set calls them.")] = None,
    ratings: Annotated[
        str | None,
        typer.Option(
            help="Of somebody new: movie_id=stars,… (ids by `recsys find`); may be empty. Where nobody rated, "
            "movie_id=count or movie_id."
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            help="The same from a CSV or Parquet file with columns such as movie_id and rating; where nobody rated, "
            "movie_id will do."
        ),
    ] = None,
    k: Annotated[int, typer.Option(min=1, help="Length of the list of somebody new.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show a user's published list, or make one for somebody new from a handful of ratings."""
    from recsys.cli import own_ratings
    from recsys.webapp import inputs, new_user_lists, queries, source_id_lookup

    is_new = ratings is not None or csv is not None
    if is_new == (user_id is not None):
        raise typer.BadParameter(
            "give either a user, or the ratings of one", param_hint="--user-id / --ratings / --csv"
        )
    store = _store()
    published = queries.published(store)
    version_id = published.version_id
    if user_id is not None:
        rows = queries.user_list(store, source_id_lookup.user_number(store, user_id, version_id), version_id)
        show(rows, as_json, f"Recommended to user {user_id}{_no_ratings(store)}")
        return
    has_ratings, number = published.lineage.has_ratings, source_id_lookup.movie_numbers(store, version_id)
    by_hand = inputs.read_ratings(ratings, number, has_ratings=has_ratings) if ratings else {}
    given = own_ratings.read_file(csv, store, version_id, has_ratings=has_ratings) if csv else {}
    rows = new_user_lists.recommend(store, given | by_hand, k, published)
    is_personal = rows and rows[0]["source"] != "popular"
    title = "Recommended to somebody new" if is_personal else "Popular movies: these ratings say nothing of a taste"
    show(rows, as_json, f"{title}{_no_ratings(store)}")


@app.command()
def similar(
    movie_id: Annotated[str, typer.Option(help="The movie, as the data set calls it.")],
    as_json: AsJson = False,
) -> None:
    """Show the published neighbours of a movie."""
    from recsys.webapp import queries, source_id_lookup

    store = _store()
    version_id = queries.current_version(store)
    rows = queries.similar_movies(store, source_id_lookup.movie_number(store, movie_id, version_id), version_id)
    show(rows, as_json, f"Similar to movie {movie_id}{_no_ratings(store)}")


@app.command()
def find(
    text: Annotated[str, typer.Argument(help="Part of a title.")],
    as_json: AsJson = False,
) -> None:
    """Find movies by title."""
    from recsys.webapp import queries

    show(queries.find_movies(_store(), text), as_json, f"Movies like {text!r}")


@app.command()
def summary(
    user_id: Annotated[str | None, typer.Option(help="Whose list to show; a typical user by default.")] = None,
) -> None:
    """Show the champion beside popularity, a user's list, and where everything is."""
    from recsys.pages.summary_page import print_summary
    from recsys.webapp.summary import summary as collect

    print_summary(collect(Workspace.open(), user_id), console=console())


@app.command()
def history(as_json: AsJson = False) -> None:
    """List the releases of the published tables, oldest first."""
    from recsys.storage import releases

    rows = [
        release.model_dump(include={"number", "version_id", "published_at", "reason"})
        for release in releases.history(_store())
    ]
    show(rows, as_json, "Releases")


@app.command()
def rollback(
    version_id: Annotated[str, typer.Argument(help="A version from `recsys history`.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this, only say what would happen.")] = False,
) -> None:
    """Make an older version of the tables current again (a dry run unless --yes)."""
    from recsys.storage import releases
    from recsys.webapp import queries

    store = _store()
    now = releases.current(store).version_id
    manifest = releases.read_manifest(store, version_id)  # fails when there is no such version
    if version_id == now:
        releases.repair(store)
        typer.echo(f"{version_id} is current already.")
        return
    for sentence in queries.gone(store, manifest.lineage):
        typer.echo(f"{version_id}: {sentence}")
    if not yes:
        typer.echo(f"Would replace {now} by {version_id}. Nothing was changed; add --yes to do it.")
        return
    release = releases.rollback(store, version_id)
    typer.echo(f"Release {release.number}: {release.version_id} is current; {now} is kept.")


@app.command()
def snapshots(
    dataset: Annotated[str, typer.Option(help="Only those of this data set.")] = "",
    keep: Keep = IngestConfig.model_fields["keep_snapshots"].default,
    as_json: AsJson = False,
) -> None:
    """List the snapshots, newest first, and why each of them stays."""
    rows = [
        {**asdict(found), "kept_because": "; ".join(found.kept_because) or f"nothing: prune --keep {keep} removes it"}
        for found in _retention(keep, dataset).snapshots
    ]
    show(rows, as_json, "Snapshots")


@app.command()
def prune(
    keep: Keep = IngestConfig.model_fields["keep_snapshots"].default,
    dataset: Annotated[str, typer.Option(help="Only those of this data set.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this, only say what would go.")] = False,
) -> None:
    """Remove snapshots beyond the last ones, unless something live needs them (a dry run unless --yes)."""
    from recsys.lifecycle import retention

    plan = _retention(keep, dataset)
    if yes:
        retention.apply(_store(), plan)
        typer.echo(f"Removed {plan.n_objects:,} objects.")
        return
    for removal in plan.removals:
        typer.echo(f"{removal.prefix}: {removal.reason} ({len(removal.keys)} objects)")
    typer.echo(f"Would remove {plan.n_objects:,} objects. Nothing was changed; add --yes to do it.")


@app.command("settings")
def list_settings() -> None:
    """List every setting that --set and the trigger forms accept."""
    table = Table("command", "setting", "default", "meaning", title="Settings")
    for command, kind in _KINDS.items():
        for name, field in kind.model_fields.items():
            table.add_row(command, name, str(field.default), field.description)
    console().print(table)


_KINDS: dict[str, type[JobConfig]] = {
    "ingest": IngestConfig,
    "tune": TrainConfig,
    "score": ScoreConfig,
    "posters": PosterConfig,
}


def _values(given: list[str] | None) -> dict[str, str]:
    values = {}
    for item in given or []:
        name, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"{item!r} is no NAME=VALUE. Nothing was started. Write --set name=value.")
        values[name.strip()] = value.strip()
    return values


def _config(kind: type[Config], given: list[str] | None, **more: Any) -> Config:
    return kind.parse({**_values(given), **more})


def _pick(kind: type[Config], values: dict[str, str]) -> Config:
    return kind.parse({name: value for name, value in values.items() if name in kind.model_fields})


def _refuse_unknown(values: dict[str, str]) -> None:
    unknown = sorted(set(values) - {name for kind in _KINDS.values() for name in kind.model_fields})
    if unknown:
        raise ConfigError(f"unknown setting {', '.join(unknown)}. Nothing was started. See `recsys settings`.")


def _latest(settings: Settings) -> SnapshotRef:
    from recsys.storage.opening import open_store
    from recsys.storage.snapshots import latest, snapshot_ref

    store = open_store(settings.resolved_store_url)
    return snapshot_ref(store, latest(store))


def _retention(keep: int, dataset: str) -> "retention.Plan":
    from recsys.lifecycle import retention

    workspace = Workspace.open()
    return retention.plan(workspace.store, workspace.tracking, keep, dataset or None)


def _no_ratings(store: Store) -> str:
    """Why predicted ratings are empty, for the end of a title."""
    from recsys.webapp import queries

    has_ratings = queries.published(store).lineage.has_ratings
    return "" if has_ratings else " (no ratings are predicted: these data have none)"


def _store() -> Store:
    return Workspace.open().store
