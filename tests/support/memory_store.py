"""A block store in memory that can be turned back, and that loses what it is told to."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from shared.clock import Clock
from shared.errors import InternalError, NotFoundError, UnavailableError
from shared.faults import fault
from shared.native import crc32c
from shared.seams.store import (
    Aside,
    Directory,
    Generation,
    Manifest,
    Metadata,
    Payload,
    StoredGroups,
    forgettable,
    has_room_aside,
)

State = TypeVar("State", Metadata, bytes)


@dataclass
class _State:
    directories: dict[int, Directory] = field(default_factory=dict)
    payload: dict[str, tuple[bytes, int]] = field(default_factory=dict)  # with its checksum
    unnamed: dict[int, dict[str, float]] = field(default_factory=dict)
    metadata: dict[int, dict[bytes, Metadata]] = field(default_factory=dict)
    exemplars: dict[int, dict[bytes, bytes]] = field(default_factory=dict)
    as_of: dict[tuple[str, int, bytes], int] = field(default_factory=dict)  # (what, partition, uid) -> offset
    aside: dict[int, dict[int, Aside]] = field(default_factory=dict)
    groups: dict[int, StoredGroups] = field(default_factory=dict)

    def copy(self) -> "_State":
        return _State(
            dict(self.directories),
            dict(self.payload),
            {number: dict(keys) for number, keys in self.unnamed.items()},
            {number: dict(entries) for number, entries in self.metadata.items()},
            {number: dict(entries) for number, entries in self.exemplars.items()},
            dict(self.as_of),
            {number: dict(kept) for number, kept in self.aside.items()},
            dict(self.groups),
        )


class MemoryStore:
    """`shared.seams.store.BlockStore`. Every call lets others go on first, as one over a network does."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._state = _State()
        self.put_at: dict[str, float] = {}

    # ---- what a test does to it ----

    def snapshot(self) -> _State:
        return self._state.copy()

    def turn_back(self, snapshot: _State) -> None:
        """What was written since is gone."""
        self._state = snapshot.copy()

    def lose(self, key: str) -> None:
        self._state.payload.pop(key, None)

    def damage(self, key: str) -> None:
        value, checksum = self._state.payload[key]
        self._state.payload[key] = (value + b"!", checksum)

    @property
    def keys(self) -> set[str]:
        return set(self._state.payload)

    @property
    def named(self) -> set[str]:
        return {
            key
            for directory in self._state.directories.values()
            for blocks in directory.manifests.values()
            for manifest in blocks
            for key in manifest.keys
        }

    # ---- the seam ----

    async def put(self, partition: int, payload: Payload) -> None:
        await asyncio.sleep(0)
        named, unnamed = self.named, self._state.unnamed.setdefault(partition, {})
        now = self._clock.monotonic()
        unnamed.update((key, now) for key in payload.keys if key not in named)
        await asyncio.sleep(0)
        for key, value in zip(payload.keys, payload.values, strict=True):
            self._state.payload[key] = (value, crc32c(value))
        self.put_at.update(dict.fromkeys(payload.keys, now))

    async def fetch(self, keys: Sequence[str]) -> list[bytes]:
        await asyncio.sleep(0)
        for key in keys:
            if key not in self._state.payload:
                raise NotFoundError(f"payload {key} is not in the store")
        for key in keys:
            value, checksum = self._state.payload[key]
            if crc32c(value) != checksum:
                raise InternalError(f"payload {key} was changed")
        return [self._state.payload[key][0] for key in keys]

    async def exists(self, keys: Sequence[str]) -> list[bool]:
        await asyncio.sleep(0)
        return [key in self._state.payload for key in keys]

    async def commit(self, partition: int, generations: Sequence[Generation]) -> bool:
        await asyncio.sleep(0)
        fault("commit.before")
        before = self._directory(partition)
        if any(before.through.get(g.window, 0) != g.from_offset for g in generations):
            return False
        manifests = dict(before.manifests)
        added = [manifest for generation in generations for manifest in generation.manifests]
        self._name(partition, added)
        for manifest in added:
            manifests[manifest.uid] = (*manifests.get(manifest.uid, ()), manifest)
        through = before.through | {g.window: g.to_offset for g in generations}
        self._state.directories[partition] = replace(
            before, generation=before.generation + 1, through=through, manifests=manifests
        )
        await asyncio.sleep(0)
        fault("commit.done")
        return True

    async def replace(self, partition: int, old: Sequence[Manifest], new: Sequence[Manifest]) -> bool:
        await asyncio.sleep(0)
        before = self._directory(partition)
        going = {manifest.root_key for manifest in old}
        coming: dict[bytes, list[Manifest]] = {}
        for manifest in new:
            coming.setdefault(manifest.uid, []).append(manifest)
        met = 0
        manifests = {}
        for uid, blocks in before.manifests.items():
            swapped: list[Manifest] = []
            for manifest in blocks:
                if manifest.root_key in going:
                    met += 1
                    swapped += coming.pop(uid, [])
                else:
                    swapped.append(manifest)
            if swapped:
                manifests[uid] = tuple(swapped)
        if met != len(going) or coming:
            return False
        now = self._clock.monotonic()
        self._state.unnamed.setdefault(partition, {}).update((key, now) for m in old for key in m.keys)
        self._name(partition, new)
        self._state.directories[partition] = replace(before, generation=before.generation + 1, manifests=manifests)
        return True

    async def advance(self, partition: int, replay_from: int) -> None:
        await asyncio.sleep(0)
        before = self._directory(partition)
        self._state.directories[partition] = replace(before, replay_from=max(before.replay_from, replay_from))

    async def directory(self, partition: int, *, at_least: int = 0) -> Directory:
        await asyncio.sleep(0)
        directory = self._directory(partition)
        if directory.generation < at_least:
            raise UnavailableError(f"the directory is at generation {directory.generation}, {at_least} was seen")
        return directory

    async def forget_windows(self, partition: int, before_ms: int) -> int:
        await asyncio.sleep(0)
        before = self._directory(partition)
        going = forgettable(before, before_ms)
        if going:
            through = {window: end for window, end in before.through.items() if window not in going}
            self._state.directories[partition] = replace(before, generation=before.generation + 1, through=through)
        return len(going)

    async def orphans(self, partition: int, *, age_s: float) -> list[str]:
        await asyncio.sleep(0)
        until = self._clock.monotonic() - age_s
        return [key for key, since in self._state.unnamed.get(partition, {}).items() if since <= until]

    async def delete(self, partition: int, keys: Sequence[str]) -> None:
        await asyncio.sleep(0)
        unnamed = self._state.unnamed.get(partition, {})
        for key in keys:
            if unnamed.pop(key, None) is not None:
                self._state.payload.pop(key, None)

    async def metadata(self, partition: int) -> dict[bytes, Metadata]:
        await asyncio.sleep(0)
        return dict(self._state.metadata.get(partition, {}))

    async def put_metadata(self, partition: int, offset: int, entries: Mapping[bytes, Metadata]) -> set[bytes]:
        await asyncio.sleep(0)
        held = self._state.metadata.setdefault(partition, {})
        return self._put_as_of("metadata", partition, offset, held, entries)

    async def groups(self, partition: int) -> StoredGroups:
        await asyncio.sleep(0)
        return self._state.groups.get(partition, StoredGroups())

    async def put_groups(
        self, partition: int, since: int, offset: int, entries: Sequence[tuple[bytes, bytes | None]]
    ) -> int:
        await asyncio.sleep(0)
        before = self._state.groups.get(partition, StoredGroups())
        if not since <= before.offset <= offset:
            return before.offset
        changed = dict(before.entries) | {key: value or b"" for key, value in entries}
        kept = tuple((key, value) for key, value in changed.items() if value)
        self._state.groups[partition] = StoredGroups(offset, kept)
        return offset

    async def exemplars(self, partition: int) -> dict[bytes, bytes]:
        await asyncio.sleep(0)
        return dict(self._state.exemplars.get(partition, {}))

    async def put_exemplars(self, partition: int, offset: int, snapshots: Mapping[bytes, bytes]) -> set[bytes]:
        await asyncio.sleep(0)
        held = self._state.exemplars.setdefault(partition, {})
        return self._put_as_of("exemplars", partition, offset, held, snapshots)

    def _put_as_of(
        self, what: str, partition: int, offset: int, held: dict[bytes, State], entries: Mapping[bytes, State]
    ) -> set[bytes]:
        later = set()
        for uid, value in entries.items():
            place = (what, partition, uid)
            if not value:
                held.pop(uid, None)
                self._state.as_of.pop(place, None)
            elif self._state.as_of.get(place, 0) > offset:
                later.add(uid)
            else:
                held[uid] = value
                self._state.as_of[place] = offset
        return later

    async def keep_aside(self, partition: int, offset: int, value: bytes, reason: str) -> bool:
        await asyncio.sleep(0)
        kept = self._state.aside.setdefault(partition, {})
        if offset in kept:
            return True
        if not has_room_aside(len(kept), sum(len(aside.value) for aside in kept.values()), value):
            return False
        kept[offset] = Aside(offset, reason, value)
        return True

    async def aside(self, partition: int) -> list[Aside]:
        await asyncio.sleep(0)
        return [aside for _, aside in sorted(self._state.aside.get(partition, {}).items())]

    async def close(self) -> None:
        """It lives on for those who open it again."""

    def _directory(self, partition: int) -> Directory:
        return self._state.directories.get(partition) or Directory(partition, 0, 0)

    def _name(self, partition: int, manifests: Sequence[Manifest]) -> None:
        unnamed = self._state.unnamed.get(partition, {})
        for manifest in manifests:
            for key in manifest.keys:
                if key not in self._state.payload:
                    raise NotFoundError(f"payload {key} is not in the store")
        for manifest in manifests:
            for key in manifest.keys:
                unnamed.pop(key, None)
