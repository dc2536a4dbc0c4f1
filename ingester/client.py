"""The ingester in the same process, as queriers see it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from shared.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ingester.consumer import Consumer
    from ingester.partition import Partition
    from shared.native import Names, Selection


class LocalClient:
    """`shared.seams.ingester_client.IngesterClient` by direct calls."""

    def __init__(self, partitions: Mapping[int, Partition], consumer: Consumer) -> None:
        self._partitions = partitions
        self._consumer = consumer

    async def wait_applied(self, ends: dict[int, int], *, timeout_s: float) -> dict[int, int]:
        if self._consumer.lag(ends):
            try:
                async with asyncio.timeout(timeout_s):
                    await self._consumer.reached(ends)
            except TimeoutError:
                return self._consumer.lag(ends)
        return {}

    async def generation(self, partition: int) -> int:
        return self._serving(partition).generation

    async def add_head(self, target: Selection | Names, partition: int, uid: bytes, *, heavy: bool = False) -> int:
        serving = self._serving(partition)
        if heavy:
            await asyncio.to_thread(target.add_head, serving.head, uid)
        else:
            target.add_head(serving.head, uid)
        # Read after the head: the generation is raised before the head lets go of anything.
        return serving.generation

    async def metadata(self, partitions: Sequence[int], uid: bytes) -> dict[str, tuple[int, str, str]]:
        merged: dict[str, tuple[int, str, str]] = {}
        for partition in partitions:
            for family, kind, text, unit in self._serving(partition).head.metadata(uid):
                merged.setdefault(family, (kind, text, unit))
        return merged

    def _serving(self, partition: int) -> Partition:
        serving = self._partitions[partition]
        if serving.replaying:
            raise UnavailableError(
                f"partition {partition} is replaying the log; see /ready for its progress", retry_after_s=5
            )
        return serving
