"""Removes what deleted instances have left behind, and forgets them once nothing of them can come back."""

from collections.abc import Collection

from ingester.holdings import Holdings
from shared.seams.log import Log
from shared.seams.registry import Registry
from shared.seams.store import BlockStore


class Purge:
    """Each process does what concerns its partitions. The one that maintains the first of them all looks at all, and
    tells the registry.
    """

    def __init__(self, log: Log, store: BlockStore, registry: Registry, holdings: Holdings) -> None:
        self._log = log
        self._store = store
        self._registry = registry
        self._holdings = holdings
        self._ended: dict[bytes, dict[int, int]] = {}  # uid -> by partition where the log ended when it was met

    async def forget(self, deleted: Collection[bytes]) -> None:
        """The heads let go of them at once; blocks go with the maintenance that follows."""
        for uid in deleted:
            if uid not in self._ended:
                everything = range((await self._registry.cluster()).partitions)
                self._ended[uid] = await self._log.end_offsets(everything)
            for partition in self._holdings.partitions.values():
                partition.head.forget(uid)
                partition.pushed.forget(uid)
        self._ended = {uid: ends for uid, ends in self._ended.items() if uid in deleted}

    async def finish(self, deleted: Collection[bytes], maintained: Collection[int]) -> None:
        """Tells the registry of those of which no directory, no metadata and no record that a replay would read has
        anything.
        """
        for partition in list(self._holdings.partitions.values()):
            found = [uid for uid in deleted if uid in partition.metadata] if partition.number in maintained else []
            if found:
                await self._store.put_metadata(partition.number, partition.applied, {uid: {} for uid in found})
                for uid in found:
                    partition.metadata.pop(uid, None)
        if 0 in maintained:
            for uid in deleted:
                if await self._is_gone(uid):
                    for number, end in self._ended[uid].items():
                        await self._store.put_exemplars(number, end, {uid: b""})
                    await self._registry.purged(uid)

    async def _is_gone(self, uid: bytes) -> bool:
        for number, end in self._ended[uid].items():
            directory = await self._store.directory(number)
            if directory.replay_from < end or uid in directory.manifests or uid in await self._store.metadata(number):
                return False
        return True
