"""The block store in files of this machine: payload in packs, everything else in a journal."""

import asyncio
import contextlib
import dataclasses
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from shared import native
from shared.clock import Clock, SystemClock
from shared.errors import InternalError, NotFoundError, UnavailableError
from shared.faults import fault
from shared.local import records
from shared.local.records import AsideRecord, Span
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

# Reading and checking this much takes about as long as handing it to a thread and back.
_DIRECT_FETCH_BYTES = 1 << 20


@dataclass(slots=True)
class _Partition:
    directory: Directory
    groups: dict[int, tuple[Manifest, ...]] = field(default_factory=dict)  # generation that added them -> manifests


class LocalStore:
    """`shared.seams.store.BlockStore`. Directories are kept in memory, so reading one is a look-up.

    One process owns the folder. A change is one transaction of the journal, durable before memory follows. Once
    begun it runs to its end: if its caller were cancelled in between, memory would stay behind the journal.
    """

    def __init__(self, journal: native.Journal, packs: native.Packs, clock: Clock) -> None:
        self._journal = journal
        self._packs = packs
        self._clock = clock
        self._partitions: dict[int, _Partition] = {}
        self._spans: dict[str, Span] = {}
        self._keys: dict[str, set[str]] = {}  # pack -> keys that somebody may still read
        self._unnamed: dict[int, dict[str, float]] = {}  # partition -> key -> since when no manifest names it
        self._aside: dict[int, dict[int, AsideRecord]] = {}  # partition -> offset -> where it lies
        self._changing = asyncio.Lock()

    @classmethod
    def open(
        cls, files: native.Files, folder: str, *, window_ms: int | None = None, clock: Clock | None = None
    ) -> "LocalStore":
        """Blocks on the disk. Removes payload that a crash left without a manifest. InternalError: damaged or of a
        newer format.
        """
        try:
            store = cls(
                native.Journal.open(files, f"{folder}/directory.journal"),
                native.Packs.open(files, f"{folder}/packs"),
                clock or SystemClock(),
            )
        except native.CorruptError as error:
            raise InternalError(str(error)) from error
        if window_ms is not None:
            store._fix_window(window_ms)
        store._load()
        aside = {record.pack for kept in store._aside.values() for record in kept.values()}
        for orphan in set(store._packs.names()) - store._keys.keys() - aside:
            store._packs.remove(orphan)
        return store

    async def put(self, partition: int, payload: Payload) -> None:
        await asyncio.shield(self._put(partition, payload))

    async def fetch(self, keys: Sequence[str]) -> list[bytes]:
        spans = [self._span(key) for key in keys]
        if sum(span.length for span in spans) <= _DIRECT_FETCH_BYTES:
            return self._read(keys, spans)
        return await asyncio.to_thread(self._read, keys, spans)

    async def exists(self, keys: Sequence[str]) -> list[bool]:
        sizes = await asyncio.to_thread(self._sizes, {records.split_key(key)[0] for key in keys})
        return [self._reaches(key, sizes) for key in keys]

    async def commit(self, partition: int, generations: Sequence[Generation]) -> bool:
        fault("commit.before")
        committed = await asyncio.shield(self._commit(partition, generations))
        if committed:
            fault("commit.done")
        return committed

    async def replace(self, partition: int, old: Sequence[Manifest], new: Sequence[Manifest]) -> bool:
        return await asyncio.shield(self._replace(partition, old, new))

    async def advance(self, partition: int, replay_from: int) -> None:
        await asyncio.shield(self._advance(partition, replay_from))

    def present_directory(self, partition: int) -> Directory | None:
        """As `directory`, without the awaiting; None: nothing was ever stored."""
        state = self._partitions.get(partition)
        return None if state is None else state.directory

    async def directory(self, partition: int, *, at_least: int = 0) -> Directory:
        directory = self._partition(partition).directory
        if directory.generation < at_least:
            raise UnavailableError(
                f"partition {partition}: the store's directory is at generation {directory.generation}, "
                f"{at_least} was seen"
            )
        return directory

    async def forget_windows(self, partition: int, before_ms: int) -> int:
        return await asyncio.shield(self._forget_windows(partition, before_ms))

    async def orphans(self, partition: int, *, age_s: float) -> list[str]:
        until = self._clock.monotonic() - age_s
        return [key for key, since in self._unnamed.get(partition, {}).items() if since <= until]

    async def delete(self, partition: int, keys: Sequence[str]) -> None:
        gone = []
        unnamed = self._unnamed.get(partition, {})
        for key in keys:
            pack, _ = records.split_key(key)
            self._spans.pop(key, None)
            unnamed.pop(key, None)
            left = self._keys.get(pack)
            if left is not None:
                left.discard(key)
                if not left:
                    del self._keys[pack]
                    gone.append(pack)
        if gone:
            await asyncio.to_thread(self._remove, gone)

    async def metadata(self, partition: int) -> dict[bytes, Metadata]:
        prefix = records.metadata_key(partition, b"")
        found = self._journal.scan(prefix)
        return {bytes.fromhex(key.removeprefix(prefix)): records.decode_metadata(key, value) for key, value in found}

    async def put_metadata(self, partition: int, offset: int, entries: Mapping[bytes, Metadata]) -> set[bytes]:
        keys = {uid: records.metadata_key(partition, uid) for uid in entries}
        values = {uid: records.encode_metadata(metadata) if metadata else None for uid, metadata in entries.items()}
        return await asyncio.shield(self._put_as_of(offset, keys, values))

    async def groups(self, partition: int) -> StoredGroups:
        key = records.groups_key(partition)
        found = {name: value for name, value in self._journal.scan(key) if name == key or name.startswith(f"{key}/")}
        offset = found.pop(key, None)
        if offset is None:
            return StoredGroups()
        entries = tuple((bytes.fromhex(name.removeprefix(f"{key}/")), value) for name, value in found.items())
        return StoredGroups(records.decode_offset(key, offset), entries)

    async def put_groups(
        self, partition: int, since: int, offset: int, entries: Sequence[tuple[bytes, bytes | None]]
    ) -> int:
        return await asyncio.shield(self._put_groups(partition, since, offset, entries))

    async def exemplars(self, partition: int) -> dict[bytes, bytes]:
        prefix = records.exemplars_key(partition, b"")
        return {bytes.fromhex(key.removeprefix(prefix)): value[1:] for key, value in self._journal.scan(prefix)}

    async def put_exemplars(self, partition: int, offset: int, snapshots: Mapping[bytes, bytes]) -> set[bytes]:
        keys = {uid: records.exemplars_key(partition, uid) for uid in snapshots}
        values = {uid: records.encode_exemplars(held) if held else None for uid, held in snapshots.items()}
        return await asyncio.shield(self._put_as_of(offset, keys, values))

    async def keep_aside(self, partition: int, offset: int, value: bytes, reason: str) -> bool:
        return await asyncio.shield(self._keep_aside(partition, offset, value, reason))

    async def aside(self, partition: int) -> list[Aside]:
        kept = sorted(self._aside.get(partition, {}).items())
        return await asyncio.to_thread(self._read_aside, kept)

    async def close(self) -> None:
        async with self._changing:
            await asyncio.to_thread(self._journal.close)

    @property
    def payload_bytes(self) -> int:
        """Of every value that a manifest names or that still waits to be deleted."""
        return sum(span.length for span in self._spans.values())

    async def _put(self, partition: int, payload: Payload) -> None:
        packs = {records.split_key(key)[0] for key in payload.keys}
        if [records.split_key(key)[1] for key in payload.keys] != list(range(len(payload.values))) or len(packs) > 1:
            raise InternalError(f"payload keys must be those of one attempt, numbered from 0: {payload.keys[:3]} …")
        if not packs:
            return
        pack = packs.pop()
        spans = await asyncio.to_thread(self._write, pack, payload.values)
        unnamed, now = self._unnamed.setdefault(partition, {}), self._clock.monotonic()
        unnamed.update((key, now) for key in payload.keys if key in unnamed or key not in self._spans)
        for key, span in zip(payload.keys, spans, strict=True):
            if self._spans.setdefault(key, span) != span:
                raise InternalError(f"payload {key} was put again with other bytes")
        self._keys.setdefault(pack, set()).update(payload.keys)

    async def _commit(self, partition: int, generations: Sequence[Generation]) -> bool:
        async with self._changing:
            state = self._partition(partition)
            before = state.directory
            if any(before.through.get(g.window, 0) != g.from_offset for g in generations):
                return False
            manifests = tuple(manifest for g in generations for manifest in g.manifests)
            self._check_written(manifests)
            generation = before.generation + 1
            through = before.through | {g.window: g.to_offset for g in generations}
            puts = {records.cursor_key(partition): records.encode_cursor(generation, before.replay_from, through)}
            if manifests:
                puts[records.blocks_key(partition, generation)] = records.encode_manifests(manifests, self._spans)
            await self._transact(puts, [])
            if manifests:
                state.groups[generation] = manifests
            self._name(partition, manifests)
            state.directory = Directory(
                partition, generation, before.replay_from, through, _grouped([manifests], before.manifests)
            )
        return True

    async def _replace(self, partition: int, old: Sequence[Manifest], new: Sequence[Manifest]) -> bool:
        async with self._changing:
            state = self._partition(partition)
            before = state.directory
            groups = _replaced(state.groups, old, new)
            if groups is None:
                return False
            self._check_written(new)
            generation = before.generation + 1
            puts = {
                records.cursor_key(partition): records.encode_cursor(generation, before.replay_from, before.through)
            }
            deletes = []
            for added, manifests in state.groups.items():
                key = records.blocks_key(partition, added)
                if added not in groups:
                    deletes.append(key)
                elif groups[added] is not manifests:
                    puts[key] = records.encode_manifests(groups[added], self._spans)
            await self._transact(puts, deletes)
            state.groups = groups
            now = self._clock.monotonic()
            self._unnamed.setdefault(partition, {}).update((key, now) for manifest in old for key in manifest.keys)
            self._name(partition, new)
            state.directory = Directory(
                partition, generation, before.replay_from, before.through, _grouped(_in_order(groups))
            )
        return True

    async def _put_groups(
        self, partition: int, since: int, offset: int, entries: Sequence[tuple[bytes, bytes | None]]
    ) -> int:
        key = records.groups_key(partition)
        async with self._changing:
            stored = self._offset_at(key)
            if not since <= stored <= offset:
                return stored
            puts = {records.group_key(partition, name): value for name, value in entries if value is not None}
            deletes = [records.group_key(partition, name) for name, value in entries if value is None]
            await self._transact(puts | {key: records.encode_offset(offset)}, deletes)
        return offset

    async def _put_as_of(
        self, offset: int, keys: Mapping[bytes, str], values: Mapping[bytes, bytes | None]
    ) -> set[bytes]:
        """States of instances, by uid, in one transaction; the uids that have a later one."""
        puts: dict[str, bytes] = {}
        deletes: list[str] = []
        later: set[bytes] = set()
        async with self._changing:
            for uid, value in values.items():
                key, as_of = keys[uid], records.as_of_key(keys[uid])
                if value is None:
                    deletes += [key, as_of]
                elif self._offset_at(as_of) > offset:
                    later.add(uid)
                else:
                    puts |= {key: value, as_of: records.encode_offset(offset)}
            await self._transact(puts, deletes)
        return later

    def _offset_at(self, key: str) -> int:
        """0 where there is none."""
        stored = [value for name, value in self._journal.scan(key) if name == key]
        return records.decode_offset(key, stored[0]) if stored else 0

    async def _advance(self, partition: int, replay_from: int) -> None:
        async with self._changing:
            state = self._partition(partition)
            before = state.directory
            if replay_from <= before.replay_from:
                return
            cursor = records.encode_cursor(before.generation, replay_from, before.through)
            await self._transact({records.cursor_key(partition): cursor}, [])
            state.directory = dataclasses.replace(before, replay_from=replay_from)

    async def _forget_windows(self, partition: int, before_ms: int) -> int:
        async with self._changing:
            state = self._partition(partition)
            before = state.directory
            going = forgettable(before, before_ms)
            if going:
                through = {window: end for window, end in before.through.items() if window not in going}
                cursor = records.encode_cursor(before.generation + 1, before.replay_from, through)
                await self._transact({records.cursor_key(partition): cursor}, [])
                state.directory = dataclasses.replace(before, generation=before.generation + 1, through=through)
        return len(going)

    async def _keep_aside(self, partition: int, offset: int, value: bytes, reason: str) -> bool:
        async with self._changing:
            kept = self._aside.setdefault(partition, {})
            if offset in kept:
                return True
            if not has_room_aside(len(kept), sum(record.length for record in kept.values()), value):
                return False
            pack = secrets.token_hex(16)
            [span] = await asyncio.to_thread(self._write, pack, [value])
            record = AsideRecord(reason, pack, span.position, span.length)
            await self._transact({records.aside_key(partition, offset): records.encode_aside(record)}, [])
            kept[offset] = record
        return True

    def _fix_window(self, window_ms: int) -> None:
        """Cursors know windows by their start: if the width changed, a replay would skip what is not stored."""
        written = records.encode_window(window_ms)
        found = self._journal.get(records.WINDOW_KEY)
        if found is None:
            self._journal.commit({records.WINDOW_KEY: written})
        elif found != written:
            raise InternalError(
                f"this store has windows of {records.decode_window(found) // 1000} s, not of {window_ms // 1000} s: "
                "set ingester.window_s back, or start with a new data folder"
            )

    def _load(self) -> None:
        for key, value in sorted(self._journal.scan("cursor/")):
            partition = int(key.removeprefix("cursor/"))
            generation, replay_from, through = records.decode_cursor(key, value)
            self._partitions[partition] = _Partition(Directory(partition, generation, replay_from, through))
        for key, value in sorted(self._journal.scan("blocks/")):
            partition, added = int(key.split("/")[1]), int(key.split("/")[2], 16)
            manifests, spans = records.decode_manifests(key, value)
            self._partition(partition).groups[added] = manifests
            self._spans.update(spans)
            for payload_key in spans:
                self._keys.setdefault(records.split_key(payload_key)[0], set()).add(payload_key)
        for key, value in self._journal.scan("aside/"):
            partition, offset = records.split_aside_key(key)
            self._aside.setdefault(partition, {})[offset] = records.decode_aside(key, value)
        for state in self._partitions.values():
            state.directory = dataclasses.replace(state.directory, manifests=_grouped(_in_order(state.groups)))

    def _partition(self, partition: int) -> _Partition:
        state = self._partitions.get(partition)
        if state is None:
            state = self._partitions[partition] = _Partition(Directory(partition, 0, 0))
        return state

    async def _transact(self, puts: dict[str, bytes], deletes: list[str]) -> None:
        try:
            await asyncio.to_thread(self._journal.commit, puts, deletes)
        except OSError as error:
            raise UnavailableError(f"the store's journal cannot be written: {error}", retry_after_s=10) from error

    def _name(self, partition: int, manifests: Iterable[Manifest]) -> None:
        unnamed = self._unnamed.get(partition, {})
        for manifest in manifests:
            for key in manifest.keys:
                unnamed.pop(key, None)

    def _check_written(self, manifests: Iterable[Manifest]) -> None:
        for manifest in manifests:
            for key in manifest.keys:
                self._span(key)

    def _span(self, key: str) -> Span:
        span = self._spans.get(key)
        if span is None:
            raise NotFoundError(f"payload {key} is not in the store")
        return span

    def _write(self, pack: str, values: Sequence[bytes]) -> list[Span]:
        if pack in self._keys:  # a repair: what is left of the pack makes room
            self._remove([pack])
        try:
            try:
                written = self._packs.write(pack, values)
            except FileExistsError:  # left by a write that failed
                self._remove([pack])
                written = self._packs.write(pack, values)
        except OSError as error:
            raise UnavailableError(f"payload cannot be written: {error}", retry_after_s=10) from error
        return [
            Span(position, length, native.crc32c(value))
            for (position, length), value in zip(written, values, strict=True)
        ]

    def _read(self, keys: Sequence[str], spans: Sequence[Span]) -> list[bytes]:
        by_pack: dict[str, list[int]] = {}
        for number, key in enumerate(keys):
            by_pack.setdefault(records.split_key(key)[0], []).append(number)
        values: list[bytes] = [b""] * len(keys)
        for pack, numbers in by_pack.items():
            try:
                read = self._packs.read(pack, [(spans[n].position, spans[n].length) for n in numbers])
            except FileNotFoundError as error:
                raise NotFoundError(f"payload {keys[numbers[0]]} is not in the store: its pack is gone") from error
            except native.CorruptError as error:
                raise InternalError(f"payload {keys[numbers[0]]}: {error}") from error
            for number, value in zip(numbers, read, strict=True):
                values[number] = value
        return values

    def _read_aside(self, kept: Sequence[tuple[int, AsideRecord]]) -> list[Aside]:
        found = []
        for offset, record in kept:
            try:
                [value] = self._packs.read(record.pack, [(record.position, record.length)])
            except (FileNotFoundError, native.CorruptError) as error:
                raise InternalError(f"the record kept aside at offset {offset}: {error}") from error
            found.append(Aside(offset, record.reason, value))
        return found

    def _sizes(self, packs: Iterable[str]) -> dict[str, int]:
        sizes = {}
        for pack in packs:
            try:
                sizes[pack] = self._packs.size(pack)
            except OSError:
                sizes[pack] = 0
        return sizes

    def _reaches(self, key: str, sizes: dict[str, int]) -> bool:
        span = self._spans.get(key)
        return span is not None and span.position + span.length <= sizes[records.split_key(key)[0]]

    def _remove(self, packs: Sequence[str]) -> None:
        for pack in packs:
            with contextlib.suppress(FileNotFoundError):
                self._packs.remove(pack)


