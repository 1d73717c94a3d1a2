"""Every host's robots.txt is obeyed, for images and redirects too, and its pauses are kept."""

import time

import pytest

from recsys.errors import ConfigError, TransientError
from recsys.posters.fetcher import Fetcher
from recsys.posters.poster_sources import Movie, SiteSource
from recsys.posters.robots import Robots
from tests.posters.servers import answer, server

MOVIE = Movie(7, "Quiet (1987)", 1987, ("Drama",), "tt0000007", 77)
CLOSED = answer(body=b"User-agent: *\nDisallow: /images/\n")


def page(image):
    return answer(body=f'<meta property="og:image" content="{image}">'.encode())


def paths(requests):
    return [path for path, _ in requests]


def find(base, *more):
    with Fetcher([base, *more], timeout_s=2, n_attempts=2, max_wait_s=0.1) as fetcher:
        return SiteSource(base, fetcher).find(MOVIE)


def admitted(base, *urls):
    """Seconds until all of some addresses were admitted."""
    with Fetcher([base], timeout_s=2) as fetcher:
        robots = Robots(fetcher)
        began = time.monotonic()
        for url in urls:
            robots.admit(url)
        return time.monotonic() - began


def test_an_image_on_another_host_is_closed_where_that_hosts_rules_say_so():
    with server({"/robots.txt": CLOSED, "/images/7.jpg": answer()}) as (images, at_images):
        routes = {"/robots.txt": answer(404), "/title/tt0000007/": page(f"{images}/images/7.jpg")}
        with server(routes) as (base, _), pytest.raises(ConfigError, match=f"closed to robots by {images}/robots.txt"):
            find(base, images)
    assert paths(at_images) == ["/robots.txt"]


def test_an_image_beside_the_part_that_is_scraped_is_closed_too():
    routes = {"/robots.txt": CLOSED, "/films/title/tt0000007/": page("/images/7.jpg"), "/images/7.jpg": answer()}
    with server(routes) as (base, requests):
        with Fetcher([base], timeout_s=2) as fetcher, pytest.raises(ConfigError, match="closed to robots"):
            SiteSource(f"{base}/films", fetcher).find(MOVIE)
    assert paths(requests) == ["/robots.txt", "/films/title/tt0000007/"]


def test_a_redirect_into_a_closed_part_is_not_followed():
    routes = {
        "/robots.txt": CLOSED,
        "/title/tt0000007/": page("/open.jpg"),
        "/open.jpg": answer(302, Location="/images/7.jpg"),
        "/images/7.jpg": answer(),
    }
    with server(routes) as (base, requests), pytest.raises(ConfigError, match="closed to robots"):
        find(base)
    assert paths(requests) == ["/robots.txt", "/title/tt0000007/", "/open.jpg"]


def test_a_redirect_to_another_host_asks_for_its_rules_first():
    with server({"/robots.txt": answer(404), "/7.jpg": answer(body=b"image")}) as (images, at_images):
        routes = {
            "/robots.txt": answer(404),
            "/title/tt0000007/": page("/7.jpg"),
            "/7.jpg": answer(302, Location=f"{images}/7.jpg"),
        }
        with server(routes) as (base, _):
            assert find(base, images).body == b"image"
    assert paths(at_images) == ["/robots.txt", "/7.jpg"]


@pytest.mark.parametrize("rule", ["Crawl-delay: 1", "crawl-delay: 0.4", "Request-rate: 1/1"])
def test_the_pause_that_a_host_asks_for_is_kept_between_any_two_requests(rule):
    routes = {"/robots.txt": answer(body=f"User-agent: *\n{rule}\n".encode())}
    with server(routes) as (base, requests):
        assert admitted(base, f"{base}/a", f"{base}/b") >= 2  # one after robots.txt, one after /a
    assert paths(requests) == ["/robots.txt"]


def test_a_pause_for_others_is_not_ours():
    routes = {"/robots.txt": answer(body=b"User-agent: slow\nCrawl-delay: 3600\n\nUser-agent: *\nDisallow:\n")}
    with server(routes) as (base, _):
        admitted(base, f"{base}/a", f"{base}/b")


def test_a_pause_of_more_than_a_minute_is_a_refusal():
    with server({"/robots.txt": answer(body=b"User-agent: *\nCrawl-delay: 3600\n")}) as (base, _):
        with pytest.raises(ConfigError, match="asks for 3,600 s between requests, at most 60 are waited"):
            admitted(base, f"{base}/a")


def test_rules_after_a_byte_order_mark_count():
    with server({"/robots.txt": answer(body=b"\xef\xbb\xbfUser-agent: *\nDisallow: /\n")}) as (base, _):
        with pytest.raises(ConfigError, match="closed to robots"):
            admitted(base, f"{base}/a")


def test_without_its_rules_a_host_is_not_asked_and_the_rules_are_not_asked_for_again_and_again():
    with server({"/robots.txt": answer(503)}) as (base, requests):
        with pytest.raises(TransientError, match=r"without its robots\.txt"):
            find(base)
    assert paths(requests) == ["/robots.txt"] * 2
