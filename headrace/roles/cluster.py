"""The roles of a cluster, each on its ground."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from headrace.front import Front
from headrace.roles.cluster_distributor import ClusterDistributor
from headrace.roles.cluster_ingester import ClusterIngester
from headrace.roles.cluster_querier import ClusterQuerier
from headrace.roles.ground import Ground
from headrace.roles.place import Place
from headrace.roles.running import Running
from headrace.settings import ClusterRole

_OPENERS: dict[ClusterRole, Callable[[Ground, AsyncExitStack], Awaitable[Running]]] = {
    ClusterRole.DISTRIBUTOR: ClusterDistributor.open,
    ClusterRole.INGESTER: ClusterIngester.open,
    ClusterRole.QUERIER: ClusterQuerier.open,
}


async def open_role(place: Place, front: Front) -> Running:
    """Waits for what the role needs. Raises OpenError for what waiting does not mend."""
    async with AsyncExitStack() as opened:
        ground = await Ground.open(place, front, opened)
        role = await _OPENERS[place.role](ground, opened)
        return _Grounded(role, opened.pop_all())


class _Grounded:
    """A role, and what it stands on: closed in the order in which it was opened, backwards."""

    def __init__(self, role: Running, opened: AsyncExitStack) -> None:
        self._role = role
        self._opened = opened
        self.routes = role.routes
        self.missing = role.missing
        self.run = role.run

    async def close(self, hurried: asyncio.Event) -> None:
        try:
            await self._role.close(hurried)
        finally:
            await self._opened.aclose()
