"""The releases this package knows by name: where they are, what they promise, under which terms.

Digests are the MD5 sums that GroupLens publishes beside each frozen archive; `ml-latest`, `ml-latest-small` and The
Movies Dataset change without notice and have none. Counts are those of the files themselves (ml-10m's README says
71,567 users; 69,878 of them rated). Terms and counts are from the README of each release
(https://files.grouplens.org/datasets/movielens/) and from https://www.kaggle.com/datasets/rounakbanik/the-movies-dataset.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from recsys.errors import ConfigError

Layout = Literal["csv", "dat", "100k", "movies-dataset", "tabular"]

_GROUPLENS = "https://files.grouplens.org/datasets/movielens"
# GroupLens' certificate has expired three times since 2024. The Internet Archive keeps the same bytes
# ("id_" asks for the original, unframed); the pinned digest says whether they are.
_ARCHIVED = "https://web.archive.org/web/2024id_/" + _GROUPLENS
# Public data sets are given without signing in (https://github.com/Kaggle/kagglehub/issues/94); the answer is a
# redirect to a signed address of the storage behind it.
_KAGGLE = "https://www.kaggle.com/api/v1/datasets/download"

_MAY_SHARE_ALIKE = (
    "Research use only, with acknowledgement (Harper and Konstan, 2015, doi:10.1145/2827872); no commercial use "
    "without GroupLens' permission; redistribution under the same terms."
)
_MAY_NOT_SHARE = (
    "Research use only, with acknowledgement (Harper and Konstan, 2015, doi:10.1145/2827872); no commercial use "
    "and no redistribution without GroupLens' permission."
)
_MIXED = (
    "Collected from TMDB and GroupLens by a Kaggle user, whose page says under which terms; the ratings are MovieLens "
    "data: research use with acknowledgement (doi:10.1145/2827872), no commercial use without GroupLens' permission, "
    "redistribution under the same terms."
)
UNKNOWN_LICENCE = "Unknown: the archive came from a local path; its own terms apply."

SAMPLE = "sample"
"""The data set that the generator makes."""

HALF_STARS = (0.5, 5.0, 0.5)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows a release holds, malformed ones included; users are those with at least one rating."""

    n_ratings: int
    n_users: int
    n_movies: int
    n_tags: int = 0


@dataclass(frozen=True, slots=True)
class Release:
    """One release of the data.

    Attributes:
        name: what `dataset` calls it.
        url: the publisher's address; empty for what is generated here.
        copies: addresses of copies, tried in order when the publisher fails. They do not follow its changes.
        md5: digest of the archive where it is frozen, None where it changes.
        licence: the terms in one sentence, recorded with every snapshot.
        layout: which parser reads it.
        rating_range: lowest star, highest star, step.
        counts: official row counts; binding where `is_frozen`, a snapshot in time elsewhere.
        ratings_file: which file of the archive holds the ratings, where it is not for the parser to say.
    """

    name: str
    url: str
    licence: str
    layout: Layout = "csv"
    md5: str | None = None
    copies: tuple[str, ...] = field(default=())
    rating_range: tuple[float, float, float] = HALF_STARS
    counts: Counts | None = None
    ratings_file: str | None = None

    @property
    def is_frozen(self) -> bool:
        """Whether the publisher promises that the archive never changes."""
        return self.md5 is not None

    def addresses(self, mirrors: Iterable[str] = (), *, is_held: bool = False) -> tuple[str, ...]:
        """Where to ask for the archive, in order: configured mirrors, the publisher, copies.

        Who configures a mirror wants it used: it is near, or the only one within reach. Copies elsewhere are asked
        only by those who have nothing: they may be older than what `is_held`.
        """
        return (*mirrors, self.url, *(() if is_held else self.copies))


def _grouplens(name: str, licence: str, layout: Layout = "csv", **more: object) -> Release:
    return Release(
        name=name,
        url=f"{_GROUPLENS}/{name}.zip",
        copies=(f"{_ARCHIVED}/{name}.zip",),
        licence=licence,
        layout=layout,
        **more,  # type: ignore[arg-type]
    )


