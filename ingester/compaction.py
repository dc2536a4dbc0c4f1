"""Merging blocks and dropping old ones. What to do is decided here, purely; `Maintenance` does it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ingester.canary import RETENTION_MS as CANARY_RETENTION_MS
from ingester.canary import is_canary
from ingester.encode import describe, new_attempt
from ingester.settings import IngesterSettings
from ingester.stats import Counters
from shared.clock import Clock
from shared.faults import fault
from shared.native import BlockParts, BlockReader, merge_blocks
from shared.seams.registry import Registry
from shared.seams.store import BlockStore, Directory, Manifest, Payload, payload_keys

DAY_MS = 24 * 3600 * 1000

# As many generations of one window make a merge worth while at once: each query of the window opens them all.
MANY_GENERATIONS = 8

# Blocks that came after a day was merged join it when they are this part of its bytes; otherwise a trickle of late
# samples would have every day written anew every day.
_LATE_SHARE = 0.25


def merges(manifests: Sequence[Manifest], now_ms: int, *, settings: IngesterSettings) -> list[tuple[Manifest, ...]]:
    """Sets of one instance's blocks, given and returned in log order, of which each is to become one block.

    A set always holds all blocks of its windows, so that the merged one can stand in the first one's place.
    """
    chosen = []
    for day, blocks in _grouped(manifests, DAY_MS).items():
        is_over = now_ms >= (day + 1) * DAY_MS + settings.window_ms + settings.grace_ms
        chosen += [
            tuple(group)
            for group in _mergeable(blocks, settings)
            if len(group) > 1 and ((is_over and _day_is_due(group)) or _is_crowded(group))
        ]
    return chosen


def _grouped(manifests: Sequence[Manifest], width_ms: int) -> dict[int, list[Manifest]]:
    groups: dict[int, list[Manifest]] = {}
    for manifest in manifests:
        groups.setdefault(manifest.window // width_ms, []).append(manifest)
    return groups


def _mergeable(day: Sequence[Manifest], settings: IngesterSettings) -> list[Sequence[Manifest]]:
    """A day in parts that one merge can hold: all of it, else its windows, else nothing."""
    if payload_bytes(day) <= settings.mergeable_bytes:
        return [day]
    width_ms = settings.window_ms
    if any(manifest.min_time // width_ms != manifest.max_time // width_ms for manifest in day):
        return []  # a block over several windows ties them together
    return [window for window in _grouped(day, width_ms).values() if payload_bytes(window) <= settings.mergeable_bytes]


def expired(manifests: Sequence[Manifest], now_ms: int, *, retention_ms: int) -> tuple[Manifest, ...]:
    """The blocks that hold nothing younger than the retention."""
    return tuple(manifest for manifest in manifests if manifest.max_time < now_ms - retention_ms)


def payload_bytes(manifests: Sequence[Manifest]) -> int:
    return sum(sum(manifest.lengths) for manifest in manifests)


def _day_is_due(blocks: Sequence[Manifest]) -> bool:
    fresh = [manifest for manifest in blocks if manifest.level == 0]
    merged_bytes = payload_bytes(blocks) - payload_bytes(fresh)
    return payload_bytes(fresh) >= _LATE_SHARE * merged_bytes


def _is_crowded(blocks: Sequence[Manifest]) -> bool:
    """Whether a window of the day has many generations."""
    counts: dict[int, int] = {}
    for manifest in blocks:
        if manifest.level == 0:
            counts[manifest.window] = counts.get(manifest.window, 0) + 1
    return max(counts.values(), default=0) >= MANY_GENERATIONS


@dataclass(frozen=True, slots=True)
class _Merged:
    """A merge that is written. It takes the place of the old blocks when its payload was found again after a while:
    until then a store that fails over may lose it, and the old blocks are all there is.
    """

    partition: int
    old: tuple[Manifest, ...]
    new: Manifest
    due: float


class Maintenance:
    """Retention, removal of deleted instances, and merging, for the partitions this process owns."""

    def __init__(
        self, store: BlockStore, registry: Registry, *, clock: Clock, settings: IngesterSettings, counters: Counters
    ) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._settings = settings
        self._counters = counters
        self._waiting: list[_Merged] = []
        self._stored_bytes: dict[int, dict[bytes, int]] = {}  # partition -> uid -> bytes

    async def run(self, partitions: Sequence[int]) -> None:
        """One look at everything. Raises what the store raises; whatever was not done is found again the next time."""
        retention = await self._retention()
        deleted = await self._registry.deleted_uids()
        self._stored_bytes = {number: size for number, size in self._stored_bytes.items() if number in partitions}
        self._waiting = [merge for merge in self._waiting if merge.partition in partitions]
        for partition in partitions:
            await self._drop(await self._store.directory(partition), deleted, retention)
            await self._put_in_place(partition)
            directory = await self._store.directory(partition)
            for uid, manifests in directory.manifests.items():
                # Above the cursor lies what nobody has found again in the store yet.
                settled = [manifest for manifest in manifests if manifest.to_offset <= directory.replay_from]
                for chosen in merges(settled, self._clock.now_ms(), settings=self._settings):
                    if not self._is_waiting(partition, chosen):
                        await self._merge(partition, uid, chosen)
            self._stored_bytes[partition] = {uid: payload_bytes(held) for uid, held in directory.manifests.items()}
            await self._sweep(partition)
            await self._forget_windows(partition, retention)

    @property
    def stored_bytes(self) -> int:
        """Payload of the blocks of these partitions, as the last look found them."""
        return sum(sum(by_uid.values()) for by_uid in self._stored_bytes.values())

    def stored_bytes_of(self, uid: bytes) -> int:
        return sum(by_uid.get(uid, 0) for by_uid in self._stored_bytes.values())

    @property
    def next_look_s(self) -> float | None:
        """When there will be something to do, if that is known."""
        due = min((merge.due for merge in self._waiting), default=None)
        return None if due is None else max(due - self._clock.monotonic(), 0.0)

    async def _put_in_place(self, partition: int) -> None:
        """Names what was merged a while ago. If something of it is gone, the next look merges anew."""
        now = self._clock.monotonic()
        for merge in [merge for merge in self._waiting if merge.partition == partition and merge.due <= now]:
            self._waiting.remove(merge)
            if not all(await self._store.exists(merge.new.keys)):
                self._counters.lost_merges += 1
            elif await self._store.replace(partition, merge.old, [merge.new]):
                self._counters.compactions += 1
                fault("compact.replaced")
            # Otherwise one of them went while we waited, and the next look sees what stands then.

    def _is_waiting(self, partition: int, chosen: Sequence[Manifest]) -> bool:
        roots = {manifest.root_key for manifest in chosen}
        return any(
            merge.partition == partition and not roots.isdisjoint(manifest.root_key for manifest in merge.old)
            for merge in self._waiting
        )

    async def _sweep(self, partition: int) -> None:
        """Removes payload that nobody names: replaced, or of a commit that never came."""
        if orphans := await self._store.orphans(partition, age_s=self._settings.unlink_after_s):
            await self._store.delete(partition, orphans)
            self._counters.swept_payload += len(orphans)
            fault("compact.unlinked")

    async def _forget_windows(self, partition: int, retention: Mapping[bytes, int]) -> None:
        """Of windows older than anybody's blocks may be, and a day more: nobody is still at work on one."""
        longest_ms = max([self._settings.retention_ms, *retention.values()])
        before_ms = self._clock.now_ms() - longest_ms - DAY_MS
        self._counters.forgotten_windows += await self._store.forget_windows(partition, before_ms)

    async def _drop(self, directory: Directory, deleted: Sequence[bytes], retention: Mapping[bytes, int]) -> None:
        now_ms = self._clock.now_ms()
        going: list[Manifest] = []
        for uid, manifests in directory.manifests.items():
            if uid in deleted:
                going += manifests
            else:
                going += expired(manifests, now_ms, retention_ms=self._retention_of(uid, retention))
        if going and await self._store.replace(directory.partition, going, []):
            self._counters.dropped_blocks += len(going)

    def _retention_of(self, uid: bytes, own: Mapping[bytes, int]) -> int:
        return CANARY_RETENTION_MS if is_canary(uid) else own.get(uid, self._settings.retention_ms)

    async def _merge(self, partition: int, uid: bytes, manifests: Sequence[Manifest]) -> None:
        parts = await self._merged(uid, manifests)
        fault("compact.merged")
        values = (parts.root, *parts.pages)
        attempt = new_attempt()
        first, last = min(m.from_offset for m in manifests), max(m.to_offset for m in manifests)
        level = 1 + max(manifest.level for manifest in manifests)
        merged = describe(parts, values, attempt, 0, manifests[0].window, first, last, level=level)
        payload = Payload(payload_keys(attempt, len(values)), values)
        await self._store.put(partition, payload)
        fault("compact.put")
        due = self._clock.monotonic() + self._settings.verify_after_s
        self._waiting.append(_Merged(partition, tuple(manifests), merged, due))

    async def _merged(self, uid: bytes, manifests: Sequence[Manifest]) -> BlockParts:
        blocks = []
        for manifest in manifests:
            root, *pages = await self._store.fetch(manifest.keys)
            blocks.append((BlockReader.open(root), pages))
        return await asyncio.to_thread(merge_blocks, blocks, uid)

    async def _retention(self) -> dict[bytes, int]:
        """Of the instances that have one of their own."""
        instances = await self._registry.instances()
        return {i.uid: i.limits.retention_s * 1000 for i in instances if i.limits.retention_s is not None}
