"""The web application: a user's list, a movie's neighbours, a title search, the reports; as pages and as JSON.

It is mounted in Airflow by plugins/recsys_plugin.py, which passes the dependency that turns anonymous requests
away. Pages hold no script, and their policy allows none: they share an origin with Airflow, where a
script could act as the person who is signed in.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from recsys.errors import ConfigError, NotFoundError, RecsysError
from recsys.pages.rendering import render
from recsys.storage import layout, releases
from recsys.storage.base import Store
from recsys.webapp import queries, reports, source_id_lookup
from recsys.webapp.inputs import read_ratings
from recsys.webapp.limited_body import LimitedBody
from recsys.webapp.queries import Published, Row

_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'self'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": _PAGE_POLICY,
}


Recommend = Callable[[Store, Mapping[int, float], int, Published], list[Row]]
# Ids are 32-bit integers in every table.
Id = Annotated[int, Field(ge=-(2**31), lt=2**31)]


class Newcomer(BaseModel):
    """What is asked for somebody new: ratings by the movies' ids, as the source has them."""

    model_config = ConfigDict(extra="forbid")

    ratings: dict[str, float]  # by movie, as the source calls it
    k: int = 10


def create_app(store: Store, dependencies: Sequence[Any] = (), recommend: Recommend | None = None) -> FastAPI:
    """The application over one store.

    Args:
        store: holds what is published.
        dependencies: what every route depends on, such as a signed-in user. Without any, whoever can reach
            the address can read.
        recommend: makes a list from ratings (`recsys.webapp.new_user_lists.recommend`); without it, none is offered.
    """
    # No generated documentation: it would be open to anonymous requests and needs scripts of another site.
    app = FastAPI(
        title="Recommendations", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[*dependencies]
    )
    app.add_middleware(LimitedBody)
    app.middleware("http")(_with_headers)
    app.exception_handler(RecsysError)(_failed)
    app.exception_handler(RequestValidationError)(_malformed)
    _add_pages(app, store)
    _add_files(app, store)
    _add_json(app, store)
    if recommend is not None:
        _add_newcomers(app, store, recommend)
    return app


def _add_newcomers(app: FastAPI, store: Store, recommend: Recommend) -> None:
    @app.get("/new", response_class=HTMLResponse)
    def new(ratings: str = "") -> str:
        published = queries.published(store)
        numbers = source_id_lookup.movie_numbers(store, published.version_id)
        given = read_ratings(ratings, numbers, has_ratings=published.lineage.has_ratings)
        rows = recommend(store, given, 10, published)
        source = rows[0]["source"] if rows else "popular"
        return _page(store, published, newcomer=ratings, listed=_with_posters(store, rows), source=source)

    @app.post("/api/lists")
    def new_list(newcomer: Newcomer) -> list[Row]:
        published = queries.published(store)
        number = source_id_lookup.movie_numbers(store, published.version_id)
        ratings = {number(movie_id): stars for movie_id, stars in newcomer.ratings.items()}
        return recommend(store, ratings, newcomer.k, published)


def _add_pages(app: FastAPI, store: Store) -> None:
    # Each page asks once for the release, so that all it shows is of the same one, whatever is published meanwhile.
    @app.get("/", response_class=HTMLResponse)
    def home() -> str:
        if not releases.latest(store, 1):
            return _rendered()  # nothing is published yet, and the page says so
        published = queries.published(store)
        version_id = published.version_id
        famous = queries.most_rated(store, version_id=version_id)
        return _page(store, published, famous=famous, user_range=queries.user_range(store, version_id))

    @app.get("/user", response_class=HTMLResponse)
    def user(user_id: str = "") -> str:
        published = queries.published(store)
        version_id = published.version_id
        number = source_id_lookup.user_number(store, user_id, version_id)
        return _page(
            store,
            published,
            user_id=user_id.strip(),
            listed=_with_posters(store, queries.user_list(store, number, version_id)),
            source=queries.list_source(store, number, version_id),
            rated=queries.rated_high(store, number, 10, version_id),
        )

    @app.get("/movie", response_class=HTMLResponse)
    def movie(movie_id: str = "") -> str:
        published = queries.published(store)
        version_id = published.version_id
        number = source_id_lookup.movie_number(store, movie_id, version_id)
        neighbours = _with_posters(store, queries.similar_movies(store, number, version_id))
        return _page(store, published, movie=queries.movie(store, number, version_id), neighbours=neighbours)

    @app.get("/search", response_class=HTMLResponse)
    def search(q: str = "") -> str:
        published = queries.published(store)
        return _page(store, published, text=q, found=queries.find_movies(store, q, version_id=published.version_id))


