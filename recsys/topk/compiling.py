"""How numba compiles here: at import, for one signature, and once per machine where a folder can keep the code."""

import logging
from collections.abc import Callable
from typing import Any

from numba import njit, types

log = logging.getLogger(__name__)


def read_only(kind: Any, n_dimensions: int) -> Any:
    """An array that is only read: what NumPy marks as read-only is taken as well as what it does not."""
    return types.Array(kind, n_dimensions, "C", readonly=True)


def compiled(signature: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Compile for one signature, at import, and keep the code for later processes where a folder allows it."""

    def compile_now(function: Callable[..., None]) -> Callable[..., None]:
        dispatcher = njit(nogil=True)(function)
        try:
            dispatcher.enable_caching()
        except RuntimeError as error:
            log.warning("every process compiles the top-k kernel for itself (seconds); set NUMBA_CACHE_DIR: %s", error)
        dispatcher.compile(signature)
        dispatcher.disable_compile()
        ready: Callable[..., None] = dispatcher
        return ready

    return compile_now
