"""The block store on Redis, shared by all processes of a cluster."""

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from shared.errors import InternalError, NotFoundError, UnavailableError
from shared.faults import fault
from shared.redis import scripts
from shared.redis.client import Client, Command, Script
from shared.redis.directories import Directories, Snapshot
from shared.redis.keys import PAYLOAD_PATTERN, WINDOW, PartitionKeys, payload_of
from shared.redis.node import Argument
from shared.redis.payload import PayloadKeeper
from shared.redis.records import (
    decode_blocks,
    decode_metadata,
    decode_number,
    decode_uid,
    encode_blocks,
    encode_exemplars,
    encode_metadata,
)
from shared.seams.store import (
    ASIDE_BYTES,
    ASIDE_RECORDS,
    Aside,
    Directory,
    Generation,
    Manifest,
    Metadata,
    Payload,
    StoredGroups,
    forgettable,
)

_MOST_ORPHANS = 10_000  # in one look
_ATTEMPTS = 5  # of a change that others overtake
_KEYS_AT_ONCE = 5_000
_GROUPS_OFFSET = b"offset"


@dataclass(frozen=True, slots=True)
class _Place:
    """Where blocks of an instance lie, what stands there, and what shall."""

    uid: bytes
    field: str
    before: bytes
    after: bytes  # nothing: the place goes


