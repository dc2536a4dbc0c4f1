"""`headrace standalone`: all roles in one process, one event loop, the heavy parts in native code without the GIL."""

import asyncio
import os
import socket
import sys
from pathlib import Path

import structlog
import uvloop

from headrace import command, release
from headrace.admin_token import AdminGate
from headrace.banner import Banner
from headrace.core import Core, vault_of
from headrace.front import Front
from headrace.instances import Instances
from headrace.listener import ListenError, bound, url_of
from headrace.roles.standalone import Standalone
from headrace.server import STOP_S, StartError, Stopping, serve
from headrace.server_file import ServerFile
from headrace.settings import STANDALONE_PARTITIONS, Loaded, Settings
from shared.auth.tokens import new_token, open_vault
from shared.clock import SystemClock
from shared.errors import HeadraceError, InternalError
from shared.local.registry import LocalRegistry
from shared.model.instance import Instance
from shared.native import CorruptError, Files, FolderLock
from shared.telemetry import logs

log = structlog.get_logger(__name__)


def run(loaded: Loaded) -> None:
    """Serves until SIGTERM or SIGINT. Takes the port and the folder's lock before it touches anything."""
    settings = loaded.settings
    logs.configure(settings.logging.level, settings.logging.format)
    for name in loaded.unknown_variables:
        log.warning("unknown_variable", name=name)
    try:
        with bound(settings.listen) as listener:
            lock = _locked(settings.data)
            try:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(_serve(settings, listener))
            finally:
                lock.release()
    except ListenError as error:
        raise StartError(str(error)) from None


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


async def _serve(settings: Settings, listener: socket.socket) -> None:
    admin_token = settings.admin_token.get_secret_value() if settings.admin_token else new_token()
    front = Front(settings, SystemClock(), AdminGate(admin_token))
    try:
        core = await open_core(front)
        instances = front.known_instances()
        instance, created = await first_instance(instances, settings)
    except (ValueError, OSError, CorruptError, HeadraceError) as error:
        raise StartError(str(error)) from error
    if core.cluster.partitions != (settings.partitions or core.cluster.partitions):
        log.warning("partitions_are_fixed", in_force=core.cluster.partitions, setting=settings.partitions)
    stopping = Stopping(limit_s=settings.drain_s + STOP_S)
    stopping.on_signals()
    address = url_of(listener)
    ServerFile(address, os.getpid(), admin_token).write(settings.data)
    try:
        _say(_banner(settings, instances, address, instance, created=created))
        front.readiness.waits_for(lambda: "opening the log and the store")
        await serve(front, [listener], lambda: Standalone.open(front, core), stopping)
    finally:
        ServerFile.remove(settings.data)
        await core.registry.close()
    log.info("stopped")


async def open_core(front: Front) -> Core:
    """Raises ValueError for a key file that cannot be used, CorruptError for a damaged registry."""
    settings = front.settings
    registry = LocalRegistry.open(
        Files.real(), str(settings.data / "registry.journal"), partitions=settings.partitions or STANDALONE_PARTITIONS
    )
    sealed = len(await registry.instances())
    return await Core.of(front, registry, vault_of(settings) or open_vault(settings.vault_key_file, sealed=sealed))


async def first_instance(instances: Instances, settings: Settings) -> tuple[Instance, bool]:
    """The instance that the banner shows, and whether it was created now."""
    token = settings.bootstrap_token.get_secret_value() if settings.bootstrap_token else None
    if settings.bootstrap_app_id is not None:
        return await instances.ensure(settings.bootstrap_app_id, token)
    known = await instances.every()
    return (known[0], False) if known else ((await instances.create(token=token))[0], True)


def _banner(settings: Settings, instances: Instances, address: str, instance: Instance, *, created: bool) -> Banner:
    token = None
    if sys.stdout.isatty():
        try:
            token = instances.token_of(instance)
        except InternalError as error:  # a foreign key file: everything works but showing tokens
            log.warning("token_unreadable", app_id=instance.app_id, error=str(error))
    return Banner(release(), command(), address, settings.data, instance.app_id, created, token)


def _say(banner: Banner) -> None:
    sys.stdout.write(banner.text())
    sys.stdout.flush()
