"""Turns the errors of a file system into this package's, so that a full disk is not retried and a passing fault is."""

import contextlib
import errno
import uuid
from collections.abc import Iterator
from pathlib import Path

from recsys.errors import ConfigError, PermanentError, TransientError

# No object stands behind a name that is missing, a folder, or below a file.
ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
# A network file system that is away, a device that did not answer, too much open at once.
_PASSING = frozenset({
    errno.EIO, errno.ESTALE, errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ETIMEDOUT, errno.ENOTCONN,
    errno.ECONNRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH,
    errno.EMFILE, errno.ENFILE, errno.ENOMEM,
})  # fmt: skip


@contextlib.contextmanager
def mapped_os_errors(what: str) -> Iterator[None]:
    """Within this block an `OSError` becomes a `ConfigError`, a `TransientError` or else a `PermanentError`.

    Args:
        what: the file or object at work; it begins the message.

    >>> with mapped_os_errors("/store/a.json"):
    ...     raise OSError(errno.EDQUOT, "Disk quota exceeded")
    Traceback (most recent call last):
    recsys.errors.ConfigError: /store/a.json: the disk or the quota is full ([Errno 122] Disk quota exceeded). \
Nothing was written. Free space and run again.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            text = f"the disk or the quota is full ({error}). Nothing was written. Free space and run again."
            raise ConfigError(f"{what}: {text}") from error
        if error.errno in _DENIED:
            text = f"access is refused ({error}). Nothing was changed. Check owner, permissions and mount."
            raise ConfigError(f"{what}: {text}") from error
        if error.errno in _PASSING:
            text = f"the file system failed ({error}). Run the step again; if it fails again, check the disk."
            raise TransientError(f"{what}: {text}") from error
        raise PermanentError(f"{what}: {error}. Nothing was changed. Check the path.") from error


@contextlib.contextmanager
def complete_file(path: Path) -> Iterator[Path]:
    """A temporary neighbour of `path` that takes its name on success and vanishes on failure."""
    temporary = path.with_name(f".{uuid.uuid4().hex}")
    with mapped_os_errors(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
