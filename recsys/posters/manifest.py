"""The manifest of all posters in the store: a document with an entry for each movie that was ever asked for."""

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import ValidationError

from recsys.errors import DataError
from recsys.messages import Message
from recsys.storage import layout
from recsys.storage.base import Store
from recsys.storage.tables import read_json, write_json

Status = Literal["stored", "missing", "failed"]
STORED: Final = "stored"
MISSING: Final = "missing"
FAILED: Final = "failed"
_NOTE = (
    "Posters with is_drawn are placeholders drawn from title and genres, not the movies' own; drawn_because says why."
)


class PosterEntry(Message):
    """What became of one movie's poster.

    Attributes:
        identity: a digest of what the poster depends on; see `recsys.posters.wanted_movies.identity`.
        status: "stored", "missing" (the source has none, an older one stays) or "failed".
        source: where it is from.
        error: why there is none; None where there is one.
        is_drawn: whether it is a placeholder; `drawn_because` says why.
        fetched_at: UTC.
    """

    movie_id: int
    source: str
    identity: str
    status: Status
    error: str | None = None
    key: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    width: int | None = None
    height: int | None = None
    is_drawn: bool = False
    drawn_because: str | None = None
    page_url: str | None = None
    image_url: str | None = None
    fetched_at: str | None = None


class PosterManifest(Message):
    """All that is known of posters.

    Attributes:
        updated_at: UTC.
        version_id: the published tables whose movies were asked for last; `source` is where.
        counts: entries by status.
        n_drawn: placeholders among the stored ones.
        posters: an entry per movie, by ascending movie id.
    """

    updated_at: str
    version_id: str
    source: str
    counts: Mapping[Status, int]
    n_drawn: int
    note: str = _NOTE
    posters: tuple[PosterEntry, ...]

    def write(self, store: Store) -> None:
        write_json(store, layout.POSTER_MANIFEST, self.to_json(), overwrite=True)


def read_entries(store: Store) -> dict[int, PosterEntry]:
    """The entries of the manifest by movie id; empty before the first.

    Raises:
        DataError: the document is no such manifest.
    """
    if not store.exists(layout.POSTER_MANIFEST):
        return {}
    rows = read_json(store, layout.POSTER_MANIFEST)["posters"]
    try:
        return {row["movie_id"]: PosterEntry.model_validate(row) for row in rows}
    except ValidationError as error:
        raise DataError(
            f"{store.uri(layout.POSTER_MANIFEST)} is no manifest of posters: {error.errors()[0]['msg']}. Nothing was "
            "fetched. Delete it, and run fetch_posters: posters are fetched anew."
        ) from error


def read_stored(store: Store) -> dict[int, PosterEntry]:
    """Those whose image is in the store."""
    images = set(store.list(f"{layout.POSTERS}/images/"))
    return {at: entry for at, entry in read_entries(store).items() if entry.status == STORED and entry.key in images}
