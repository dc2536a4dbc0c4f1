"""Ingesters behind real gRPC ports, and a querier that finds them by their leases."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ingester.holdings import Holdings
from ingester.rpc.server import Server
from querier.remote.client import RemoteClient
from querier.storage import Storage
from shared.local.membership import LocalMembership
from shared.rpc.channels import Channels
from shared.rpc.replicas import Replicas
from shared.rpc.settings import RpcSettings
from shared.seams.membership import Member
from tests.support.clock import FakeClock
from tests.support.world import PARTITIONS, World

SETTINGS = RpcSettings("the secret of the tests", silence_s=2.0)
TTL_MS = 3_600_000


async def _no_flush() -> None:
    pass


@dataclass
class Zones:
    membership: LocalMembership
    channels: Channels
    replicas: Replicas
    client: RemoteClient
    window_ms: int
    servers: dict[str, Server] = field(default_factory=dict)

    async def serve(
        self,
        name: str,
        holdings: Holdings,
        partitions: Iterable[int] = range(PARTITIONS),
        *,
        settings: RpcSettings = SETTINGS,
        flush: Callable[[], Awaitable[None]] = _no_flush,
    ) -> str:
        """An ingester of the zone that its name begins with; returns its address."""
        server = self.servers[name] = Server(holdings, settings, window_ms=self.window_ms, flush=flush)
        address = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
        await self.lease(name, address, partitions)
        return address

    async def lease(self, name: str, address: str, partitions: Iterable[int] = range(PARTITIONS)) -> None:
        """The partitions of the name's zone are at this address, whoever had them before."""
        member = Member(name, name[0], name, address)
        wanted = set(partitions)
        for lease in await self.membership.leases(name[0]):
            if lease.partition in wanted:
                await self.membership.release(lease)
        for partition in wanted:
            assert await self.membership.acquire(partition, member=member, ttl_ms=TTL_MS) is not None
        await self.replicas.refresh()

    async def stop(self, name: str) -> None:
        """As if its process had ended: the port is closed, the leases stand."""
        await self.servers.pop(name).stop(0)

    def storage(self, world: World) -> Storage:
        """A querier of the cluster on what `world` has."""
        return Storage(
            log=world.log,
            store=world.store,
            client=self.client,
            partitions_of=world.splitter.partitions_of,
            clock=world.clock,
        )


@asynccontextmanager
async def zones(world: World, *, zone: str | None = "a", settings: RpcSettings = SETTINGS) -> AsyncIterator[Zones]:
    """No server runs yet. `zone`: that of the querier."""
    channels = Channels(settings)
    membership = LocalMembership(FakeClock())
    replicas = Replicas(membership, channels, zone=zone)
    client = RemoteClient(replicas, channels, timeout_s=30.0)
    opened = Zones(membership, channels, replicas, client, world.settings.window_ms)
    try:
        yield opened
    finally:
        await channels.close()
        for server in opened.servers.values():
            await server.stop(0)
