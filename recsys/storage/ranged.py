"""A remote object as a seekable file that fetches only the ranges it is asked for."""

import io
from collections.abc import Callable

from recsys.errors import TransientError


class RangedReader(io.RawIOBase):
    """Reads through ``fetch(first, last)``, both ends included, so that Parquet readers can skip.

    >>> data = b"0123456789"
    >>> reader = RangedReader(lambda first, last: data[first : last + 1], len(data))
    >>> reader.seek(-3, io.SEEK_END), reader.read(2), reader.tell()
    (7, b'78', 9)
    """

    def __init__(self, fetch: Callable[[int, int], bytes], size_bytes: int) -> None:
        self._fetch = fetch
        self._size = size_bytes
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        length = min(len(buffer), self._size - self._at)
        if length <= 0:
            return 0
        data = self._fetch(self._at, self._at + length - 1)
        if len(data) != length:
            raise TransientError(
                f"{len(data):,} bytes came where {length:,} from byte {self._at:,} on were asked for: the object "
                "changed, or the server knows no ranges. Run the step again; if it fails again, use another server."
            )
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
