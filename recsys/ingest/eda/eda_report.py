"""The exploratory report: one HTML file under 3 MB that is interactive and loads nothing."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from recsys.ingest.eda import comparison_figures
from recsys.ingest.eda.comparison import Comparison
from recsys.ingest.eda.rating_figures import panels
from recsys.ingest.eda.scale import Scale
from recsys.ingest.eda.summaries import Summaries
from recsys.pages.charts import figures_json, library
from recsys.pages.rendering import render
from recsys.storage.snapshots import SnapshotManifest

VERSION = 3
"""Rises whenever the page would look different for the same snapshot."""

MAX_BYTES = 3_000_000
_WIDE = {"long_tail", "most_rated", "best_rated", "genres", "decades", "languages", "over_time", "tags", "keywords"}
_LINEAGE = {
    "source": "Source",
    "sha256": "SHA-256",
    "licence": "Licence",
    "parser_version": "Parser version",
    "base_snapshot_id": "Appended to snapshot",
}


def page(summaries: Summaries, manifest: SnapshotManifest, comparison: Comparison | None = None) -> str:
    """The report of one snapshot.

    Args:
        summaries: as `recsys.ingest.eda.summaries.summarise` returns them.
        manifest: of the snapshot.
        comparison: with the snapshot before; without one the page says nothing of it.
    """
    dataset, snapshot_id, is_invented = manifest.dataset, manifest.snapshot_id, manifest.is_invented
    figures = [replace(panel, is_wide=panel.name in _WIDE) for panel in panels(summaries)]
    compared = comparison_figures.panels(comparison) if comparison else []
    return render(
        "eda.html",
        title=f"{dataset}{' (invented movies)' if is_invented else ''}: exploratory report, snapshot {snapshot_id}",
        dataset=dataset,
        snapshot_id=snapshot_id,
        is_invented=is_invented,
        tiles=_tiles(summaries.headline, summaries.scale),
        panels=figures,
        compared=compared,
        changes=comparison_figures.changes(comparison) if comparison else [],
        turnover=comparison_figures.turnover(comparison) if comparison else "",
        n_ratings=summaries.headline["n_ratings"],
        row=summaries.scale.row,
        figures_json=figures_json([*compared, *figures]),
        library=library(),
        **_provenance(manifest),
    )


def metrics(summaries: Summaries) -> dict[str, float]:
    """The headline's numbers, for an experiment tracker."""
    return {name: float(value) for name, value in summaries.headline.items() if isinstance(value, int | float)}


def _provenance(manifest: SnapshotManifest) -> dict[str, Any]:
    """Where a snapshot comes from: `lineage` as labelled texts, `files` with their total, `quarantined` by reason."""
    lineage = manifest.lineage
    about = [(label, str(value)) for name, label in _LINEAGE.items() if (value := getattr(lineage, name))]
    if summed := manifest.summed:
        pairs = f"{summed.n_rows:,} rows to {summed.n_pairs:,} pairs of user and movie"
        about.append(("Counts summed", f"{pairs}, at the latest time of each; there are no ratings"))
    about.append(("Made", manifest.created_at))
    files = [(row.file, row.table, row.n_in, row.n_quarantined, row.n_out) for row in lineage.files]
    reasons = sorted(manifest.quarantined.items(), key=lambda item: (-item[1], item[0]))
    return {
        "lineage": about,
        "files": files,
        "totals": [sum(column) for column in list(zip(*files, strict=True))[2:]],
        "quarantined": [(reason.replace("_", " "), n) for reason, n in reasons],
    }


def _tiles(headline: Mapping[str, Any], scale: Scale) -> list[tuple[str, str, str]]:
    unrated = headline["n_movies_unrated"]
    first, last = headline["first_rating"], headline["last_rating"]
    mean = headline["mean_rating" if scale.has_ratings else "mean_count"]
    tiles = [
        (f"{scale.row.capitalize()}s", f"{headline['n_ratings']:,}", f"{mean:.2f} {scale.unit} on average"),
        (
            "Users",
            f"{headline['n_users']:,}",
            f"half gave {headline['median_ratings_per_user']:,g} {scale.row}s or fewer",
        ),
        (
            "Movies",
            f"{headline['n_movies']:,}",
            f"{headline['n_movies_rated']:,} with {scale.row}s, {unrated:,} without",
        ),
        ("Sparsity", f"{headline['sparsity']:.2%}", "of the user × movie cells are empty"),
        ("Span", _span(first, last), f"{first:%b %Y} to {last:%b %Y}"),
    ]
    if headline["n_tags"]:
        tiles.append(("Tags", f"{headline['n_tags']:,}", "given by users"))
    if headline["n_languages"]:
        tiles.append(("Languages", f"{headline['n_languages']:,}", f"and {headline['n_keywords']:,} keywords"))
    return tiles


def _span(first: Any, last: Any) -> str:
    """The time between two instants in its natural unit.

    >>> from datetime import datetime
    >>> _span(datetime(1996, 3, 29), datetime(2018, 9, 24)), _span(datetime(2020, 1, 1), datetime(2020, 1, 5))
    ('22.5 years', '4 days')
    """
    days = (last - first).days
    if days >= 730:
        return f"{days / 365.25:.1f} years"
    return f"{days / 30.44:.0f} months" if days >= 90 else f"{days} days"
