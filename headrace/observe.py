"""Figures that live elsewhere, shown as metrics: read when somebody scrapes, and counted nowhere twice."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING

from headrace import release
from shared.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from ingester.canary import Canary
    from ingester.service import Ingester
    from ingester.stats import PartitionStats, Stats
    from querier.cache import BlockCache
    from shared.kafka.log import KafkaLog
    from shared.local.log import LocalLog
    from shared.local.store import LocalStore
    from shared.redis.client import Client
    from shared.rpc.channels import Channels
    from shared.telemetry.catalogue import Catalogue

_PAGE_BYTES = resource.getpagesize()
_LAG_EVERY_S = 5.0
_FRESH_S = 0.002
"""One scrape reads the ingester's figures for many families within a millisecond: looking once is enough."""


def observe_process(metrics: Catalogue, started_ms: int) -> None:
    metrics.build_info.observe(lambda: {(release(), platform.python_version()): 1.0})
    metrics.start_time.observe_value(lambda: started_ms / 1000)
    metrics.cpu.observe_value(time.process_time)
    metrics.resident.observe_value(lambda: int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES)
    metrics.open_fds.observe_value(lambda: sum(1 for _ in Path("/proc/self/fd").iterdir()))


def observe_local(metrics: Catalogue, log: LocalLog, store: LocalStore, ingester: Ingester) -> None:
    """Log and store of a standalone server, whose offsets are those of one sequence for all partitions."""
    observe_ingester(metrics, ingester, lambda: {"log writes"} if log.refusal is not None else set())
    metrics.log_bytes.observe_value(lambda: log.bytes)
    metrics.log_end_offset.observe_value(lambda: log.committed)
    metrics.log_first_offset.observe_value(lambda: log.first)
    metrics.store_bytes.observe_value(lambda: store.payload_bytes)
    applied = _Figures(ingester).applied
    metrics.lag_records.observe_value(lambda: max(log.committed - applied(), 0))


def observe_ingester(
    metrics: Catalogue, ingester: Ingester, more_alarms: Callable[[], AbstractSet[str]] = frozenset
) -> None:
    figures = _Figures(ingester)
    metrics.applied_offset.observe(figures.by_partition(lambda partition: partition.applied))
    metrics.head_series.observe(figures.by_partition(lambda partition: partition.series))
    metrics.head_samples.observe(figures.by_partition(lambda partition: partition.samples))
    metrics.head_bytes.observe(figures.by_partition(lambda partition: partition.memory_bytes))
    metrics.head_conflicts.observe(figures.by_partition(lambda partition: partition.conflicts))
    metrics.replay_age.observe(lambda: replay_ages(ingester))
    metrics.sealed_windows.observe(figures.by_partition(lambda partition: partition.sealed_windows))
    metrics.store_generation.observe(figures.by_partition(lambda partition: partition.generation))
    metrics.partitions.observe_value(lambda: len(ingester.holdings.partitions))
    metrics.replays.observe_value(lambda: ingester.holdings.replays_under_way)
    metrics.paused.observe_value(lambda: float(figures.now().paused))
    metrics.alarms.observe(lambda: {(kind,): 1.0 for kind in {*figures.now().alarms, *more_alarms()}})
    metrics.ingester_events.observe(figures.events)


def replay_ages(ingester: Ingester) -> dict[tuple[str, ...], float]:
    """partition → seconds since the oldest record was accepted that is not in the store; 0 if all is."""
    now_ms = time.time_ns() // 1_000_000
    return {
        (str(number),): max(now_ms - partition.ages.at(partition.replay_from, now_ms), 0) / 1000
        if partition.applied > partition.replay_from
        else 0.0
        for number, partition in ingester.holdings.partitions.items()
    }


def observe_canary(metrics: Catalogue, canary: Canary) -> None:
    metrics.canary_delay.observe(lambda: {(str(number),): delay for number, delay in canary.delays().items()})


def observe_redis(metrics: Catalogue, client: Client) -> None:
    metrics.redis_commands.observe_value(lambda: client.commands)


def observe_calls(metrics: Catalogue, channels: Channels) -> None:
    metrics.rpc_calls.observe(lambda: {(method,): float(count) for method, count in channels.calls.items()})
    metrics.rpc_failures.observe(lambda: {(method,): float(count) for method, count in channels.failures.items()})


def observe_kafka(metrics: Catalogue, log: KafkaLog) -> None:
    metrics.kafka_queued_bytes.observe_value(lambda: log.held_bytes)
    metrics.kafka_waiting.observe_value(lambda: log.waiting)
    metrics.kafka_records.observe_value(lambda: log.records_sent)
    metrics.kafka_bytes.observe_value(lambda: log.bytes_sent)
    metrics.kafka_lookups.observe_value(lambda: log.lookups)


def observe_block_cache(metrics: Catalogue, cache: BlockCache) -> None:
    metrics.cache_bytes.observe_value(lambda: cache.held_bytes)
    metrics.cache_hits.observe(lambda: {(kind,): float(count) for kind, count in cache.hits.items()})
    metrics.cache_misses.observe(lambda: {(kind,): float(count) for kind, count in cache.misses.items()})


class Lag:
    """How many records of Kafka the heads have not applied, looked at every few seconds."""

    def __init__(self, log: KafkaLog, ingester: Ingester) -> None:
        self._log = log
        self._ingester = ingester
        self.records = 0

    async def run(self) -> None:
        """Until it is cancelled. While Kafka is away the last figure stays."""
        while True:
            with contextlib.suppress(UnavailableError):
                partitions = self._ingester.holdings.partitions
                ends = await self._log.end_offsets(list(partitions)) if partitions else {}
                applied = {number: partition.applied for number, partition in partitions.items()}
                self.records = sum(max(end - applied.get(number, end), 0) for number, end in ends.items())
            await asyncio.sleep(_LAG_EVERY_S)


class _Figures:
    def __init__(self, ingester: Ingester) -> None:
        self._ingester = ingester
        self._stats: Stats | None = None
        self._read_at = 0.0

    def now(self) -> Stats:
        now = time.monotonic()
        if self._stats is None or now - self._read_at > _FRESH_S:
            self._stats, self._read_at = self._ingester.stats(), now
        return self._stats

    def applied(self) -> float:
        return min((partition.applied for partition in self.now().partitions), default=0)

    def by_partition(self, value: Callable[[PartitionStats], float]) -> Callable[[], dict[tuple[str, ...], float]]:
        return lambda: {(str(partition.number),): value(partition) for partition in self.now().partitions}

    def events(self) -> dict[tuple[str, ...], float]:
        counters = self.now().counters
        return {(name,): float(getattr(counters, name)) for name in counters.__slots__}
