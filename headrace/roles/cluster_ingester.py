"""An ingester of a cluster: its share of the partitions, and a gRPC server for those who ask."""

import asyncio
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack
from dataclasses import dataclass

from headrace.observe import Lag, observe_canary, observe_ingester, observe_kafka, replay_ages
from headrace.roles.administration import flush_route
from headrace.roles.ground import Ground
from headrace.roles.ingester import IngesterRole, cluster_settings
from headrace.roles.running import OpenError, Routes
from headrace.settings import join_address
from headrace.usage import InstanceFigures
from ingester.canary import Canary
from ingester.rpc.server import Server
from ingester.service import Ingester
from shared.errors import HeadraceError
from shared.redis.membership import RedisMembership
from shared.redis.store import RedisStore


@dataclass(frozen=True, slots=True)
class ClusterIngester:
    """Others can reach it before it announces itself, and until what it had is with others."""

    ground: Ground
    role: IngesterRole
    lag: Lag
    canary: Canary | None
    figures: InstanceFigures

    @classmethod
    async def open(cls, ground: Ground, opened: AsyncExitStack) -> "ClusterIngester":
        """Raises OpenError."""
        core, place = ground.core, ground.place
        settings = core.settings
        store = RedisStore(ground.redis)
        await ground.until_redis(lambda: store.fix_window(settings.ingester.window_s * 1000))
        ingester = Ingester(
            log=ground.log,
            store=store,
            registry=core.registry,
            membership=RedisMembership(ground.redis),
            clock=core.clock,
            settings=cluster_settings(settings, place),
        )
        server = Server(
            ingester.holdings,
            settings.grpc.connection(settings.cluster_secret),
            window_ms=settings.ingester.window_s * 1000,
            flush=ingester.flush,
        )
        try:
            await server.start(join_address(*place.grpc_listen(settings)))
            opened.push_async_callback(server.stop)
            role = await ground.until_redis(lambda: IngesterRole.start(ingester, drain_s=settings.drain_s))
        except HeadraceError as error:
            raise OpenError(str(error)) from error
        lag = Lag(ground.log, ingester)
        observe_ingester(core.metrics, ingester, lambda: _late(ingester, settings.kafka.retention_s))
        observe_kafka(core.metrics, ground.log)
        core.metrics.lag_records.observe_value(lambda: float(lag.records))
        core.metrics.store_bytes.observe_value(lambda: ingester.stored_bytes)
        figures = InstanceFigures(ingester, core.registry, core.clock)
        figures.observed_by(core.metrics)
        canary = _canary(ground, ingester)
        if canary is not None:
            observe_canary(core.metrics, canary)
        return cls(ground, role, lag, canary, figures)

    def routes(self) -> Routes:
        return flush_route(self.ground.front.gate, self.role.flush)

    def missing(self) -> str | None:
        return self.role.missing()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.lag.run(), name="lag")
            tasks.create_task(self.figures.run(), name="instance-figures")
            if self.canary is not None:
                tasks.create_task(self.canary.run(), name="canary")
            tasks.create_task(self.role.run(), name="ingester-ended")

    async def close(self, hurried: asyncio.Event) -> None:
        """What it stands on is closed by others, the gRPC server first."""
        await self.role.close(hurried)


def _canary(ground: Ground, ingester: Ingester) -> Canary | None:
    settings = ground.core.settings
    if settings.ingester.canary_s is None:
        return None
    return Canary(
        ground.log,
        ingester.holdings,
        ground.splitter,
        partitions=ground.core.cluster.partitions,
        zone=settings.zone,
        owned=lambda: ingester.owned,
        clock=ground.core.clock,
        every_s=settings.ingester.canary_s,
    )


def _late(ingester: Ingester, retention_s: int) -> AbstractSet[str]:
    """The alarm that the log may be gone before it is stored: at half of its retention there is time to act."""
    return {"replay age"} if max(replay_ages(ingester).values(), default=0.0) > retention_s / 2 else set()
