"""How much instances use: what their heads hold, how fast samples come, and what the store keeps of them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from ingester.holdings import Holdings
from shared.clock import Clock
from shared.errors import UnavailableError
from shared.model.counts import Counted, Counts
from shared.model.instance import Instance
from shared.seams.store import BlockStore, Directory

Counting = Callable[[Sequence[bytes], int], Awaitable[Counts]]
"""(uids, the present time in ms): of all partitions that can be asked."""


@dataclass(frozen=True, slots=True)
class Usage:
    active_series: int
    samples_per_second: float
    """Over the last minute."""
    stored_bytes: int
    """Payload of its blocks."""


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

        def counted(uid: bytes) -> Counted:
            return Counted(
                sum(head.active_series(uid) for head in heads),
                sum(head.largest_metric(uid) for head in heads),
                sum(head.samples_per_second(uid, now_ms) for head in heads),
            )

        return Counts({uid: counted(uid) for uid in uids}, {partition.number for partition in live})

    return count


def _stored_bytes(directory: Directory, uids: Sequence[bytes]) -> Mapping[bytes, int]:
    return {
        uid: sum(sum(manifest.lengths) for manifest in blocks)
        for uid in uids
        if (blocks := directory.manifests.get(uid))
    }
