"""Which node serves which key."""

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import ResponseError

from shared.errors import UnavailableError
from shared.redis.failures import LOST
from shared.redis.node import Node, NotSentError
from shared.redis.settings import RedisSettings

_ASK_S = 2.0  # how long one node may take to describe the cluster before the next is asked


class Topology:
    """One server has every key. A cluster is asked for its slots at first, and again when a node says that it errs."""

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self._seeds = [Node(host, port, settings) for host, port in settings.addresses]
        self._nodes: dict[tuple[str, int], Node] = {}
        self._slots: list[Node | None] = []
        self._learning = asyncio.Lock()
        self.version = 0
        """Rises each time the cluster was asked."""

    async def node_of(self, key: str) -> Node:
        """UnavailableError while no node serves it, or none can be asked."""
        if not self._settings.is_cluster:
            return self._seeds[0]
        if not self._slots:
            await self.learn(self.version)
        node = self._slots[key_slot(key.encode())]
        if node is None:
            raise UnavailableError(f"no node of the Redis Cluster {self._settings.url} serves the slot of {key}")
        return node

    async def leaders(self) -> list[Node]:
        if not self._settings.is_cluster:
            return self._seeds
        if not self._slots:
            await self.learn(self.version)
        return list(dict.fromkeys(node for node in self._slots if node is not None))

    def node_at(self, host: str, port: int) -> Node:
        """The node that a redirection names."""
        node = self._nodes.get((host, port))
        if node is None:
            node = self._nodes[host, port] = Node(host, port, self._settings)
        return node

    async def learn(self, version: int) -> None:
        """Asks for the slots, unless somebody did since `version`. UnavailableError: no node answers."""
        if not self._settings.is_cluster:
            return
        async with self._learning:
            if self.version != version:
                return
            reasons = []
            for node in [*self._nodes.values(), *self._seeds]:
                ranges, reason = await _slots(node)
                if ranges:
                    await self._take(node, ranges)
                    return
                reasons.append(f"{node.address}: {reason}")
                self._ask_last(node)
            raise UnavailableError(f"the Redis Cluster {self._settings.url} cannot be asked: {'; '.join(reasons)}")

    async def close(self) -> None:
        for node in [*self._seeds, *self._nodes.values()]:
            await node.close()

    def _ask_last(self, node: Node) -> None:
        for place, known in list(self._nodes.items()):
            if known is node:
                self._nodes[place] = self._nodes.pop(place)

    async def _take(self, asked: Node, ranges: Sequence[Any]) -> None:
        slots: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        before = self._nodes
        self._nodes = {}
        for first, last, (host, port, *_), *_ in ranges:
            # An unknown host is the one that was asked, by the address it was asked at.
            name = host.decode() if host else asked.host
            place = (name, int(port))
            node = self._nodes.get(place) or before.get(place) or Node(*place, self._settings)
            self._nodes[place] = node
            slots[int(first) : int(last) + 1] = [node] * (int(last) - int(first) + 1)
        self._slots = slots
        self.version += 1
        for place, node in before.items():
            if place not in self._nodes:
                await node.close()


async def _slots(node: Node) -> tuple[Sequence[Any], str]:
    """The node's answer to CLUSTER SLOTS; if it is empty, why."""
    try:
        async with asyncio.timeout(_ASK_S):
            [reply] = await node.execute([("CLUSTER", "SLOTS")])
    except NotSentError as error:
        return [], f"{error.__cause__}"
    except LOST as error:  # TimeoutError is an OSError
        return [], f"no answer ({error!r})"
    if isinstance(reply, ResponseError):
        return [], f"{reply}"
    return reply, "it knows of no slots"
