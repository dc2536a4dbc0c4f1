"""A distributor of a cluster."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from distributor.owners import RemoteOwners
from distributor.rates import Rates
from distributor.rejections import SharedRejections
from distributor.series_guard import OwnersGuard
from headrace.observe import observe_calls, observe_kafka
from headrace.roles.administration import flush_route, usage_route
from headrace.roles.distributor import distributor_routes
from headrace.roles.ground import Ground
from headrace.roles.peers import Peers
from headrace.roles.running import Routes
from headrace.sharers import Sharers
from headrace.usage import Usages
from shared.redis.crowd import RedisCrowd
from shared.redis.membership import RedisMembership
from shared.redis.rejections import RedisRejections
from shared.redis.store import RedisStore


@dataclass(frozen=True, slots=True)
class ClusterDistributor:
    """Ready as soon as the log is: the ingesters may be away, what is acknowledged waits for them there."""

    ground: Ground
    peers: Peers
    guard: OwnersGuard
    rejections: SharedRejections
    sharers: Sharers

    @classmethod
    async def open(cls, ground: Ground, opened: AsyncExitStack) -> "ClusterDistributor":
        core = ground.core
        peers = Peers.of(core.settings, RedisMembership(ground.redis), opened)
        guard = OwnersGuard(RemoteOwners(peers.replicas, peers.channels), core.metrics)
        observe_kafka(core.metrics, ground.log)
        observe_calls(core.metrics, peers.channels)
        rejections = SharedRejections(core.clock, RedisRejections(ground.redis))
        return cls(ground, peers, guard, rejections, Sharers(RedisCrowd(ground.redis, "distributors")))

    def routes(self) -> Routes:
        ground = self.ground
        write = distributor_routes(
            ground.core,
            log=ground.log,
            splitter=ground.splitter,
            guard=self.guard,
            rejections=self.rejections,
            rates=Rates(ground.core.clock, sharers=lambda: self.sharers.number),
        )
        usages = Usages(self.peers.count, RedisStore(ground.redis), ground.splitter.partitions_of, ground.core.clock)
        return write | flush_route(ground.front.gate, self.peers.flush) | usage_route(ground.front, usages)

    def missing(self) -> str | None:
        return None

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.peers.run(), name="peers")
            tasks.create_task(self.guard.poll(), name="series-guard")
            tasks.create_task(self.rejections.run(), name="rejections")
            tasks.create_task(self.sharers.run(), name="sharers")

    async def close(self, hurried: asyncio.Event) -> None:
        """Every request has ended; what it stands on is closed by others."""
        if not hurried.is_set():
            await self.sharers.leave()
            await self.rejections.publish()
