"""Archives from the network: several addresses, each tried patiently, until one delivers.

What may pass is tried again and continued where it broke off; what will not pass (a missing page, a wrong digest,
an expired certificate) moves on to the next address at once. Only when every address has failed does the caller
hear of it, with the reason of each.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from recsys.errors import DataError, PermanentError, TransientError
from recsys.http.http_client import HttpClient
from recsys.http.retrying import retrying
from recsys.ingest.download.transfer import (
    Downloaded,
    Held,
    Policy,
    Transfer,
    Validator,
    WrongSumError,
    refuse_plain_http,
)

__all__ = ["Downloaded", "Held", "Policy", "Validator", "download"]

log = logging.getLogger(__name__)

_USER_AGENT = "recsys (research data download)"
_N_REDIRECTS = 10
WAY_OUT = "Or fetch it by other means and name the file: DATASET=/path/to/archive.zip"


def download(
    addresses: Sequence[str],
    target: Path,
    *,
    md5: str | None = None,
    held: Held | None = None,
    policy: Policy | None = None,
) -> Downloaded | None:
    """Fetch an archive from the first address that has it.

    Args:
        addresses: in the order they are tried. Plain http is refused except to this machine.
        target: where the archive goes; a broken transfer stays beside it and is resumed by the next call.
        md5: the pinned digest. Where there is none, the address is asked for ``<address>.md5``.
        held: a copy already held; if an address says that it has the same one, nothing is fetched.
        policy: attempts, waits and time-outs.

    Returns:
        The archive, or None when `held` is still current.

    Raises:
        TransientError: no address could be reached or finished; a later run may succeed.
        DataError: an address answered, but with a web page or with other bytes than its digest says.
        PermanentError: an address refused for good (401, 403, 404, certificate).
    """
    policy = policy or Policy()
    failures: list[PermanentError | TransientError] = []
    with HttpClient(_USER_AGENT, refuse_plain_http, policy.timeout_s, _N_REDIRECTS) as client:
        for address in addresses:
            try:
                return _persist(Transfer(client, address, target, md5, held, policy), policy)
            except (PermanentError, TransientError) as error:
                log.warning("%s", error)
                failures.append(error)
    raise _summary(target.name, failures)


def _persist(transfer: Transfer, policy: Policy) -> Downloaded | None:
    """Try one address again while its faults may pass."""
    kinds = (TransientError, WrongSumError)
    return retrying(kinds, policy.n_attempts, policy.first_wait_s, policy.longest_wait_s)(transfer.run)


def _summary(name: str, failures: list[PermanentError | TransientError]) -> PermanentError | TransientError:
    reasons = " | ".join(str(failure) for failure in failures)
    text = f"{name}: none of {len(failures)} addresses delivered it. {reasons} | Nothing was stored. "
    if any(isinstance(failure, TransientError) for failure in failures):
        return TransientError(f"{text}Check the network and run again. {WAY_OUT}")
    kind = DataError if any(isinstance(failure, DataError) for failure in failures) else PermanentError
    return kind(f"{text}Trying again will not help. {WAY_OUT}")
