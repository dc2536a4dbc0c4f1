"""Appends seal markers: for windows that are over or old, and for the largest ones when memory runs short."""

import math
from collections.abc import Collection, Sequence

from ingester import sealer
from ingester.holdings import Holdings
from ingester.partition import Partition
from ingester.settings import IngesterSettings
from ingester.stats import Counters
from shared.clock import Clock
from shared.native import WindowInfo
from shared.seams.log import Log


class Sealing:
    def __init__(
        self, log: Log, holdings: Holdings, *, clock: Clock, settings: IngesterSettings, counters: Counters
    ) -> None:
        self._log = log
        self._holdings = holdings
        self._clock = clock
        self._settings = settings
        self._counters = counters
        self._on_their_way: dict[tuple[int, int], int] = {}  # (partition, window) -> marker that is not applied yet
        self._memory_sealed = -math.inf

    async def seal_due(self, owned: Collection[int]) -> None:
        """Seals what is due in the partitions that are this process's to seal. Raises what the log raises."""
        now_ms = self._clock.now_ms()
        partitions = [partition for partition in self._holdings.live if partition.number in owned]
        held = {partition.number: partition.head.windows() for partition in partitions}
        for_memory = self._choose_for_memory([(number, info) for number, infos in held.items() for info in infos])
        for partition in partitions:
            due = sealer.due(
                partition.number,
                held[partition.number],
                now_ms,
                accepted_ms=lambda offset, ages=partition.ages: ages.at(offset, now_ms),  # type: ignore[misc]
                settings=self._settings,
            )
            if windows := {*due, *for_memory.get(partition.number, ())}:
                await self.seal(partition, sorted(windows))

    async def seal_all(self, partitions: Sequence[Partition]) -> dict[int, int]:
        """Seals every open window; by partition the end up to which the log has to be applied for that."""
        ends = {}
        for partition in partitions:
            windows = [info.window for info in partition.head.windows() if info.sealed is None]
            ends[partition.number] = 1 + await self.seal(partition, windows)
        return ends

    async def seal(self, partition: Partition, windows: Sequence[int]) -> int:
        """Appends a marker for those of the windows for which none is on its way; the highest offset to wait for."""
        number = partition.number
        self._on_their_way = {
            key: marker for key, marker in self._on_their_way.items() if key[0] != number or marker >= partition.applied
        }
        fresh = [window for window in windows if (number, window) not in self._on_their_way]
        if fresh:
            marker = await self._log.append_seal(number, fresh)
            self._counters.seals += len(fresh)
            self._on_their_way.update({(number, window): marker for window in fresh})
        return max((self._on_their_way.get((number, window), -1) for window in windows), default=-1)

    def _choose_for_memory(self, held: Sequence[tuple[int, WindowInfo]]) -> dict[int, list[int]]:
        """partition -> windows to seal early.

        Not every second: where memory goes to series more than to samples, it would only make many small blocks.
        """
        settings, now = self._settings, self._clock.monotonic()
        memory_bytes = self._holdings.memory_bytes
        excess_bytes = memory_bytes - int(settings.memory_bytes * settings.seal_above)
        if excess_bytes <= 0 or now - self._memory_sealed < settings.memory_seal_every_s:
            return {}
        min_bytes = settings.min_seal_bytes if memory_bytes < settings.memory_bytes else 1
        chosen = sealer.largest(held, excess_bytes, min_bytes=min_bytes)
        if chosen:
            self._memory_sealed = now
        return chosen