class RedisStore:
    """`shared.seams.store.BlockStore`. The client is the caller's to close.

    A change of a partition is one script in its slot. `unnamed` lists the payload that is written or about to be and
    that no manifest names, with the time since when; every script that gives or takes a name keeps it so, and what it
    does not list is never removed. A fail-over that takes a change back takes the list back with it.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._payload = PayloadKeeper(client)
        self._directories = Directories(client)

    async def fix_window(self, window_ms: int) -> None:
        """The first process decides how wide windows are; InternalError for one that would have them otherwise.

        Cursors know windows by their start: with another width a replay would skip what is not stored.
        """
        found = await self._client.call(Command(WINDOW, ("SET", WINDOW, window_ms, "NX", "GET")))
        if found is not None and decode_number(WINDOW, found) != window_ms:
            raise InternalError(
                f"this store has windows of {decode_number(WINDOW, found) // 1000} s, not of {window_ms // 1000} s: "
                "set ingester.window_s back, or start with an empty Redis"
            )

    async def put(self, partition: int, payload: Payload) -> None:
        if len({key.rpartition("/")[0] for key in payload.keys}) > 1:
            raise InternalError(f"payload keys must be those of one attempt: {payload.keys[:3]} …")
        await self._register(partition, payload.keys)
        await self._payload.write(payload.keys, payload.values)

    async def fetch(self, keys: Sequence[str]) -> list[bytes]:
        return await self._payload.read(keys)

    async def exists(self, keys: Sequence[str]) -> list[bool]:
        return await self._payload.exists(keys)

    async def commit(self, partition: int, generations: Sequence[Generation]) -> bool:
        fault("commit.before")
        keys = PartitionKeys(partition)
        manifests = [manifest for generation in generations for manifest in generation.manifests]
        uids = list(dict.fromkeys(manifest.uid for manifest in manifests))
        number_of = {uid: number for number, uid in enumerate(uids, 6)}
        payload = [key for manifest in manifests for key in manifest.keys]
        command_keys = [keys.cursor, keys.through, keys.changes, keys.instances, keys.unnamed]
        command_keys += [keys.blocks(uid) for uid in uids]
        args = [
            _mark(),
            *_listed([number for g in generations for number in (g.window, g.from_offset, g.to_offset)]),
            *_listed(payload),
            *_listed([part for m in manifests for part in (number_of[m.uid], m.uid.hex(), encode_blocks([m]))]),
        ]
        committed = await self._change(partition, scripts.COMMIT, command_keys, args, payload)
        if committed:
            fault("commit.done")
        return committed

    async def replace(self, partition: int, old: Sequence[Manifest], new: Sequence[Manifest]) -> bool:
        keys = PartitionKeys(partition)
        leaving = {key for manifest in old for key in manifest.keys}
        arriving = {key for manifest in new for key in manifest.keys}
        coming, going = sorted(arriving - leaving), sorted(leaving - arriving)
        for _ in range(_ATTEMPTS):
            places = await self._places(partition, old, new)
            if places is None:
                return False
            uids = list(dict.fromkeys(place.uid for place in places))
            number_of = {uid: number for number, uid in enumerate(uids, 5)}
            args = [
                _mark(),
                *_listed(coming),
                *_listed(going),
                *_listed(
                    [part for p in places for part in (number_of[p.uid], p.uid.hex(), p.field, p.before, p.after)]
                ),
            ]
            command_keys = [keys.cursor, keys.changes, keys.instances, keys.unnamed]
            command_keys += [keys.blocks(uid) for uid in uids]
            if await self._change(partition, scripts.REPLACE, command_keys, args, coming):
                return True
        raise UnavailableError(f"the directory of partition {partition} changes faster than blocks can be replaced")

    async def advance(self, partition: int, replay_from: int) -> None:
        await self._client.call(Command.running(scripts.ADVANCE, [PartitionKeys(partition).cursor], [replay_from]))

    async def forget_windows(self, partition: int, before_ms: int) -> int:
        keys = PartitionKeys(partition)
        for _ in range(_ATTEMPTS):
            snapshot = await self._directories.read(partition)
            going = sorted(forgettable(snapshot.directory, before_ms))[:_KEYS_AT_ONCE]
            args = [_mark(), snapshot.generation, snapshot.mark, *_listed(going)]
            command = Command.running(scripts.FORGET_WINDOWS, [keys.cursor, keys.through, keys.changes], args)
            if not going or await self._client.call(command):
                return len(going)
        raise UnavailableError(f"the directory of partition {partition} changes faster than windows can be forgotten")

    async def directory(self, partition: int, *, at_least: int = 0) -> Directory:
        directory = (await self._directories.read(partition)).directory
        if directory.generation < at_least:
            raise UnavailableError(
                f"partition {partition}: the store's directory is at generation {directory.generation}, "
                f"{at_least} was seen"
            )
        return directory

    async def orphans(self, partition: int, *, age_s: float) -> list[str]:
        unnamed = PartitionKeys(partition).unnamed
        args = [round(age_s * 1000), _MOST_ORPHANS]
        return [key.decode() for key in await self._client.call(Command.running(scripts.ORPHANS, [unnamed], args))]

    async def delete(self, partition: int, keys: Sequence[str]) -> None:
        """What a manifest names after all stays: a fail-over may have taken back what made it an orphan."""
        unnamed = PartitionKeys(partition).unnamed
        for first in range(0, len(keys), _KEYS_AT_ONCE):
            some = keys[first : first + _KEYS_AT_ONCE]
            found = await self._client.call(Command.running(scripts.DELETING, [unnamed], some))
            if found:
                await self._payload.unlink([key.decode() for key in found])
                await self._client.call(Command.of("HDEL", unnamed, *found))

    async def strays(self, partitions: Sequence[int]) -> list[str]:
        """Payload that no partition names or lists: nothing would ever remove it. Looks at every key of the store."""
        found: list[str] = []
        named: Collection[str] = await self._listed(partitions)
        async for names in self._client.scan(PAYLOAD_PATTERN):
            keys = (payload_of(name) for name in names)
            found += [key for key in keys if key is not None and key not in named]
        if found:  # some may have been put or replaced while we looked
            named = await self._listed(partitions)
            found = sorted({key for key in found if key not in named})
        present = await self._payload.exists(found)
        return [key for key, is_there in zip(found, present, strict=True) if is_there]

    async def _listed(self, partitions: Sequence[int]) -> set[str]:
        """Every key that a manifest names or that `orphans` may find."""
        keys: set[str] = set()
        for partition in partitions:
            # What lies in between the two has a name before the list forgets it, and is listed before it loses one.
            directories = [(await self._directories.read(partition)).directory]
            unnamed = await self._client.call(Command.of("HKEYS", PartitionKeys(partition).unnamed))
            directories.append((await self._directories.read(partition)).directory)
            keys.update(key.decode() for key in unnamed)
            for directory in directories:
                keys.update(k for blocks in directory.manifests.values() for m in blocks for k in m.keys)
        return keys

    async def metadata(self, partition: int) -> dict[bytes, Metadata]:
        key = PartitionKeys(partition).metadata
        flat = await self._client.call(Command.of("HGETALL", key))
        return {
            decode_uid(key, uid): decode_metadata(f"{key} {uid.decode()}", stored)
            for uid, stored in zip(flat[::2], flat[1::2], strict=True)
        }

    async def put_metadata(self, partition: int, offset: int, entries: Mapping[bytes, Metadata]) -> set[bytes]:
        keys = PartitionKeys(partition)
        values = {uid: encode_metadata(metadata) if metadata else None for uid, metadata in entries.items()}
        return await self._put_as_of([keys.metadata, keys.metadata_as_of], offset, values)

    async def groups(self, partition: int) -> StoredGroups:
        key = PartitionKeys(partition).groups
        flat = await self._client.call(Command.of("HGETALL", key))
        found = dict(zip(flat[::2], flat[1::2], strict=True))
        offset = found.pop(_GROUPS_OFFSET, None)
        return StoredGroups() if offset is None else StoredGroups(decode_number(key, offset), tuple(found.items()))

    async def put_groups(
        self, partition: int, since: int, offset: int, entries: Sequence[tuple[bytes, bytes | None]]
    ) -> int:
        key = PartitionKeys(partition).groups
        args: list[Argument] = [since, offset]
        for name, value in entries:
            args += [name, value or b""]
        return int(await self._client.call(Command.running(scripts.PUT_GROUPS, [key], args)))

    async def exemplars(self, partition: int) -> dict[bytes, bytes]:
        key = PartitionKeys(partition).exemplars
        flat = await self._client.call(Command.of("HGETALL", key))
        return {decode_uid(key, uid): stored[1:] for uid, stored in zip(flat[::2], flat[1::2], strict=True)}

    async def put_exemplars(self, partition: int, offset: int, snapshots: Mapping[bytes, bytes]) -> set[bytes]:
        keys = PartitionKeys(partition)
        values = {uid: encode_exemplars(held) if held else None for uid, held in snapshots.items()}
        return await self._put_as_of([keys.exemplars, keys.exemplars_as_of], offset, values)

    async def keep_aside(self, partition: int, offset: int, value: bytes, reason: str) -> bool:
        args: list[Argument] = [offset, value, reason, ASIDE_RECORDS, ASIDE_BYTES]
        key = PartitionKeys(partition).aside
        return bool(await self._client.call(Command.running(scripts.KEEP_ASIDE, [key], args)))

    async def aside(self, partition: int) -> list[Aside]:
        key = PartitionKeys(partition).aside
        flat = await self._client.call(Command.of("HGETALL", key))
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        offsets = sorted(decode_number(key, name) for name in fields if name.isdigit())
        return [
            Aside(offset, fields.get(b"why%d" % offset, b"").decode(errors="replace"), fields[b"%d" % offset])
            for offset in offsets
        ]

    async def close(self) -> None:
        """Nothing of its own is open."""

    async def _put_as_of(self, keys: Sequence[str], offset: int, values: Mapping[bytes, bytes | None]) -> set[bytes]:
        """States of instances, by uid; the uids that have a later one. `keys` are those of `scripts.PUT_AS_OF`."""
        gone = [uid.hex() for uid, value in values.items() if value is None]
        if gone:
            await self._client.pipeline([Command.of("HDEL", key, *gone) for key in keys])
        puts = {uid: value for uid, value in values.items() if value is not None}
        commands = [Command.running(scripts.PUT_AS_OF, keys, [uid.hex(), offset, value]) for uid, value in puts.items()]
        stored = await self._client.pipeline(commands) if commands else []
        return {uid for uid, is_stored in zip(puts, stored, strict=True) if not is_stored}

    async def _change(
        self, partition: int, script: Script, keys: Sequence[str], args: Sequence[Argument], coming: Sequence[str]
    ) -> bool:
        """Runs a script that gives names to the payload `coming`; whether it did. NotFoundError: it is not there.

        The script is sent once. If the answer is lost, it may have run.
        """
        for _ in range(_ATTEMPTS):
            status, *detail = await self._client.call(Command.running(script, keys, args), repeat=False)
            if status in (0, 1):
                return bool(status)
            if status == 3:
                raise NotFoundError(f"payload {detail[0].decode()} was deleted")
            # Not listed: never put, or listed by a store that was turned back since.
            present = await self._payload.exists(coming)
            for key, is_there in zip(coming, present, strict=True):
                if not is_there:
                    raise NotFoundError(f"payload {key} is not in the store")
            await self._register(partition, coming)
        raise UnavailableError(f"partition {partition}: payload is put and deleted by turns")

    async def _register(self, partition: int, keys: Sequence[str]) -> None:
        """Lists those of the payload keys that no manifest names."""
        own = PartitionKeys(partition)
        attempts = {key.rpartition("/")[0] for key in keys}
        for _ in range(_ATTEMPTS):
            snapshot = await self._directories.read(partition)
            named = _named(snapshot, attempts)
            fresh = [key for key in keys if key not in named]
            if not fresh:
                return
            args: list[Argument] = [snapshot.generation, snapshot.mark, *fresh]
            status, *detail = await self._client.call(
                Command.running(scripts.REGISTER, [own.cursor, own.unnamed], args)
            )
            if status == 1:
                return
            if status == 3:
                raise UnavailableError(f"payload {detail[0].decode()} is being deleted")
        raise UnavailableError(f"the directory of partition {partition} changes faster than payload can be put")

    async def _places(self, partition: int, old: Sequence[Manifest], new: Sequence[Manifest]) -> list[_Place] | None:
        """The places of `old`, with `new` in the first one of each instance. None: one of `old` stands no more."""
        keys = PartitionKeys(partition)
        snapshot = await self._directories.read(partition)
        going = {manifest.root_key for manifest in old}
        touched = [
            (uid, field)
            for uid in dict.fromkeys(manifest.uid for manifest in old)
            for field, blocks in sorted(snapshot.places.get(uid, {}).items())
            if any(manifest.root_key in going for manifest in blocks)
        ]
        commands = [Command.of("HGET", keys.blocks(uid), field) for uid, field in touched]
        stored = await self._client.pipeline(commands) if commands else []
        coming: dict[bytes, list[Manifest]] = {}
        for manifest in new:
            coming.setdefault(manifest.uid, []).append(manifest)
        places = []
        met = 0
        for (uid, field), before in zip(touched, stored, strict=True):
            after: list[Manifest] = []
            for manifest in () if before is None else decode_blocks(keys.blocks(uid), uid, before):
                if manifest.root_key in going:
                    met += 1
                    after += coming.pop(uid, [])
                else:
                    after.append(manifest)
            if before is not None:
                places.append(_Place(uid, field, before, encode_blocks(after) if after else b""))
        return places if met == len(going) and not coming else None


def _mark() -> str:
    return secrets.token_hex(8)


def _listed(items: Sequence[Argument]) -> Sequence[Argument]:
    return [len(items), *items]


def _named(snapshot: Snapshot, attempts: Iterable[str]) -> set[str]:
    """The payload keys of the attempts that manifests name."""
    prefixes = tuple(f"{attempt}/" for attempt in attempts)
    blocks: Mapping[bytes, tuple[Manifest, ...]] = snapshot.directory.manifests
    return {
        key
        for group in blocks.values()
        for manifest in group
        if manifest.root_key.startswith(prefixes)
        for key in manifest.keys
    }
