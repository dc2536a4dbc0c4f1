"""How much instances use: what their heads hold, how fast samples come, and what the store keeps of them."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from ingester.compaction import payload_bytes
from ingester.holdings import Holdings
from ingester.service import Ingester
from shared.clock import Clock
from shared.errors import UnavailableError
from shared.model.counts import Counted, Counts
from shared.model.instance import Instance
from shared.native import Head
from shared.seams.registry import Registry
from shared.seams.store import BlockStore, Directory
from shared.telemetry.catalogue import Catalogue

LOOK_S = 15.0
MAX_SHOWN = 100
"""Instances with metrics of their own: an `app_id` is a label, and of those there must be few."""

Counting = Callable[[Sequence[bytes], int], Awaitable[Counts]]
"""(uids, the present time in ms): of all partitions that can be asked."""


@dataclass(frozen=True, slots=True)
class Usage:
    active_series: int
    samples_per_second: float
    """Over the last minute."""
    stored_bytes: int
    """Payload of its blocks."""

    @property
    def size(self) -> tuple[float, ...]:
        """To compare instances by."""
        return self.active_series, self.samples_per_second, self.stored_bytes


class Usages:
    """Over all partitions of an instance; of several zones each partition counts once."""

    def __init__(
        self,
        count: Counting,
        store: BlockStore,
        partitions_of: Callable[[bytes, int], Sequence[int]],
        clock: Clock,
    ) -> None:
        self._count = count
        self._store = store
        self._partitions_of = partitions_of
        self._clock = clock

    async def of(self, instances: Sequence[Instance]) -> list[Usage]:
        """In their order. UnavailableError: a partition of theirs, or the store, cannot be asked."""
        uids = [instance.uid for instance in instances]
        partitions = {n for instance in instances for n in self._partitions_of(instance.uid, instance.shards)}
        counts = await self._count(uids, self._clock.now_ms())
        if missing := sorted(partitions - counts.partitions):
            numbers = ", ".join(map(str, missing))
            raise UnavailableError(f"no ingester answers for partition {numbers}, so its series cannot be counted")
        stored = dict.fromkeys(uids, 0)
        for partition in partitions:
            directory = await self._store.directory(partition)
            for uid, size in (await asyncio.to_thread(_stored_bytes, directory, uids)).items():
                stored[uid] += size
        return [
            Usage(counted.series, counted.samples_per_second, stored[uid])
            for uid, counted in ((uid, counts.by_uid[uid]) for uid in uids)
        ]


def counted_in(holdings: Holdings) -> Counting:
    """By the heads of this process."""

    async def count(uids: Sequence[bytes], now_ms: int) -> Counts:
        live = holdings.live
        heads = [partition.head for partition in live]
        by_uid = await asyncio.to_thread(_counted, heads, uids, now_ms)
        return Counts(by_uid, {partition.number for partition in live})

    return count


class InstanceFigures:
    """For `/metrics`: the instances of which this process holds the most series."""

    def __init__(self, ingester: Ingester, registry: Registry, clock: Clock) -> None:
        self._ingester = ingester
        self._registry = registry
        self._clock = clock
        self._count = counted_in(ingester.holdings)
        self._shown: dict[str, Usage] = {}

    def observed_by(self, metrics: Catalogue) -> None:
        metrics.instance_series.observe(lambda: self._points(lambda usage: usage.active_series))
        metrics.instance_rate.observe(lambda: self._points(lambda usage: usage.samples_per_second))
        metrics.instance_stored_bytes.observe(lambda: self._points(lambda usage: usage.stored_bytes))

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        instances = await self._registry.instances()
        counts = await self._count([instance.uid for instance in instances], self._clock.now_ms())
        usages = {
            instance.app_id: Usage(
                counted.series, counted.samples_per_second, self._ingester.stored_bytes_of(instance.uid)
            )
            for instance, counted in ((instance, counts.by_uid[instance.uid]) for instance in instances)
        }
        most = heapq.nlargest(MAX_SHOWN, usages, key=lambda app_id: usages[app_id].size)
        self._shown = {app_id: usages[app_id] for app_id in most if any(usages[app_id].size)}

    def _points(self, value: Callable[[Usage], float]) -> dict[tuple[str, ...], float]:
        return {(app_id,): value(usage) for app_id, usage in self._shown.items()}


def _counted(heads: Sequence[Head], uids: Sequence[bytes], now_ms: int) -> dict[bytes, Counted]:
    return {
        uid: Counted(
            sum(head.active_series(uid) for head in heads),
            sum(head.largest_metric(uid) for head in heads),
            sum(head.samples_per_second(uid, now_ms) for head in heads),
        )
        for uid in uids
    }


def _stored_bytes(directory: Directory, uids: Sequence[bytes]) -> Mapping[bytes, int]:
    return {uid: payload_bytes(directory.manifests.get(uid, ())) for uid in uids}
