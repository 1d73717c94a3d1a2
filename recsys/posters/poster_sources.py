"""Where posters come from: a site with a page per movie, or the API of The Movie Database."""

import json
import logging
import re
from dataclasses import dataclass
from functools import cached_property
from html.parser import HTMLParser
from threading import Lock
from typing import Any, Protocol
from urllib.parse import quote, urljoin, urlsplit

from recsys.errors import DataError, NotFoundError
from recsys.posters.fetcher import Answer, Fetcher
from recsys.posters.robots import Robots

log = logging.getLogger(__name__)

MAX_PAGE_BYTES = 2_000_000
MAX_IMAGE_BYTES = 10_000_000
# Said by our own site of each page: the poster is a placeholder, drawn from title and genres.
DRAWN_META = "recsys:drawn"
IMDB_ID = "tt[0-9]+"


@dataclass(frozen=True)
class Movie:
    """What a source may need to know of a movie."""

    movie_id: int
    title: str
    year: int | None
    genres: tuple[str, ...]
    imdb_id: str | None
    tmdb_id: int | None


@dataclass(frozen=True)
class FoundPoster:
    """An image as it came, unchecked, and the page that stands for it; title cards have no addresses."""

    body: bytes
    content_type: str
    page_url: str | None
    image_url: str | None
    drawn_because: str | None = None

    @property
    def is_drawn(self) -> bool:
        return self.drawn_because is not None


class PosterSource(Protocol):
    """Finds the poster of a movie; used by several threads at once."""

    name: str

    def find(self, movie: Movie) -> FoundPoster:
        """The poster.

        Raises:
            NotFoundError: the source has none for this movie; all is well otherwise.
            PermanentError: it answered something that cannot be used.
            TransientError: it could not be asked.
        """
        ...


class SiteSource:
    """Scrapes a site that has a page ``/title/<imdb_id>/`` naming its poster as ``og:image``.

    Args:
        base_url: of the site, without a trailing slash.
        fetcher: allowed to ask the site's host, and the host of its images if that is another.
        name: stands in the manifest; posters are fetched anew when it changes.
    """

    def __init__(self, base_url: str, fetcher: Fetcher, name: str | None = None) -> None:
        self._base, self._fetcher, self._robots = base_url.rstrip("/"), fetcher, Robots(fetcher)
        self.name = name or site_name(base_url)

    def find(self, movie: Movie) -> FoundPoster:
        if not re.fullmatch(IMDB_ID, movie.imdb_id or ""):
            raise NotFoundError(f"movie {movie.movie_id} has no IMDb id, so {self.name} cannot be asked for it.")
        page = self._get(f"{self._base}/title/{movie.imdb_id}/", MAX_PAGE_BYTES)
        meta = page_meta(page.body.decode("utf-8", "replace"))
        if not meta.get("og:image"):
            raise NotFoundError(f"{page.url} names no og:image.")
        image = self._get(urljoin(page.url, meta["og:image"]), MAX_IMAGE_BYTES)
        drawn_because = f"{self.name} says that its posters are drawn" if meta.get(DRAWN_META) == "true" else None
        return FoundPoster(image.body, image.content_type, page.url, image.url, drawn_because)

    def _get(self, url: str, max_bytes: int) -> Answer:
        return self._fetcher.get(url, max_bytes, admit=self._robots.admit)


def site_name(base_url: str) -> str:
    """Host and port of a site, without the credentials that its address may hold.

    >>> site_name("https://ann:secret@example.org:8080/films")
    'example.org:8080'
    """
    return urlsplit(base_url).netloc.rpartition("@")[2]


class TmdbSource:
    """Asks The Movie Database, API version 3 (https://developer.themoviedb.org/reference/intro/getting-started).

    Args:
        token: API read token, sent to the API only.
        fetcher: allowed to ask the API's and the image server's hosts.
        base_url: of the API.
    """

    name = "tmdb"
    API = "https://api.themoviedb.org"
    IMAGES = "https://image.tmdb.org"
    _SIZE = "w500"

    def __init__(self, token: str, fetcher: Fetcher, base_url: str = API) -> None:
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._fetcher, self._base, self._lock = fetcher, base_url.rstrip("/"), Lock()

    def find(self, movie: Movie) -> FoundPoster:
        entry = self._entry(movie)
        if not entry or not entry.get("poster_path"):
            raise NotFoundError(f"TMDB has no poster of movie {movie.movie_id} ({movie.imdb_id}, {movie.tmdb_id}).")
        with self._lock:
            images = self._image_base
        image = self._fetcher.get(f"{images}{self._SIZE}{quote(entry['poster_path'])}", MAX_IMAGE_BYTES)
        page = f"https://www.themoviedb.org/movie/{int(entry['id'])}"
        return FoundPoster(image.body, image.content_type, page, image.url)

    def _entry(self, movie: Movie) -> dict[str, Any] | None:
        if movie.tmdb_id is not None:
            try:
                return dict(self._ask(f"/3/movie/{movie.tmdb_id}"))
            except NotFoundError:
                log.info("TMDB has no movie %d any more; looking for %s", movie.tmdb_id, movie.imdb_id)
        if not movie.imdb_id:
            return None
        found = self._ask(f"/3/find/{quote(movie.imdb_id, safe='')}?external_source=imdb_id")["movie_results"]
        return dict(found[0]) if found else None

    @cached_property
    def _image_base(self) -> str:
        return str(self._ask("/3/configuration")["images"]["secure_base_url"])

    def _ask(self, path: str) -> Any:
        answer = self._fetcher.get(f"{self._base}{path}", MAX_PAGE_BYTES, self._headers)
        try:
            return json.loads(answer.body)
        except ValueError as error:
            raise DataError(f"{answer.url} answered no JSON. Nothing was stored. Look at the API's status.") from error


class _Meta(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "meta":
            values = {name: value or "" for name, value in attrs}
            key = values.get("property") or values.get("name")
            if key and "content" in values:
                self.found.setdefault(key.strip().lower(), values["content"].strip())


def page_meta(html: str) -> dict[str, str]:
    """The meta elements of a page by property or name; of several with one name the first.

    >>> page_meta('<head><meta property="og:image" content="/a.jpg?x=1&amp;y=2"><meta charset="utf-8"></head>')
    {'og:image': '/a.jpg?x=1&y=2'}
    """
    parser = _Meta()
    parser.feed(html)
    parser.close()
    return parser.found
