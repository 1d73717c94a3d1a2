"""The local poster site: a page and a drawn poster for every movie of the store, over real HTTP.

::

    python -m recsys.posters.site --host 127.0.0.1 --port 8600

It stands in for a real site where there is none: for invented movies and for tests. Posters of real movies are
never fetched from it.
Every page says that its poster is a placeholder. Paths: ``/``, ``/robots.txt``, ``/title/<imdb_id>/``
and ``/posters/<imdb_id>.jpg``; anything else is 404.
"""

import argparse
import contextlib
import html
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from recsys.config import Settings
from recsys.posters.poster_sources import DRAWN_META, Movie
from recsys.posters.title_cards import draw_poster, spoken_title
from recsys.posters.wanted_movies import current_movies, current_version
from recsys.storage.base import Store
from recsys.storage.opening import open_store

log = logging.getLogger(__name__)

Lookup = Callable[[str], Movie | None]

_NOTE = "Local poster site: every poster here is a placeholder, drawn from a movie's title and genres."
_ROBOTS = "User-agent: *\nAllow: /\n"
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta property="og:title" content="{title}">
<meta property="og:image" content="{image}">
<meta name="{drawn}" content="true">
<style>body{{font:16px sans-serif;margin:3rem auto;max-width:32rem;color:#222}}img{{width:100%}}</style>
</head><body><h1>{title}</h1><p>{about}</p><img src="{image}" alt="Drawn poster of {title}"><p>{note}</p></body></html>
"""

_drawn = lru_cache(maxsize=256)(draw_poster)


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection; the server it belongs to knows the movies."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    server: "PosterSite"

    def do_GET(self) -> None:
        self._answer(*self._route(self.path.partition("?")[0]))

    do_HEAD = do_GET  # noqa: N815  the name http.server looks for

    def _route(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        if path == "/robots.txt":
            return HTTPStatus.OK, "text/plain", _ROBOTS.encode()
        if path == "/":
            return HTTPStatus.OK, "text/plain", f"{_NOTE}\n".encode()
        if path.startswith("/title/"):
            movie = self.server.lookup(path.removeprefix("/title/").removesuffix("/"))
            if movie:
                return HTTPStatus.OK, "text/html", self._page(movie).encode()
        elif path.startswith("/posters/") and path.endswith(".jpg"):
            movie = self.server.lookup(path.removeprefix("/posters/").removesuffix(".jpg"))
            if movie:
                return HTTPStatus.OK, "image/jpeg", _drawn(movie.title, movie.year, movie.genres)
        return HTTPStatus.NOT_FOUND, "text/plain", b"There is no such movie here.\n"

    def _page(self, movie: Movie) -> str:
        host = self.headers.get("Host") or self.server.address
        return _PAGE.format(
            title=html.escape(spoken_title(movie.title)),
            image=html.escape(f"http://{host}/posters/{movie.imdb_id}.jpg"),
            drawn=DRAWN_META,
            about=html.escape(", ".join(filter(None, [str(movie.year or ""), *movie.genres]))),
            note=_NOTE,
        )

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        charset = "; charset=utf-8" if content_type.startswith("text/") else ""
        self.send_header("Content-Type", f"{content_type}{charset}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's own name
        log.debug(format, *args)


class PosterSite(ThreadingHTTPServer):
    """The server; `lookup` finds a movie by its IMDb id."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, lookup: Lookup, host: str = "127.0.0.1", port: int = 0) -> None:
        self.lookup = lookup
        super().__init__((host, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that hung up is no news; anything else is logged with its traceback."""
        is_gone = isinstance(sys.exception(), ConnectionError | TimeoutError)
        log.log(logging.DEBUG if is_gone else logging.ERROR, "request of %s", client_address, exc_info=True)

    @property
    def address(self) -> str:
        """``host:port``, the port being the real one."""
        return f"{self.server_address[0]!s}:{self.server_address[1]}"


@contextlib.contextmanager
def serving(lookup: Lookup) -> Iterator[str]:
    """The site on a free port of this machine for the length of a ``with`` block; yields its base URL."""
    with PosterSite(lookup) as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://{site.address}"
        finally:
            site.shutdown()
            thread.join()


class StoreLookup:
    """Finds movies in the store; a new release is noticed within seconds.

    Args:
        store: where releases and snapshots stand.
        max_age_s: how long an answer about what is current holds.
    """

    def __init__(self, store: Store, max_age_s: float = 5.0) -> None:
        self._store, self._max_age_s, self._lock = store, max_age_s, threading.Lock()
        self._version, self._checked_at = "", -max_age_s
        self._movies: dict[str, Movie] = {}

    def __call__(self, imdb_id: str) -> Movie | None:
        with self._lock:
            if time.monotonic() - self._checked_at >= self._max_age_s:
                version = current_version(self._store)
                if version != self._version:
                    self._movies = {movie.imdb_id: movie for movie in current_movies(self._store) if movie.imdb_id}
                    self._version = version
                self._checked_at = time.monotonic()
            return self._movies.get(imdb_id)


def main(arguments: list[str] | None = None) -> None:
    """Serve until stopped; prints one line when ready."""
    parser = argparse.ArgumentParser(prog="python -m recsys.posters.site", description=_NOTE)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    given = parser.parse_args(arguments)
    store = open_store(Settings.load().resolved_store_url)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with PosterSite(StoreLookup(store), given.host, given.port) as site, contextlib.suppress(KeyboardInterrupt):
        print(f"Poster site ready: http://{site.address}/", flush=True)
        site.serve_forever()


if __name__ == "__main__":
    main()
