"""Finds the poster of one movie after the other, checks it and stores it; who has none gets a title card."""

import hashlib
from collections.abc import Collection
from datetime import UTC, datetime

from recsys.errors import DataError, NotFoundError, PermanentError, RecsysError, TransientError
from recsys.posters.choosing import TITLE_CARD, obstacle
from recsys.posters.images import PosterImage, to_poster
from recsys.posters.manifest import PosterEntry, Status
from recsys.posters.poster_sources import FoundPoster, Movie, PosterSource
from recsys.posters.title_cards import draw_poster
from recsys.posters.wanted_movies import identity
from recsys.storage import layout
from recsys.storage.base import Store

# A source that failed this often in a row is away: asking it for every other movie would only take time.
_GIVE_UP_AFTER = 12


class PosterWriter:
    """Turns movies into entries of the manifest, in several threads; remembers what went wrong.

    Args:
        store: where images go.
        source: what is asked; None: every movie gets a title card.
        has_own: ids of movies that have a poster of their own in the store, which no title card may replace.
    """

    def __init__(self, store: Store, source: PosterSource | None, has_own: Collection[int]) -> None:
        self._store, self._source, self._has_own = store, source, has_own
        self._n_faults_in_a_row = 0
        self.faults: list[RecsysError] = []

    @property
    def source_name(self) -> str:
        return self._source.name if self._source else TITLE_CARD

    def entry(self, movie: Movie) -> PosterEntry:
        """What became of the movie's poster.

        Raises:
            RecsysError: the store failed, which is no fault of the source.
        """
        try:
            source, found = self._found(movie)
            poster = to_poster(found.body)
        except NotFoundError as error:
            return self._without(movie, "missing", str(error))
        except RecsysError as error:
            self.faults.append(error)
            # A bad image says nothing of the next one; a source that is away or refuses us does.
            self._n_faults_in_a_row += not isinstance(error, DataError)
            return self._without(movie, "failed", f"{type(error).__name__}: {error}")
        return self._stored(movie, source, found, poster)

    def _without(self, movie: Movie, status: Status, error: str) -> PosterEntry:
        return PosterEntry(
            movie_id=movie.movie_id, source=self.source_name, identity=identity(movie), status=status, error=error
        )

    def _stored(self, movie: Movie, source: str, found: FoundPoster, poster: PosterImage) -> PosterEntry:
        key = layout.poster_image(movie.movie_id)
        self._store.put(key, poster.data, overwrite=True)
        return PosterEntry(
            movie_id=movie.movie_id,
            source=source,
            identity=identity(movie),
            status="stored",
            key=key,
            sha256=hashlib.sha256(poster.data).hexdigest(),
            size_bytes=len(poster.data),
            width=poster.width,
            height=poster.height,
            is_drawn=found.is_drawn,
            drawn_because=found.drawn_because,
            page_url=found.page_url,
            image_url=found.image_url,
            fetched_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _found(self, movie: Movie) -> tuple[str, FoundPoster]:
        """The name of the source that has a poster of the movie, and the poster."""
        reason = obstacle(self.source_name, movie)
        if self._source and reason is None:
            try:
                return self._source.name, self._asked(self._source, movie)
            except NotFoundError as error:
                reason = str(error)
        if movie.movie_id in self._has_own:
            raise NotFoundError(f"{str(reason).rstrip('.')}. The poster that was fetched before stays.")
        body = draw_poster(movie.title, movie.year, movie.genres)
        return TITLE_CARD, FoundPoster(body, "image/jpeg", None, None, drawn_because=reason)

    def _asked(self, source: PosterSource, movie: Movie) -> FoundPoster:
        if self._n_faults_in_a_row >= _GIVE_UP_AFTER:
            kind = TransientError if isinstance(self.faults[-1], TransientError) else PermanentError
            raise kind(f"not asked for: {source.name} failed {_GIVE_UP_AFTER} times in a row before.")
        try:
            found = source.find(movie)
        except NotFoundError:
            self._n_faults_in_a_row = 0  # it answers
            raise
        self._n_faults_in_a_row = 0
        return found