def _in_order(groups: dict[int, tuple[Manifest, ...]]) -> list[tuple[Manifest, ...]]:
    return [groups[added] for added in sorted(groups)]


def _grouped(
    groups: Iterable[tuple[Manifest, ...]], before: Mapping[bytes, tuple[Manifest, ...]] = MappingProxyType({})
) -> dict[bytes, tuple[Manifest, ...]]:
    """By instance in log order: what stood `before`, then the groups."""
    added: dict[bytes, list[Manifest]] = {}
    for manifests in groups:
        for manifest in manifests:
            added.setdefault(manifest.uid, []).append(manifest)
    return {**before, **{uid: (*before.get(uid, ()), *manifests) for uid, manifests in added.items()}}


def _replaced(
    groups: dict[int, tuple[Manifest, ...]], old: Sequence[Manifest], new: Sequence[Manifest]
) -> dict[int, tuple[Manifest, ...]] | None:
    """The groups with `new` in the place of the first old one of each instance; None if one of `old` is gone."""
    going = {manifest.root_key for manifest in old}
    coming: dict[bytes, list[Manifest]] = {}
    for manifest in new:
        coming.setdefault(manifest.uid, []).append(manifest)
    result = {}
    met = 0
    for added in sorted(groups):
        manifests = groups[added]
        if all(manifest.root_key not in going for manifest in manifests):
            result[added] = manifests
            continue
        swapped: list[Manifest] = []
        for manifest in manifests:
            if manifest.root_key in going:
                met += 1
                swapped.extend(coming.pop(manifest.uid, ()))
            else:
                swapped.append(manifest)
        if swapped:
            result[added] = tuple(swapped)
    return result if met == len(going) and not coming else None
