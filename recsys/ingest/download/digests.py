"""Fingerprints: of a file's bytes, and of tables' contents however they are stored."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa

_CHUNK_BYTES = 1 << 20
_BATCH_ROWS = 1 << 20
_BSD_SUM = re.compile(r"MD5 \((?P<name>.+)\) = (?P<md5>[0-9a-fA-F]{32})")
_GNU_SUM = re.compile(r"\\?(?P<md5>[0-9a-fA-F]{32})(?:\s+\*?(?P<name>.+))?")


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """The hexadecimal digest of a file, read in chunks of 1 MiB."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sidecar_md5(text: str, name: str) -> str | None:
    """The MD5 sum of a file by what its ``.md5`` sidecar says, in the style of BSD's tools or of GNU's.

    Of several lines the one that names the file counts; a single line may name it otherwise (mirrors rename files).
    None where no sum can be read.

    >>> sidecar_md5("MD5 (ml-1m.zip) = c4d9eecfca2ab87c1945afe126590906", "ml-1m.zip")
    'c4d9eecfca2ab87c1945afe126590906'
    >>> sidecar_md5("c4d9eecfca2ab87c1945afe126590906  ml-1m.zip", "ml-1m.zip")
    'c4d9eecfca2ab87c1945afe126590906'
    >>> sidecar_md5("<html>404</html>", "ml-1m.zip") is None
    True
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = [match for line in lines if (match := _BSD_SUM.fullmatch(line) or _GNU_SUM.fullmatch(line))]
    named = [match for match in found if PurePosixPath(match["name"] or "").name == name]
    chosen = named or (found if len(lines) == 1 else [])
    return chosen[0]["md5"].lower() if chosen else None


def tables_fingerprint(tables: Mapping[str, pa.Table]) -> str:
    """One sha256 over the content of several tables: names, schemas, rows in order.

    It is taken over Arrow's IPC stream in fixed batches, so chunking, compression and the Parquet
    writer's version do not change it.

    >>> one = pa.table({"a": [1, 2]})
    >>> two = pa.concat_tables([one.slice(0, 1), one.slice(1)])
    >>> tables_fingerprint({"t": one}) == tables_fingerprint({"t": two})
    True
    >>> tables_fingerprint({"t": one}) == tables_fingerprint({"t": one.slice(1)})
    False
    """
    digest = hashlib.sha256()
    for name in sorted(tables):
        table = tables[name].replace_schema_metadata(None)
        digest.update(f"{name}:{table.num_rows}\n".encode())
        with pa.ipc.new_stream(pa.PythonFile(_Digesting(digest), mode="w"), table.schema) as stream:
            for start in range(0, table.num_rows, _BATCH_ROWS):
                # A compacted copy: slices would carry their parents' offsets into the bytes.
                rows = table.slice(start, _BATCH_ROWS)
                stream.write_table(rows.take(np.arange(rows.num_rows)).combine_chunks())
    return digest.hexdigest()


class _Digesting:
    """A file for writing that keeps nothing but the digest."""

    closed = False

    def __init__(self, digest: "hashlib._Hash") -> None:
        self._digest = digest

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass
