"""Which source posters come from, and which movies it cannot be asked for."""

import contextlib
import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from recsys.config import PosterConfig, Settings
from recsys.errors import ConfigError
from recsys.posters.fetcher import Fetcher
from recsys.posters.poster_sources import IMDB_ID, Movie, PosterSource, SiteSource, TmdbSource, site_name
from recsys.posters.site import serving

LOCAL_SITE = "local-site"
TITLE_CARD = "title-card"


def source_name(settings: Settings, is_invented: bool) -> str:
    """Where posters will come from; stands in the manifest, and a change of it fetches them anew.

    Invented movies are never looked up in TMDB, and real ones never on the local site.
    """
    if settings.tmdb_token and not is_invented:
        return TmdbSource.name
    if settings.poster_site_url:
        return site_name(settings.poster_site_url)
    return LOCAL_SITE if is_invented else TITLE_CARD


def obstacle(source: str, movie: Movie) -> str | None:
    """Why a source cannot be asked for a movie, which then gets a title card; None where it can.

    >>> obstacle("tmdb", Movie(1, "A", None, (), None, 862)), obstacle("tmdb", Movie(1, "A", None, (), None, None))
    (None, 'it has neither a TMDB id nor an IMDb id')
    >>> obstacle("example.org", Movie(1, "A", None, (), None, 862))
    'it has no IMDb id, by which example.org names its pages'
    """
    if source == TITLE_CARD:
        return "no source of posters is configured (RECSYS_TMDB_TOKEN or RECSYS_POSTER_SITE_URL)"
    has_imdb_id = re.fullmatch(IMDB_ID, movie.imdb_id or "") is not None
    if source == TmdbSource.name:
        return None if movie.tmdb_id is not None or has_imdb_id else "it has neither a TMDB id nor an IMDb id"
    return None if has_imdb_id else f"it has no IMDb id, by which {source} names its pages"


@contextlib.contextmanager
def open_source(
    settings: Settings, config: PosterConfig, movies: Iterable[Movie], *, is_invented: bool
) -> Iterator[PosterSource | None]:
    """The source that `source_name` names, with its own client, for the length of a ``with`` block; None: no source.

    Raises:
        ConfigError: the configured site is no address.
    """
    name = source_name(settings, is_invented)
    with contextlib.ExitStack() as stack:

        def fetcher(*allowed: str) -> Fetcher:
            return stack.enter_context(Fetcher(allowed, config.timeout_s, config.concurrency))

        if name == TITLE_CARD:
            yield None
        elif settings.tmdb_token and name == TmdbSource.name:
            client = fetcher(TmdbSource.API, TmdbSource.IMAGES)
            yield TmdbSource(settings.tmdb_token.get_secret_value(), client, TmdbSource.API)
        elif name == LOCAL_SITE:
            by_imdb_id = {movie.imdb_id: movie for movie in movies if movie.imdb_id}
            address = stack.enter_context(serving(by_imdb_id.get))
            yield SiteSource(address, fetcher(address), name)
        else:
            yield SiteSource(settings.poster_site_url, fetcher(_checked(settings.poster_site_url)), name)


def _checked(address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ConfigError(f"RECSYS_POSTER_SITE_URL is {address!r}; a base URL such as https://example.org is needed.")
    return address
