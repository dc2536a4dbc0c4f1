"""The ingesters of a cluster, as the other processes reach them."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import grpc

from headrace.roles.ingester import FLUSH_S
from headrace.settings import Settings
from shared.errors import UnavailableError
from shared.model.counts import Counts
from shared.redis.membership import RedisMembership
from shared.rpc import ingester_pb2 as pb
from shared.rpc.channels import Channels
from shared.rpc.counting import count_series
from shared.rpc.errors import details_of
from shared.rpc.methods import FLUSH
from shared.rpc.replicas import Replicas
from shared.seams.membership import Membership


@dataclass(frozen=True, slots=True)
class Peers:
    membership: Membership
    channels: Channels
    replicas: Replicas

    @classmethod
    def of(cls, settings: Settings, membership: RedisMembership, opened: AsyncExitStack) -> "Peers":
        """Closed with `opened`. `run` keeps them up to date."""
        channels = Channels(settings.grpc.connection(settings.cluster_secret))
        opened.push_async_callback(channels.close)
        return cls(membership, channels, Replicas(membership, channels))

    async def run(self) -> None:
        """Until it is cancelled."""
        await self.replicas.run()

    async def count(self, uids: Sequence[bytes], now_ms: int) -> Counts:
        """`headrace.usage.Counting`."""
        return await count_series(self.replicas, self.channels, uids, now_ms=now_ms)

    async def flush(self) -> None:
        """Returns when every ingester has stored all that was acknowledged before the call. UnavailableError: one has
        not, or none is there.
        """
        members = await self.membership.members()
        if not members:
            raise UnavailableError("no ingester is alive: nothing can be stored; what was acknowledged is in the log")
        failures: list[str] = []

        async def ask(name: str, address: str) -> None:
            try:
                await self.channels.call(address, FLUSH, pb.FlushRequest(), FLUSH_S)
            except grpc.RpcError as error:
                failures.append(f"{name}: {details_of(error)}")

        async with asyncio.TaskGroup() as tasks:
            for member in members:
                tasks.create_task(ask(member.name, member.address))
        if failures:
            raise UnavailableError(f"not everything is stored: {'; '.join(sorted(failures))}")
