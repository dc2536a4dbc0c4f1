"""`headrace distributor`, `ingester` and `querier`: one role of a cluster, in this process or in several workers."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator, Sequence

import structlog
import uvloop

from headrace.admin_token import AdminGate
from headrace.front import Front
from headrace.listener import ListenError, bound, url_of
from headrace.roles.cluster import open_role
from headrace.roles.place import Place
from headrace.server import STOP_S, StartError, Stopping, serve
from headrace.settings import ClusterRole, Loaded, Settings, SettingsError, validated
from headrace.siblings import Siblings
from headrace.workers import Order, supervise
from shared.clock import SystemClock
from shared.telemetry import logs

log = structlog.get_logger(__name__)


def run(role: ClusterRole, loaded: Loaded) -> int:
    """Serves until SIGTERM or SIGINT; the exit code. Raises StartError."""
    settings = loaded.settings
    place = Place.of(role, settings)
    _configure_logs(settings, place)
    for name in loaded.unknown_variables:
        log.warning("unknown_variable", name=name)
    try:
        if settings.workers > 1:
            return supervise(role, loaded)
        with bound(settings.listen) as listener:
            _serve(settings, place, [listener], None)
    except ListenError as error:
        raise StartError(str(error)) from None
    return 0


def run_worker(role: ClusterRole) -> None:
    """What a supervisor starts. Raises StartError."""
    try:
        order = Order.receive()
        settings = validated(order.values)
    except (ValueError, SettingsError) as error:
        raise StartError(str(error)) from None
    place = Place.of(role, settings, order.index)
    _configure_logs(settings, place)
    with socket.socket(fileno=order.listener) as listener, socket.socket(fileno=order.own) as own:
        _serve(settings, place, [listener, own], order)


def _configure_logs(settings: Settings, place: Place) -> None:
    logs.configure(settings.logging.level, settings.logging.format, role=place.role, name=place.name)


def _serve(settings: Settings, place: Place, listeners: Sequence[socket.socket], order: Order | None) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve_role(settings, place, listeners, order))


async def _serve_role(
    settings: Settings, place: Place, listeners: Sequence[socket.socket], order: Order | None
) -> None:
    token = settings.admin_token
    gate = AdminGate(token.get_secret_value() if token else None)
    front = Front(settings, SystemClock(), gate, administers=place.role.administers)
    stopping = Stopping(limit_s=settings.drain_s + STOP_S)
    stopping.on_signals()
    with contextlib.ExitStack() as opened:
        if order is not None:
            siblings = Siblings(order.index, order.addresses, front.metrics, front.readiness)
            front.router.add(siblings.routes())
            opened.enter_context(_ends_with_its_supervisor(stopping))
        log.info("listening", address=url_of(listeners[0]))
        await serve(front, listeners, lambda: open_role(place, front), stopping)
    log.info("stopped")


@contextlib.contextmanager
def _ends_with_its_supervisor(stopping: Stopping) -> Iterator[None]:
    """The end of standard input is an order to stop."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            stopping.ask()

    loop.add_reader(0, read)
    try:
        yield
    finally:
        loop.remove_reader(0)
