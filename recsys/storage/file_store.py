"""A store over a directory."""

import contextlib
import errno
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from recsys.errors import AlreadyExistsError, ConfigError, NotFoundError
from recsys.private_files import make_private_folder
from recsys.storage.base import Store, check_key, check_prefix
from recsys.storage.os_errors import ABSENT, complete_file, mapped_os_errors


class FileStore(Store):
    """Objects as files below one directory. Writes go to a temporary name, are synced, then linked."""

    _TMP = ".tmp"

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.url = str(self.root)

    def put(self, key: str, data: bytes, *, overwrite: bool = False) -> None:
        with self._publishing(key, overwrite) as temporary, temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def put_file(self, key: str, path: Path, *, overwrite: bool = False) -> None:
        with self._publishing(key, overwrite) as temporary, temporary.open("wb") as file:
            with path.open("rb") as source:
                shutil.copyfileobj(source, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())

    def get(self, key: str) -> bytes:
        with self._reading(key) as path:
            return path.read_bytes()

    def get_file(self, key: str, path: Path) -> None:
        self.size_bytes(key)
        with complete_file(path) as temporary, self._reading(key) as source:
            shutil.copyfile(source, temporary)

    def size_bytes(self, key: str) -> int:
        return self._stat(key).st_size

    def modified_at(self, key: str) -> datetime:
        return datetime.fromtimestamp(self._stat(key).st_mtime, UTC)

    def list(self, prefix: str = "") -> Iterator[str]:
        # Only the deepest folder the prefix names is walked; the rest of the store is left alone.
        folder = self.root / check_prefix(prefix).rpartition("/")[0]
        keys = []
        with mapped_os_errors(f"{self.url}: {prefix or 'all keys'}"):
            for directory, folders, files in os.walk(folder, onerror=_refuse_partial_lists):
                folders[:] = [name for name in folders if name != self._TMP]
                keys += [(Path(directory) / name).relative_to(self.root).as_posix() for name in files]
        return iter(sorted(key for key in keys if key.startswith(prefix)))

    def delete(self, key: str) -> None:
        with contextlib.suppress(NotFoundError), self._reading(key) as path:
            path.unlink()

    def uri(self, key: str) -> str:
        return str(self._path(key))

    def open(self, key: str) -> BinaryIO:
        with self._reading(key) as path:
            return path.open("rb")

    def local_path(self, key: str) -> Path:
        return self._path(key)

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    def _stat(self, key: str) -> os.stat_result:
        with self._reading(key) as path:
            found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise NotFoundError.key(key, self.url)
        return found

    @contextlib.contextmanager
    def _reading(self, key: str) -> Iterator[Path]:
        with mapped_os_errors(f"{self.url}: {key}"):
            try:
                yield self._path(key)
            except ABSENT as error:
                raise NotFoundError.key(key, self.url) from error

    @contextlib.contextmanager
    def _publishing(self, key: str, overwrite: bool) -> Iterator[Path]:
        target = self._path(key)
        temporary = self.root / self._TMP / uuid.uuid4().hex
        with mapped_os_errors(f"{self.url}: {key}"):
            self._make_folders(target)
            temporary.parent.mkdir(parents=True, exist_ok=True)
            try:
                yield temporary
                if overwrite:
                    temporary.replace(target)
                else:
                    self._link(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)

    def _make_folders(self, target: Path) -> None:
        try:
            make_private_folder(self.root)
            target.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise ConfigError(
                f"{target} cannot be written: a folder of its path is an object, or no folder. "
                "Nothing was written. Use another key, or another directory for the store."
            ) from error

    def _link(self, temporary: Path, target: Path) -> None:
        """Give a complete file its name: atomic, and refuses to replace."""
        try:
            target.hardlink_to(temporary)
        except FileExistsError as error:
            raise AlreadyExistsError.key(target.relative_to(self.root).as_posix(), self.url) from error
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}:
                raise
            raise ConfigError(
                f"{self.url}: the file system has no hard links ({error}), which create-only writes need. "
                "Nothing was written. Set RECSYS_STORE_URL to a directory elsewhere, or to s3://bucket/prefix."
            ) from error


def _refuse_partial_lists(error: OSError) -> None:
    """A folder that cannot be read must not look like an empty one; one that is gone is empty."""
    if not isinstance(error, ABSENT):
        raise error