def _add_files(app: FastAPI, store: Store) -> None:
    @app.get("/poster")
    def poster(movie_id: Id) -> Response:
        return Response(store.get(layout.poster_image(movie_id)), media_type="image/jpeg")

    @app.get("/reports/{path:path}")
    def report(path: str) -> Response:
        key = reports.key_of(path)
        media_type = reports.MEDIA_TYPES[PurePosixPath(key).suffix]
        headers = {"Content-Security-Policy": reports.policy(key)}
        return Response(store.get(key), media_type=media_type, headers=headers)


def _add_json(app: FastAPI, store: Store) -> None:
    # As for the pages: one answer, one release. Another may have other numbers for the source's ids.
    @app.get("/api/release")
    def release() -> Row:
        return queries.published(store).to_json()

    @app.get("/api/users/{user_id}")
    def user_list(user_id: str) -> list[Row]:
        version_id = queries.current_version(store)
        return queries.user_list(store, source_id_lookup.user_number(store, user_id, version_id), version_id)

    @app.get("/api/movies/{movie_id}/similar")
    def similar(movie_id: str) -> list[Row]:
        version_id = queries.current_version(store)
        return queries.similar_movies(store, source_id_lookup.movie_number(store, movie_id, version_id), version_id)

    @app.get("/api/movies")
    def find(q: str) -> list[Row]:
        return queries.find_movies(store, q)


def _page(store: Store, published: Published, **shown: Any) -> str:
    """The one page: what is current, the two forms, and what was asked for."""
    lineage = published.lineage
    return _rendered(
        release=published.release,
        lineage=lineage,
        has_ratings=lineage.has_ratings,
        reports=reports.current(store, lineage),
        gone=queries.gone(store, lineage),
        **shown,
    )


def _rendered(**shown: Any) -> str:
    blank: dict[str, Any] = dict.fromkeys(
        (
            "release",
            "lineage",
            "user_id",
            "newcomer",
            "listed",
            "movie",
            "neighbours",
            "text",
            "found",
            "fault",
            "famous",
            "user_range",
        )
    )
    blank |= {"reports": {}, "gone": [], "source": "als", "rated": None, "has_ratings": True}
    return render("explorer.html", title="Recommendations", **{**blank, **shown})


def _with_posters(store: Store, rows: list[Row]) -> list[Row]:
    return [{**row, "has_poster": store.exists(layout.poster_image(row["movie_id"]))} for row in rows]


async def _with_headers(request: Request, call_next: Callable[[Request], Any]) -> Any:
    response = await call_next(request)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _malformed(request: Request, error: Exception) -> Response:
    """What is wrong and where, without the value itself: JSON has no words for some, such as NaN."""
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    return JSONResponse(
        {"detail": [{"loc": [_place(at) for at in fault["loc"]], "msg": fault["msg"]} for fault in faults[:10]]}, 422
    )


def _place(at: str | int) -> str | int:
    """A part of where a fault is: a key that somebody sent, perhaps, of any length and with any characters."""
    return at if isinstance(at, int) else at[:80].encode(errors="replace").decode()


def _failed(request: Request, error: Exception) -> Response:
    """A sentence instead of a stack trace: 404 not there, 400 makes no sense, 503 cannot be read now."""
    status = 404 if isinstance(error, NotFoundError) else 400 if isinstance(error, ConfigError) else 503
    if "/api/" in request.url.path or request.url.path.endswith("/poster"):
        return JSONResponse({"detail": str(error)}, status)
    return HTMLResponse(_rendered(fault=str(error)), status)
