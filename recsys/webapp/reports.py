"""Which reports there are, and how one is shown: its key from an address, its media type, and what it may do.

Reports hold text of the data and share an origin with Airflow, where a script could act as the person who is signed
in. So each is sandboxed: it gets an origin of its own, without cookies, storage or requests. Of all reports only the
exploratory ones may run scripts, which draw their figures. A page must carry its styles, images and fonts in itself:
what a sandboxed page asks for goes out without the cookie that signs its reader in (seen in Chromium), while a link
that fills the whole window takes it along.
"""

import contextlib
from pathlib import PurePosixPath

from recsys.errors import ConfigError, NotFoundError
from recsys.storage import layout
from recsys.storage.base import Store, check_key
from recsys.storage.releases import Lineage
from recsys.storage.snapshots import read_manifest
from recsys.webapp.inputs import excerpt

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ico": "image/x-icon",
    ".otf": "font/otf",
    ".woff2": "font/woff2",
}
_INLINE = "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; base-uri 'none'; frame-ancestors 'self'"
_STILL_POLICY = f"sandbox; default-src 'none'; {_INLINE}"
_DRAWN_POLICY = f"sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob:; {_INLINE}"


def key_of(path: str) -> str:
    """The key of a report, from its path below ``reports/``.

    Raises:
        NotFoundError: the path leads elsewhere, or to a kind of file that no report consists of.

    >>> key_of("eda/ml-25m-0123456789ab.html")
    'reports/eda/ml-25m-0123456789ab.html'
    """
    key = f"{layout.REPORTS}/{path}"
    try:
        check_key(key)
    except ConfigError as error:
        raise NotFoundError(f"{excerpt(path)} is no report: addresses name plain files below reports/.") from error
    if PurePosixPath(key).suffix not in MEDIA_TYPES:
        raise NotFoundError(
            f"{excerpt(path)} is no report: they are files of the kinds {', '.join(sorted(MEDIA_TYPES))}."
        )
    return key


def policy(key: str) -> str:
    """What a report may do, as a Content-Security-Policy.

    >>> policy("reports/validation/a.html").split(";")[0], policy("reports/eda/a.html").split(";")[0]
    ('sandbox', 'sandbox allow-scripts')
    """
    is_drawn = key.startswith(f"{layout.REPORTS}/eda/") and key.endswith(".html")
    return _DRAWN_POLICY if is_drawn else _STILL_POLICY


def current(store: Store, lineage: Lineage) -> dict[str, str]:
    """Keys of the reports there are on the snapshot behind a release, by what they are called.

    Args:
        store: where they are.
        lineage: of the release.
    """
    keys = of_snapshot(lineage.snapshot_id)
    with contextlib.suppress(NotFoundError):  # the snapshot was removed, and with it the name of its ingest
        keys |= of_ingest(read_manifest(store, lineage.snapshot_id).lineage.ingest_id)
    # Data Docs are many pages. Shown in Airflow's frame a sandboxed page cannot lead to the next: no cookie goes along.
    keys.pop("Data Docs", None)
    return existing(store, keys)


def of_ingest(ingest_id: str) -> dict[str, str]:
    """Keys of the reports that an ingest's validation writes, by what they are called.

    >>> sorted(of_ingest("manual-1"))
    ['Data Docs', 'Validation report']
    """
    return {
        "Validation report": layout.validation_report(ingest_id),
        "Data Docs": f"{layout.data_docs(ingest_id)}/index.html",
    }


def of_snapshot(snapshot_id: str) -> dict[str, str]:
    """The key of the report on a snapshot, by what it is called.

    >>> of_snapshot("sample-1")
    {'Exploratory report': 'reports/eda/sample-1.html'}
    """
    return {"Exploratory report": layout.eda_report(snapshot_id)}


def existing(store: Store, keys: dict[str, str]) -> dict[str, str]:
    """Those of the keys that are there."""
    return {name: key for name, key in keys.items() if store.exists(key)}
