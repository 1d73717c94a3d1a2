"""Bodies of requests end where they become too large, before anything of them is parsed or kept."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import HTTPException

from recsys.webapp.inputs import LARGEST_BODY_BYTES

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class LimitedBody:
    """ASGI middleware: who reads more of a body than is allowed meets a 413 instead."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        n_bytes = 0

        async def limited() -> Message:
            nonlocal n_bytes
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > LARGEST_BODY_BYTES:
                limit = f"{LARGEST_BODY_BYTES:,}"
                raise HTTPException(413, f"The body has more than {limit} bytes. Nothing was looked up. Send less.")
            return message

        await self._app(scope, limited, send)
