"""Removes what deleted instances have left behind, and forgets them once nothing of them can come back."""

from ingester.holdings import Holdings
from shared.seams.log import Log
from shared.seams.registry import Registry
from shared.seams.store import BlockStore


class Purge:
    def __init__(self, log: Log, store: BlockStore, registry: Registry, holdings: Holdings) -> None:
        self._log = log
        self._store = store
        self._registry = registry
        self._holdings = holdings
        self._ended: dict[bytes, dict[int, int]] = {}  # uid -> by partition where the log ended when it was met

    async def forget(self, deleted: list[bytes]) -> None:
        """The heads let go of them at once; blocks go with the maintenance that follows."""
        partitions = self._holdings.partitions
        for uid in deleted:
            if uid not in self._ended:
                self._ended[uid] = await self._log.end_offsets(list(partitions))
            for partition in partitions.values():
                partition.head.forget(uid)

    async def finish(self, deleted: list[bytes]) -> None:
        """Tells the registry of those of which no directory and no record that a replay would read has anything."""
        partitions = self._holdings.partitions
        for uid in deleted:
            for partition in partitions.values():
                if partition.metadata.pop(uid, None) is not None:
                    await self._store.put_metadata(partition.number, {uid: {}})
            is_past = all(p.replay_from >= self._ended[uid][p.number] for p in partitions.values())
            directories = [await self._store.directory(number) for number in partitions]
            if is_past and all(uid not in directory.manifests for directory in directories):
                await self._registry.purged(uid)
                del self._ended[uid]
