"""Ends what is done for a client once the client has gone."""

import asyncio
from types import TracebackType

from shared.asgi.messages import ClientGoneError
from shared.asgi.types import Receive

PATIENCE_S = 0.005
"""Watching takes a task, which costs as much as a small query. What is done sooner is not watched."""


class Leaving:
    """Cancels its block when the client closes the connection, and raises ClientGoneError. The request's body has been
    received before.
    """

    __slots__ = ("_before", "_is_gone", "_receive", "_task", "_timer", "_watching")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_gone = False
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("outside of a task nothing can be cancelled")
        self._task = task
        self._before = task.cancelling()
        self._timer = task.get_loop().call_later(PATIENCE_S, self._watch)

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()
        if self._is_gone and self._task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise ClientGoneError from None

    def _watch(self) -> None:
        self._watching = self._task.get_loop().create_task(self._disconnected())

    async def _disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        self._task.cancel()
