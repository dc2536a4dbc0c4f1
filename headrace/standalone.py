"""All roles in one process: the local log and store, one event loop, the heavy parts in native code without the GIL."""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import structlog
import uvicorn
import uvloop

from headrace import command, release
from headrace.admin_token import AdminGate
from headrace.banner import Banner
from headrace.core import Core
from headrace.front import create_router
from headrace.http_protocol import BoundedProtocol
from headrace.readiness import Readiness
from headrace.roles import EndedError, OpenError, Roles
from headrace.server_file import ServerFile
from headrace.settings import Loaded, Settings, split_address
from shared.asgi.router import Router
from shared.auth.tokens import new_token
from shared.clock import SystemClock
from shared.errors import HeadraceError, InternalError
from shared.model.instance import Instance
from shared.native import CorruptError, Files, FolderLock
from shared.telemetry import logs

DRAIN_S = 30
"""How long requests under way may take once the server is told to stop."""

KEEP_ALIVE_S = 120
"""Longer than the pauses of a sender: a connection closed just as a request leaves looks like a failure to it."""

log = structlog.get_logger(__name__)


class StartError(Exception):
    """The server cannot start; the text is one line that says what to do."""


def run(loaded: Loaded) -> None:
    """Serves until SIGTERM or SIGINT. Takes the port and the folder's lock before it touches anything."""
    settings = loaded.settings
    logs.configure(settings.logging.level, settings.logging.format)
    for name in loaded.unknown_variables:
        log.warning("unknown_variable", name=name)
    with _bound(settings.listen) as listener:
        lock = _locked(settings.data)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_serve(settings, listener))
        finally:
            lock.release()


def _locked(data: Path) -> FolderLock:
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        reason = "it is a file" if isinstance(error, FileExistsError) else error.strerror
        raise StartError(f"data folder {data} cannot be made: {reason}; choose another with --data") from None
    try:
        return Files.real().lock(str(data))
    except OSError as error:
        raise StartError(str(error.strerror)) from None


@contextlib.contextmanager
def _bound(listen: str) -> Iterator[socket.socket]:
    host, port = split_address(listen)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StartError(
            f"{listen} is no address of this machine: {error.strerror}; choose another with --listen"
        ) from None
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(1024)
        except OSError as error:
            reason = error.strerror or "it cannot be listened on"
            raise StartError(
                f"{listen} cannot be used ({reason}): stop what uses it, or choose another HOST:PORT with --listen "
                "or HEADRACE_LISTEN"
            ) from None
        listener.settimeout(0)
        yield listener


class _Server(uvicorn.Server):
    """Signals belong to us: after the server has stopped there is still the drain to do."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(settings: Settings, listener: socket.socket) -> None:
    clock = SystemClock()
    try:
        core = await Core.open(settings, clock)
        instance, created = await core.first_instance()
    except (ValueError, OSError, CorruptError, HeadraceError) as error:
        raise StartError(str(error)) from error
    if core.cluster.partitions != settings.partitions:
        log.warning("partitions_are_fixed", in_force=core.cluster.partitions, setting=settings.partitions)
    admin_token = settings.admin_token.get_secret_value() if settings.admin_token else new_token()
    gate = AdminGate(admin_token)
    readiness = Readiness()
    router = create_router(core, readiness, gate)
    server = _Server(_http_config(router))
    stopping, hurrying = _stop_on_signals(server)
    address = _address(listener)
    ServerFile(address, os.getpid(), admin_token).write(settings.data)
    try:
        _say(_banner(core, address, instance, created=created))
        try:
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(server.serve(sockets=[listener]), name="http")
                tasks.create_task(
                    _work(core, router, readiness, gate, server, serving, stopping, hurrying), name="roles"
                )
        except* (OpenError, EndedError) as group:
            raise StartError(str(group.exceptions[0])) from group
    finally:
        ServerFile.remove(settings.data)
        await core.registry.close()
    log.info("stopped")


async def _work(
    core: Core,
    router: Router,
    readiness: Readiness,
    gate: AdminGate,
    server: _Server,
    serving: asyncio.Task[None],
    stopping: asyncio.Event,
    hurrying: asyncio.Event,
) -> None:
    """The roles from their opening to their drain: requests end before what they ask of is closed."""
    readiness.waits_for(lambda: "opening the log and the store")
    roles = await Roles.open(core)
    try:
        readiness.waits_for(roles.missing)
        router.add(*roles.routes(gate))
        gc.freeze()  # what was loaded stays: no collection has to walk it again
        await roles.run_until(stopping)
        log.info("stopping")
        readiness.stop()
        server.should_exit = True
        await asyncio.wait({serving})
    finally:
        await roles.close(hurrying)


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


def _stop_on_signals(server: _Server) -> tuple[asyncio.Event, asyncio.Event]:
    """The first signal stops in order (`stopping`); the second waits for neither requests nor drain (`hurrying`)."""
    stopping, hurrying = asyncio.Event(), asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            server.force_exit = True
            hurrying.set()
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    return stopping, hurrying


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _banner(core: Core, address: str, instance: Instance, *, created: bool) -> Banner:
    token = None
    if sys.stdout.isatty():
        try:
            token = core.instances.token_of(instance)
        except InternalError as error:  # a foreign key file: everything works but showing tokens
            log.warning("token_unreadable", app_id=instance.app_id, error=str(error))
    return Banner(release(), command(), address, core.settings.data, instance.app_id, created, token)


def _say(banner: Banner) -> None:
    sys.stdout.write(banner.text())
    sys.stdout.flush()
