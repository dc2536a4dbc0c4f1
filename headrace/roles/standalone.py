"""All roles in one process, on the log and the store of a data folder."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from distributor.rates import Rates
from distributor.rejections import OwnRejections
from headrace.core import Core
from headrace.front import Front
from headrace.observe import observe_local
from headrace.roles.administration import flush_route, own_usage_route, usage_route
from headrace.roles.distributor import distributor_routes, splitter_of
from headrace.roles.ingester import IngesterRole, ingester_settings
from headrace.roles.querier import Querier
from headrace.roles.running import OpenError, Routes
from headrace.series_guard import HeadGuard
from headrace.settings import Settings
from headrace.usage import InstanceFigures, Usages, counted_in
from ingester.service import Ingester
from shared import native
from shared.errors import HeadraceError
from shared.local.log import LocalLog
from shared.local.membership import LocalMembership
from shared.local.store import LocalStore


@dataclass(frozen=True, slots=True)
class Standalone:
    """`headrace.roles.running.Running`."""

    front: Front
    core: Core
    log: LocalLog
    store: LocalStore
    splitter: native.Splitter
    ingester: IngesterRole
    querier: Querier
    figures: InstanceFigures

    @classmethod
    async def open(cls, front: Front, core: Core) -> "Standalone":
        """Opens the files and begins the replay; `missing` says how far it is. Raises OpenError."""
        settings, data = core.settings, core.settings.data
        files = native.Files.real()
        splitter = splitter_of(settings, core.cluster)
        try:
            log = LocalLog(await asyncio.to_thread(_open_log, settings, files, splitter, data))
            store = await asyncio.to_thread(
                LocalStore.open, files, str(data / "store"), window_ms=settings.ingester.window_s * 1000
            )
            ingester = await IngesterRole.start(
                Ingester(
                    log=log,
                    store=store,
                    registry=core.registry,
                    membership=LocalMembership(core.clock),
                    clock=core.clock,
                    settings=ingester_settings(settings),
                ),
                drain_s=settings.drain_s,
            )
        except (native.CorruptError, native.UnsupportedError, HeadraceError, OSError) as error:
            raise OpenError(f"{data}: {error}") from error
        querier = Querier.of(
            core,
            log=log,
            store=store,
            client=ingester.ingester.client(),
            partitions_of=splitter.partitions_of,
            replay=ingester.replay,
            look_up=store.present_directory,
        )
        observe_local(core.metrics, log, store, ingester.ingester)
        figures = InstanceFigures(ingester.ingester, core.registry, core.clock)
        figures.observed_by(core.metrics)
        return cls(front, core, log, store, splitter, ingester, querier, figures)

    def routes(self) -> Routes:
        guard = HeadGuard(self.splitter, self.ingester.ingester.head)
        rejections = OwnRejections(self.core.clock)
        count = counted_in(self.ingester.ingester.holdings)
        usages = Usages(count, self.store, self.splitter.partitions_of, self.core.clock)
        return (
            distributor_routes(
                self.core,
                log=self.log,
                splitter=self.splitter,
                guard=guard,
                rejections=rejections,
                rates=Rates(self.core.clock),
            )
            | self.querier.routes
            | flush_route(self.front.gate, self.ingester.flush)
            | usage_route(self.front, usages)
            | own_usage_route(self.core.authenticator, usages)
        )

    def missing(self) -> str | None:
        if self.log.failure is not None:
            return f"the log has failed, restart the server: {self.log.failure}"
        return self.ingester.missing()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.figures.run(), name="instance-figures")
            tasks.create_task(self.ingester.run(), name="ingester-ended")

    async def close(self, hurried: asyncio.Event) -> None:
        await self.ingester.close(hurried, drain=self.log.failure is None)
        self.querier.close()
        await self.log.close()
        await self.store.close()


def _open_log(settings: Settings, files: native.Files, splitter: native.Splitter, data: Path) -> native.LocalLog:
    return native.LocalLog.open(
        files,
        str(data / "log"),
        splitter=splitter,
        segment_bytes=settings.log.segment_bytes,
        queue_bytes=settings.log.queue_bytes,
    )
