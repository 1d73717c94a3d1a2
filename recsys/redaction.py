"""Takes credentials out of text: the one place that decides what of an address may be shown or stored.

Two ways find them. Every address in a text loses its user, its password and the secret values of its query, whoever
wrote it. The secrets of this process's own settings (`remember`) are replaced wherever they stand, for messages of
libraries that show a password without its address.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

HIDDEN = "***"
# A shorter value is found as a part of ordinary words, and replacing it there would make texts unreadable.
_SHORTEST = 5
_LONG_AS_A_KEY = 16
_ADDRESS = re.compile(r"""[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>\\`|]+""")
# A password that was not escaped may hold any character: all up to the last @ is then taken for it.
_USER = re.compile(r"(?<=://)(?:[^/?#:@]*:\S*@|[^/?#]+@)")
_PARAMETER = re.compile(r"([?&;])([^=&;#?]+)=([^&;#]*)")
_SECRET_NAME = re.compile(r"(?i)key|token|secret|sig|pass|pwd|auth|cred|code|session|jwt|sas|user")
# As Spark's own spark.redaction.regex has it: names of settings are sentences, and a shorter list of words is safer.
_SECRET_SETTING = re.compile(r"(?i)secret|password|token|access[.]?key")
_remembered: set[str] = set()


def redact(text: str) -> str:
    """A text without credentials; everything else in it stays as it is.

    >>> redact("https://ann:pw@example.org/ml.zip?size=2&token=abc answered 403")
    'https://***@example.org/ml.zip?size=2&token=*** answered 403'
    """
    shown: str = redact_addresses(text)
    for secret in sorted(_remembered, key=len, reverse=True):
        shown = shown.replace(secret, HIDDEN)
    return shown


def redact_addresses(document: Any) -> Any:
    """A text, or a JSON document of dicts and lists, with every address in it redacted, and nothing but addresses.

    What is stored goes through this and not through `redact`: a password such as "movies" must not change keys.

    >>> redact_addresses({"source": ["https://ann:pw@example.org/ml.zip"], "n": 1})
    {'source': ['https://***@example.org/ml.zip'], 'n': 1}
    """
    if isinstance(document, str):
        has_address = "://" in document
        return _ADDRESS.sub(lambda found: _without_secrets(found.group()), document) if has_address else document
    if isinstance(document, Mapping):
        return {redact_addresses(name): redact_addresses(value) for name, value in document.items()}
    if isinstance(document, list | tuple):
        return [redact_addresses(value) for value in document]
    return document


def redacted(error: BaseException) -> BaseException:
    """The error itself, without credentials in its texts and in those of what caused it.

    For errors of libraries that become the cause of one of ours: a traceback shows them too.

    >>> str(redacted(OSError("no answer from http://ann:pw@h")))
    'no answer from http://***@h'
    """
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        cause.args = tuple(redact(value) if isinstance(value, str) else value for value in cause.args)
        cause = cause.__cause__ or cause.__context__
    return error


def link(address: str) -> str:
    """An address without user and query: what a page may link to, for browsers that ask for the rest themselves.

    >>> link("https://ann:pw@mlflow.example.org:5000/ui?token=abc")
    'https://mlflow.example.org:5000/ui'
    """
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def secrets_of(address: str) -> Iterator[str]:
    """The secret parts of one address, as they are written and decoded: its password, and values of its query.

    >>> sorted(secrets_of("https://ann:p%40ss@example.org/?size=2&token=abc"))
    ['abc', 'p%40ss', 'p@ss']
    """
    for found in _ADDRESS.findall(address):
        if user := _USER.search(found):
            name, _, password = user.group().removesuffix("@").partition(":")
            # Some services take a token in the place of the user.
            yield from _spellings(password or (name if len(name) >= _LONG_AS_A_KEY else ""))
        for _, name, value in _PARAMETER.findall(found):
            if _is_secret(name, value):
                yield from _spellings(value)


def is_secret_name(name: str) -> bool:
    """Whether a setting of Spark's holds a secret, by its name.

    >>> is_secret_name("spark.hadoop.fs.s3a.secret.key"), is_secret_name("spark.sql.session.timeZone")
    (True, False)
    """
    return bool(_SECRET_SETTING.search(name))


def remember(secrets: Iterable[str]) -> None:
    """Have `redact` replace these values wherever they stand in this process, if they are long enough to be told."""
    _remembered.update(secret for secret in secrets if len(secret) >= _SHORTEST)


class RedactingFormatter(logging.Formatter):
    """Formats records as its base does, tracebacks included, without credentials."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def _without_secrets(address: str) -> str:
    shown = _USER.sub(f"{HIDDEN}@", address, count=1)
    return _PARAMETER.sub(lambda m: f"{m[1]}{m[2]}={HIDDEN if _is_secret(m[2], m[3]) else m[3]}", shown)


def _is_secret(name: str, value: str) -> bool:
    return bool(value) and (bool(_SECRET_NAME.search(name)) or len(value) >= _LONG_AS_A_KEY)


def _spellings(value: str) -> set[str]:
    return {value, unquote(value)} - {""}
