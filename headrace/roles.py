"""The roles of a standalone server: log, store, ingester, distributor and querier, in the order of their opening."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from distributor.rejections import Rejections
from distributor.routes import routes as write_routes
from distributor.write import WriteDependencies, WriteHandler
from headrace import release
from headrace.admin_token import HEADER, AdminGate
from headrace.core import Core
from headrace.observe import observe_storage
from headrace.series_guard import HeadGuard
from headrace.settings import Settings, hidden_settings
from ingester.service import Ingester
from ingester.settings import IngesterSettings
from querier.api.execution import Executor
from querier.api.routes import QuerierDependencies
from querier.api.routes import routes as query_routes
from querier.api.status import ServerFacts
from querier.storage import Storage
from shared import native
from shared.asgi.messages import Request, Response
from shared.asgi.router import Route
from shared.errors import HeadraceError, UnavailableError
from shared.local.log import LocalLog
from shared.local.membership import LocalMembership
from shared.local.store import LocalStore

log = structlog.get_logger(__name__)

FLUSH_S = 600
"""Longest that POST /api/v1/admin/flush tries."""

NEVER_MS = 1 << 50  # 35,000 years

Patterns = dict[tuple[str, str], Route]


class OpenError(Exception):
    """What is on the disk cannot be opened; the text says what and where."""


class EndedError(Exception):
    """A role has ended although nobody asked it to."""


@dataclass(frozen=True, slots=True)
class Roles:
    core: Core
    log: LocalLog
    store: LocalStore
    ingester: Ingester
    splitter: native.Splitter
    storage: Storage
    executor: Executor
    ingesting: asyncio.Task[None]
    replayed: asyncio.Event

    @classmethod
    async def open(cls, core: Core) -> "Roles":
        """Opens the files and begins the replay; `missing` says how far it is. Raises OpenError."""
        settings, data = core.settings, core.settings.data
        splitter = native.Splitter(
            secret=core.cluster.hash_secret,
            partitions=core.cluster.partitions,
            cache_bytes=settings.write.label_cache_bytes,
        )
        try:
            local_log = LocalLog(await asyncio.to_thread(_open_log, core, splitter, data))
            store = await asyncio.to_thread(
                LocalStore.open, core.files, str(data / "store"), window_ms=settings.ingester.window_s * 1000
            )
            ingester = Ingester(
                log=local_log,
                store=store,
                registry=core.registry,
                membership=LocalMembership(core.clock),
                clock=core.clock,
                settings=_ingester_settings(settings),
            )
            await ingester.start()
        except (native.CorruptError, native.UnsupportedError, HeadraceError, OSError) as error:
            raise OpenError(f"{data}: {error}") from error
        storage = Storage(
            log=local_log,
            store=store,
            client=ingester.client(),
            partitions_of=splitter.partitions_of,
            clock=core.clock,
            wait_s=settings.query.consistency_wait_s,
            retention_s=settings.ingester.retention_s,
        )
        return cls(
            core=core,
            log=local_log,
            store=store,
            ingester=ingester,
            splitter=splitter,
            storage=storage,
            executor=Executor(storage, threads=settings.query.threads, metrics=core.metrics),
            ingesting=asyncio.create_task(ingester.run(), name="ingester"),
            replayed=asyncio.Event(),
        )

    def missing(self) -> str | None:
        """What stands between this server and its job. Asked before every request, so it has to be cheap."""
        if self.ingesting.done():
            return "the ingester has ended"
        if self.log.failure is not None:
            return f"the log has failed, restart the server: {self.log.failure}"
        if self.replayed.is_set():
            return None
        replay = self.ingester.stats().replay
        if replay.done:
            self.replayed.set()
            return None
        part = (replay.offset - replay.begin) / max(replay.end - replay.begin, 1)
        eta = "" if replay.eta_s is None else f", about {replay.eta_s:.0f} s left"
        return f"replaying the log: {part:.0%}{eta}"

    def routes(self, gate: AdminGate) -> tuple[dict[str, Route], Patterns]:
        core = self.core
        write = WriteHandler(
            WriteDependencies(
                authenticator=core.authenticator,
                splitter=self.splitter,
                guard=HeadGuard(self.splitter, self.ingester.head),
                log=self.log,
                clock=core.clock,
                metrics=core.metrics,
                rejections=Rejections(core.clock),
            ),
            max_inflight_bytes=core.settings.write.max_inflight_bytes,
        )
        observe_storage(core.metrics, self.log, self.store, self.ingester)

        async def flush(request: Request) -> Response:
            gate.check(request.headers.get(HEADER))
            try:
                async with asyncio.timeout(FLUSH_S):
                    await self.ingester.flush()
            except TimeoutError:
                alarms = "; ".join(self.ingester.stats().alarms.values()) or "it takes longer"
                raise UnavailableError(f"not everything is stored after {FLUSH_S} s: {alarms}") from None
            return Response(204, b"", None)

        exact, patterns = query_routes(
            self._querier(),
            timeout_s=core.settings.query.timeout_s,
            lookback_ms=int(core.settings.query.lookback_s * 1000),
        )
        administration = {"/api/v1/admin/flush": Route("admin", {"POST": flush}, public=False)}
        return write_routes(write) | exact | administration, patterns

    def _replay(self) -> tuple[int, int, int]:
        replay = self.ingester.stats().replay
        return replay.begin, replay.end, replay.offset

    def _querier(self) -> QuerierDependencies:
        core, settings = self.core, self.core.settings
        retention_s = settings.ingester.retention_s
        return QuerierDependencies(
            authenticator=core.authenticator,
            storage=self.storage,
            executor=self.executor,
            clock=core.clock,
            metrics=core.metrics,
            facts=ServerFacts(
                version=release(),
                started_ms=core.started_ms,
                retention="none" if retention_s is None else f"{retention_s}s",
                settings=hidden_settings(settings),
                replay=self._replay,
            ),
        )

    async def run_until(self, stopping: asyncio.Event) -> None:
        """Raises EndedError if a role ends by itself before that."""
        stop = asyncio.create_task(stopping.wait())
        first: set[asyncio.Future[Any]] = {stop, self.ingesting}
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if self.ingesting.done():
            raise EndedError("the ingester has ended, see the log; what was acknowledged is in the data folder")

    async def close(self, hurrying: asyncio.Event) -> None:
        """Nobody writes any more: bring everything into the store, so that the next start replays nothing; unless
        somebody is in a hurry.
        """
        if not self.ingesting.done() and self.log.failure is None:
            await self._drain(hurrying)
        self.ingesting.cancel()
        await asyncio.wait({self.ingesting})
        if not self.ingesting.cancelled() and (error := self.ingesting.exception()) is not None:
            log.error("ingester_ended", exc_info=error)
        await self.ingester.stop()
        self.executor.close()
        await self.log.close()
        await self.store.close()

    async def _drain(self, hurrying: asyncio.Event) -> None:
        draining = asyncio.create_task(self.ingester.drain(), name="drain")
        hurry = asyncio.create_task(hurrying.wait())
        first: set[asyncio.Future[Any]] = {draining, hurry}
        await asyncio.wait(first, timeout=self.core.settings.drain_s, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        draining.cancel()  # nothing, if it has ended
        await asyncio.wait({draining})
        # Nothing is lost: what is not in the store is replayed from the log.
        if draining.cancelled():
            log.warning("drain_incomplete", error="a second signal" if hurrying.is_set() else "it took too long")
        elif (error := draining.exception()) is not None:
            log.warning("drain_incomplete", exc_info=error)


def _open_log(core: Core, splitter: native.Splitter, data: Path) -> native.LocalLog:
    settings = core.settings.log
    return native.LocalLog.open(
        core.files,
        str(data / "log"),
        splitter=splitter,
        segment_bytes=settings.segment_bytes,
        queue_bytes=settings.queue_bytes,
    )


def _ingester_settings(settings: Settings) -> IngesterSettings:
    own = settings.ingester
    return IngesterSettings(
        window_ms=own.window_s * 1000,
        grace_ms=own.grace_s * 1000,
        memory_bytes=own.memory_bytes,
        retention_ms=NEVER_MS if own.retention_s is None else own.retention_s * 1000,
    )
