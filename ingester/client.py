"""The ingester in the same process, as queriers see it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingester.holdings import Holdings
    from shared.native import Names, Selection


class LocalClient:
    """`shared.seams.ingester_client.IngesterClient` by direct calls."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings

    async def wait_applied(self, ends: dict[int, int], *, timeout_s: float) -> dict[int, int]:
        if self._holdings.lag(ends):
            try:
                async with asyncio.timeout(timeout_s):
                    await self._holdings.reached(ends)
            except TimeoutError:
                return self._holdings.lag(ends)
        return {}

    async def generation(self, partition: int) -> int:
        return self._holdings.serving(partition).generation

    async def add_head(self, target: Selection | Names, partition: int, uid: bytes, *, heavy: bool = False) -> int:
        serving = self._holdings.serving(partition)
        if heavy:
            await asyncio.to_thread(target.add_head, serving.head, uid)
        else:
            target.add_head(serving.head, uid)
        # Read after the head: the generation is raised before the head lets go of anything.
        return serving.generation

    async def metadata(self, partitions: Sequence[int], uid: bytes) -> dict[str, tuple[int, str, str]]:
        merged: dict[str, tuple[int, str, str]] = {}
        for partition in partitions:
            for family, kind, text, unit in self._holdings.serving(partition).head.metadata(uid):
                merged.setdefault(family, (kind, text, unit))
        return merged