def _kaggle(name: str, counts: Counts, ratings_file: str) -> Release:
    return Release(
        name=name,
        url=f"{_KAGGLE}/rounakbanik/the-movies-dataset",
        licence=_MIXED,
        layout="movies-dataset",
        counts=counts,
        ratings_file=ratings_file,
    )


_WHOLE_STARS = (1.0, 5.0, 1.0)

RELEASES: dict[str, Release] = {
    release.name: release
    for release in (
        Release("sample", "", "Invented by this package: all users, movies and ratings are made up. No terms apply."),
        _grouplens("ml-latest-small", _MAY_SHARE_ALIKE, counts=Counts(100_836, 610, 9_742, 3_683)),
        _grouplens("ml-latest", _MAY_SHARE_ALIKE, counts=Counts(33_832_162, 330_975, 86_537, 2_328_315)),
        _grouplens(
            "ml-32m",
            _MAY_SHARE_ALIKE,
            md5="d472be332d4daa821edc399621853b57",
            counts=Counts(32_000_204, 200_948, 87_585, 2_000_072),
        ),
        _grouplens(
            "ml-25m",
            _MAY_NOT_SHARE,
            md5="6b51fb2759a8657d3bfcbfc42b592ada",
            counts=Counts(25_000_095, 162_541, 62_423, 1_093_360),
        ),
        _grouplens(
            "ml-20m",
            _MAY_NOT_SHARE,
            md5="cd245b17a1ae2cc31bb14903e1204af3",
            counts=Counts(20_000_263, 138_493, 27_278, 465_564),
        ),
        _grouplens(
            "ml-10m",
            _MAY_NOT_SHARE,
            "dat",
            md5="ce571fd55effeba0271552578f2648bd",
            counts=Counts(10_000_054, 69_878, 10_681, 95_580),
        ),
        _grouplens(
            "ml-1m",
            _MAY_NOT_SHARE,
            "dat",
            md5="c4d9eecfca2ab87c1945afe126590906",
            rating_range=_WHOLE_STARS,
            counts=Counts(1_000_209, 6_040, 3_883),
        ),
        _grouplens(
            "ml-100k",
            _MAY_NOT_SHARE,
            "100k",
            md5="0e33842e24a9c977be4e0107933c0723",
            rating_range=_WHOLE_STARS,
            counts=Counts(100_000, 943, 1_682),
        ),
        # Three of the 45,463 records of movies_metadata.csv are broken over two lines each; pandas counts 45,466.
        _kaggle("the-movies-dataset", Counts(26_024_289, 270_896, 45_463), "ratings.csv"),
        _kaggle("the-movies-dataset-small", Counts(100_004, 671, 45_463), "ratings_small.csv"),
    )
}


def find_release(name: str) -> Release:
    """The release of that name.

    Raises:
        ConfigError: there is none; the message lists those there are.

    >>> find_release("ml-25m").is_frozen
    True
    """
    try:
        return RELEASES[name]
    except KeyError:
        raise ConfigError(
            f"dataset {name!r} is neither a known release nor an existing file or folder. "
            f"Known: {', '.join(RELEASES)}. Nothing was started. Name one of these, or give the path of an archive."
        ) from None


def check_names(names: Iterable[str], setting: str) -> None:
    """Refuse what is no release that could be downloaded.

    Raises:
        ConfigError: the message names the setting, the unknown names, and those there are.
    """
    known = [name for name, release in RELEASES.items() if release.url]
    if unknown := sorted(set(names) - set(known)):
        raise ConfigError(
            f"{setting} names {', '.join(unknown)}; the releases are {', '.join(known)}. Nothing was started. "
            "Correct the name and run again."
        )


def licence_of(dataset: str) -> str:
    """The terms of a dataset in one sentence; local archives are known by their name only.

    >>> licence_of("my-ratings")
    'Unknown: the archive came from a local path; its own terms apply.'
    """
    return RELEASES[dataset].licence if dataset in RELEASES else UNKNOWN_LICENCE
