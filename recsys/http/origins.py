"""Where an address leads: its origin, and whether that is this machine."""

from urllib.parse import urlsplit

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def origin_of(url: str) -> str:
    """Scheme, host and port of an address, the port written out.

    >>> origin_of("https://user@Example.org/a"), origin_of("http://[::1]:8600/")
    ('https://example.org:443', 'http://[::1]:8600')
    """
    parts = urlsplit(url)
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        port = None
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


def is_this_machine(url: str) -> bool:
    """Whether an address is one of this machine's own.

    >>> is_this_machine("http://[::1]:8600/"), is_this_machine("http://localhost.example.org/")
    (True, False)
    """
    return urlsplit(url).hostname in _LOOPBACK
