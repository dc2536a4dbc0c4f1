"""Figures that live elsewhere, shown as metrics: read when somebody scrapes, and counted nowhere twice."""

import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path

from headrace import release
from ingester.service import Ingester
from ingester.stats import PartitionStats, Stats
from shared.local.log import LocalLog
from shared.local.store import LocalStore
from shared.telemetry.catalogue import Catalogue

_PAGE_BYTES = resource.getpagesize()
_FRESH_S = 0.002
"""One scrape reads the ingester's figures for many families within a millisecond: looking once is enough."""


def observe_process(metrics: Catalogue, started_ms: int) -> None:
    metrics.build_info.observe(lambda: {(release(), platform.python_version()): 1.0})
    metrics.start_time.observe_value(lambda: started_ms / 1000)
    metrics.cpu.observe_value(time.process_time)
    metrics.resident.observe_value(lambda: int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES)
    metrics.open_fds.observe_value(lambda: sum(1 for _ in Path("/proc/self/fd").iterdir()))


def observe_storage(metrics: Catalogue, log: LocalLog, store: LocalStore, ingester: Ingester) -> None:
    figures = _Figures(ingester)
    metrics.log_bytes.observe_value(lambda: log.bytes)
    metrics.log_end_offset.observe_value(lambda: log.committed)
    metrics.log_first_offset.observe_value(lambda: log.first)
    metrics.applied_offset.observe_value(figures.applied)
    metrics.lag_records.observe_value(lambda: max(log.committed - figures.applied(), 0))
    metrics.store_bytes.observe_value(lambda: store.payload_bytes)
    metrics.head_series.observe(figures.by_partition(lambda partition: partition.series))
    metrics.head_samples.observe(figures.by_partition(lambda partition: partition.samples))
    metrics.head_bytes.observe(figures.by_partition(lambda partition: partition.memory_bytes))
    metrics.head_conflicts.observe(figures.by_partition(lambda partition: partition.conflicts))
    metrics.sealed_windows.observe(figures.by_partition(lambda partition: partition.sealed_windows))
    metrics.store_generation.observe(figures.by_partition(lambda partition: partition.generation))
    metrics.paused.observe_value(lambda: float(figures.now().paused))

    def alarms() -> dict[tuple[str, ...], float]:
        kinds = {*figures.now().alarms, *(["log writes"] if log.refusal is not None else [])}
        return {(kind,): 1.0 for kind in kinds}

    metrics.alarms.observe(alarms)
    metrics.ingester_events.observe(figures.events)


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
