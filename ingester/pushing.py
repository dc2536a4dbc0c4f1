"""Pushed groups: kept by partition, rebuilt from the log, and emitted as if they were scraped."""

import asyncio
from collections.abc import Callable, Collection

import structlog

from ingester.holdings import Holdings
from ingester.partition import Partition
from ingester.stats import Counters
from shared.clock import Clock
from shared.errors import HeadraceError
from shared.native import SplitBatch
from shared.seams.log import Log
from shared.seams.registry import Registry

MAX_SAMPLES = 50_000
"""Of one partition in one round, about."""

MAX_ROUNDS = 20
"""In one second, after which others have their turn."""

PATIENCE_MS = 20_000
"""How far emission may lie behind before a zone does it whose turn it is not."""

log = structlog.get_logger(__name__)


class Emitting:
    """Writes what is due of the partitions that this process owns. Two that do it by accident write the same."""

    def __init__(
        self,
        log: Log,
        registry: Registry,
        holdings: Holdings,
        *,
        clock: Clock,
        counters: Counters,
        delay_s: Callable[[int], float],
    ) -> None:
        self._log = log
        self._registry = registry
        self._holdings = holdings
        self._clock = clock
        self._counters = counters
        self._delay_s = delay_s
        self._shards: dict[bytes, int] = {}
        self._version = -1

    async def emit(self, owned: Collection[int]) -> None:
        """Raises what the log raises; what was not written is due again."""
        now_ms = self._clock.now_ms()
        due = [
            partition
            for partition in self._holdings.live
            if partition.number in owned and self._is_our_turn(partition, now_ms)
        ]
        if not due:
            return
        shards = await self._shards_by_uid()
        for _ in range(MAX_ROUNDS):
            batches = [
                (partition, batch) for partition in due for batch in partition.pushed.due(now_ms, shards, MAX_SAMPLES)
            ]
            if not batches:
                return
            await self._write(batches, now_ms)

    async def _write(self, batches: list[tuple[Partition, SplitBatch]], now_ms: int) -> None:
        failures: list[HeadraceError] = []

        async def write(partition: Partition, batch: SplitBatch) -> None:
            try:
                await self._log.append(batch, now_ms=now_ms)
            except HeadraceError as error:
                partition.pushed.not_sent()
                failures.append(error)
            else:
                self._counters.emitted_samples += batch.samples

        async with asyncio.TaskGroup() as tasks:
            for partition, batch in batches:
                tasks.create_task(write(partition, batch))
        if failures:
            raise failures[0]

    def _is_our_turn(self, partition: Partition, now_ms: int) -> bool:
        lag_ms = partition.pushed.lag_ms(now_ms)
        return lag_ms > 0 and (self._delay_s(partition.number) == 0 or lag_ms > PATIENCE_MS)

    async def _shards_by_uid(self) -> dict[bytes, int]:
        version = self._registry.version
        if version != self._version:
            self._shards = {instance.uid: instance.shards for instance in await self._registry.instances()}
            self._version = version
        return self._shards
