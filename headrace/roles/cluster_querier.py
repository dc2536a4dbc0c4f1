"""A querier of a cluster."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from headrace.observe import observe_calls, observe_kafka
from headrace.roles.administration import flush_route, own_usage_route, usage_route
from headrace.roles.ground import Ground
from headrace.roles.peers import Peers
from headrace.roles.querier import Querier
from headrace.roles.running import Routes
from headrace.usage import Usages
from querier.remote.client import RemoteClient
from querier.remote.coverage import Coverage
from shared.redis.membership import RedisMembership
from shared.redis.store import RedisStore


@dataclass(frozen=True, slots=True)
class ClusterQuerier:
    """Ready once every partition was answered for; later, which of them are is a matter of each query."""

    ground: Ground
    peers: Peers
    querier: Querier
    coverage: Coverage
    usages: Usages

    @classmethod
    async def open(cls, ground: Ground, opened: AsyncExitStack) -> "ClusterQuerier":
        core = ground.core
        peers = Peers.of(core.settings, RedisMembership(ground.redis), opened)
        store = RedisStore(ground.redis)
        querier = Querier.of(
            core,
            log=ground.log,
            store=store,
            client=RemoteClient(peers.replicas, peers.channels, timeout_s=core.settings.query.timeout_s),
            partitions_of=ground.splitter.partitions_of,
            replay=lambda: (0, 0, 0),
        )
        opened.callback(querier.close)
        observe_kafka(core.metrics, ground.log)
        observe_calls(core.metrics, peers.channels)
        coverage = Coverage(peers.replicas, peers.channels, range(core.cluster.partitions))
        usages = Usages(peers.count, store, ground.splitter.partitions_of, core.clock)
        return cls(ground, peers, querier, coverage, usages)

    def routes(self) -> Routes:
        front = self.ground.front
        return (
            self.querier.routes
            | flush_route(front.gate, self.peers.flush)
            | usage_route(front, self.usages)
            | own_usage_route(self.ground.core.authenticator, self.usages)
        )

    def missing(self) -> str | None:
        return self.coverage.missing

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.peers.run(), name="peers")
            tasks.create_task(self.coverage.run(), name="coverage")

    async def close(self, hurried: asyncio.Event) -> None:
        """Every request has ended; what it stands on is closed by others."""
