"""One serving process: HTTP from the first moment on, roles as soon as they can be opened, an end in order."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

import structlog
import uvicorn

from headrace.front import Front
from headrace.http_protocol import BoundedProtocol
from headrace.roles.running import EndedError, OpenError, Running
from shared.asgi.router import Router

DRAIN_S = 30
"""How long requests under way may take once the server is told to stop."""

STOP_S = 25
"""From being told to stop, `drain_s` apart, until a process that has not ended is ended."""

KEEP_ALIVE_S = 120
"""Longer than the pauses of a sender: a connection closed just as a request leaves looks like a failure to it."""

SWITCH_S = 0.0005
"""So long a thread that runs Python keeps others waiting. With Python's own 5 ms a query waits that long for a thread
that reads the log or sends to it, more than once.
"""

T = TypeVar("T")

log = structlog.get_logger(__name__)


class StartError(Exception):
    """The process cannot start; each line of the text says what to do."""


class Stopping:
    """The first request to stop is obeyed in order (`asked`); the second waits for neither requests nor drain
    (`hurried`).

    Whatever hangs then, the process ends `limit_s` after the first: all that is not stored is in the log, and who is
    killed by a supervisor in the middle of something has it no better.
    """

    def __init__(self, *, limit_s: float) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()
        self._limit_s = limit_s

    def ask(self) -> None:
        if self.asked.is_set():
            self.hurried.set()
        else:
            self._watch()
        self.asked.set()

    def _watch(self) -> None:
        """In a thread: what hangs may be the event loop, or the threads that its end waits for."""
        watch = threading.Timer(self._limit_s, _end_now, [self._limit_s])
        watch.daemon = True
        watch.start()

    def on_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.ask)


async def serve(
    front: Front,
    listeners: Sequence[socket.socket],
    open_roles: Callable[[], Coroutine[Any, Any, Running]],
    stopping: Stopping,
) -> None:
    """Serves `front` at once, and what `open_roles` opens from then on, until `stopping`. Raises StartError if the
    roles cannot be opened, or end by themselves.
    """
    sys.setswitchinterval(SWITCH_S)
    server = _Server(_http_config(front.router))
    try:
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(server.serve(sockets=list(listeners)), name="http")
            tasks.create_task(_work(front, server, serving, open_roles, stopping), name="roles")
    except* (OpenError, EndedError) as group:
        raise StartError(str(group.exceptions[0])) from group


async def _work(
    front: Front,
    server: "_Server",
    serving: asyncio.Task[None],
    open_roles: Callable[[], Coroutine[Any, Any, Running]],
    stopping: Stopping,
) -> None:
    """The roles from their opening to their drain: requests end before what they ask of is closed."""
    roles = await unless(stopping.asked, open_roles())
    try:
        if roles is not None:
            front.readiness.waits_for(roles.missing)
            routes = roles.routes()
            front.router.add(routes.exact, routes.patterns)
            gc.freeze()  # what was loaded stays: no collection has to walk it again
            await unless(stopping.asked, roles.run())
        log.info("stopping")
        front.readiness.stop()
        server.should_exit = True
        await unless(stopping.hurried, asyncio.wait({serving}))
        server.force_exit = True  # nothing, if all requests have ended
        await asyncio.wait({serving})
    finally:
        if roles is not None:
            await roles.close(stopping.hurried)


async def unless(asked: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """What the work returns or raises; None, and the work cancelled, once `asked` is set."""
    working = asyncio.create_task(work)
    waiting = asyncio.create_task(asked.wait())
    first: set[asyncio.Future[Any]] = {working, waiting}
    try:
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait({working})
    return None if working.cancelled() else working.result()


def _end_now(waited_s: float) -> None:
    names = sorted(thread.name for thread in threading.enumerate() if thread is not threading.current_thread())
    log.error("stop_took_too_long", waited_s=waited_s, threads=names)
    os._exit(1)


class _Server(uvicorn.Server):
    """Signals belong to us: after the server has stopped there is still the drain to do."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _http_config(app: Router) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
    )
