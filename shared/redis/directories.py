"""Directories as a process has read them: kept, and brought up to date by what has changed.

A directory that has not changed costs one small command. Otherwise one script tells what was touched since, as it
stands now, in one snapshot. Who has read nothing yet, is an hour behind, or has seen a store that was turned back,
reads all of it piece by piece and then what has changed meanwhile.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from shared.errors import UnavailableError
from shared.redis.client import Client, Command
from shared.redis.keys import PartitionKeys
from shared.redis.node import Reply
from shared.redis.records import check_format, decode_blocks, decode_number, decode_uid
from shared.redis.scripts import READ
from shared.seams.store import Directory, Manifest

_MAX_BEHIND = 1000  # generations
_MAX_BLOCKS = 10_000  # places that changed: what one script should return at most
_DIRECT_BLOCKS = 200  # as many take about a millisecond
_INSTANCES_AT_ONCE = 100
_ATTEMPTS = 5

Places = Mapping[str, tuple[Manifest, ...]]
"""Of one instance: field, which ascends in log order → the blocks there, mostly one."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A directory with what is needed to change it."""

    directory: Directory
    mark: str  # of the generation
    places: Mapping[bytes, Places] = field(default_factory=dict)  # by uid

    @property
    def generation(self) -> int:
        return self.directory.generation


@dataclass(frozen=True, slots=True)
class _Head:
    generation: int
    mark: str
    replay_from: int


class Directories:
    """One for each process, so that each directory is read and held once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._snapshots: dict[int, Snapshot] = {}
        self._reading: dict[int, asyncio.Lock] = {}

    async def read(self, partition: int) -> Snapshot:
        """As it stands after the call began. UnavailableError: it changes faster than it can be read."""
        keys = PartitionKeys(partition)
        held = self._snapshots.get(partition)
        head = _decode_head(keys, await self._client.call(_read_head(keys)))
        if held is not None and _is_current(held, head):
            return self._moved(partition, held, head)
        async with self._reading.setdefault(partition, asyncio.Lock()):
            held = self._snapshots.get(partition)
            for _ in range(_ATTEMPTS):
                if held is not None:
                    fresh = await self._changed(partition, keys, held)
                    if fresh is not None:
                        self._snapshots[partition] = fresh
                        return fresh
                held = await self._all(partition, keys)
        raise UnavailableError(f"the directory of partition {partition} changes faster than it can be read")

    def _moved(self, partition: int, held: Snapshot, head: _Head) -> Snapshot:
        """`replay_from` moves without a new generation."""
        if held.directory.replay_from == head.replay_from:
            return held
        moved = replace(held, directory=replace(held.directory, replay_from=head.replay_from))
        self._snapshots[partition] = moved
        return moved

    async def _changed(self, partition: int, keys: PartitionKeys, held: Snapshot) -> Snapshot | None:
        """`held` with what has changed since; None if that cannot be told."""
        reply = await self._client.call(
            Command.running(
                READ,
                [keys.cursor, keys.changes, keys.through],
                [held.generation, held.mark, keys.blocks_prefix, _MAX_BEHIND, _MAX_BLOCKS],
            )
        )
        head = _decode_head(keys, reply[0])
        if len(reply) == 1:
            return None
        through = dict(held.directory.through)
        for window, end in _pairs(reply[1]):
            if end is None:
                through.pop(decode_number(keys.through, window), None)
            else:
                through[decode_number(keys.through, window)] = decode_number(keys.through, end)
        if len(reply[2]) > 3 * _DIRECT_BLOCKS:
            touched = await asyncio.to_thread(_decode_touched, keys, held.places, reply[2])
        else:
            touched = _decode_touched(keys, held.places, reply[2])
        return _snapshot(partition, head, through, {**held.places, **touched}, touched, held.directory.manifests)

    async def _all(self, partition: int, keys: PartitionKeys) -> Snapshot:
        """Everything, though not as it was at one moment: what changes meanwhile is to be read again."""
        [head, windows, uids] = await self._client.pipeline(
            [_read_head(keys), Command.of("HGETALL", keys.through), Command.of("SMEMBERS", keys.instances)]
        )
        through = {decode_number(keys.through, w): decode_number(keys.through, end) for w, end in _pairs(windows)}
        instances = sorted(decode_uid(keys.instances, uid) for uid in uids)
        places: dict[bytes, Places] = {}
        for first in range(0, len(instances), _INSTANCES_AT_ONCE):
            some = instances[first : first + _INSTANCES_AT_ONCE]
            replies = await self._client.pipeline([Command.of("HGETALL", keys.blocks(uid)) for uid in some])
            places.update(await asyncio.to_thread(_decode_places, keys, some, replies))
        return _snapshot(partition, _decode_head(keys, head), through, places, places, {})


def _is_current(held: Snapshot, head: _Head) -> bool:
    return (held.generation, held.mark) == (head.generation, head.mark)


def _read_head(keys: PartitionKeys) -> Command:
    return Command.of("HMGET", keys.cursor, "format", "generation", "mark", "replay_from")


def _decode_head(keys: PartitionKeys, reply: Reply) -> _Head:
    found, generation, mark, replay_from = reply
    if found is not None:
        check_format(keys.cursor, decode_number(keys.cursor, found))
    return _Head(
        decode_number(keys.cursor, generation), (mark or b"").decode(), decode_number(keys.cursor, replay_from)
    )


def _decode_touched(
    keys: PartitionKeys, before: Mapping[bytes, Places], flat: Sequence[Reply]
) -> dict[bytes, dict[str, tuple[Manifest, ...]]]:
    """All places of the instances that READ has listed changes of."""
    touched: dict[bytes, dict[str, tuple[Manifest, ...]]] = {}
    for uid_text, place, stored in _triples(flat):
        uid = decode_uid(keys.changes, uid_text)
        places = touched.setdefault(uid, dict(before.get(uid, {})))
        if stored is None:
            places.pop(place.decode(), None)
        else:
            places[place.decode()] = decode_blocks(keys.blocks(uid), uid, stored)
    return touched


def _decode_places(keys: PartitionKeys, uids: Sequence[bytes], replies: Sequence[Reply]) -> dict[bytes, Places]:
    return {
        uid: {place.decode(): decode_blocks(keys.blocks(uid), uid, stored) for place, stored in _pairs(reply)}
        for uid, reply in zip(uids, replies, strict=True)
    }


def _snapshot(
    partition: int,
    head: _Head,
    through: dict[int, int],
    places: Mapping[bytes, Places],
    touched: Iterable[bytes],
    before: Mapping[bytes, tuple[Manifest, ...]],
) -> Snapshot:
    """`before` are the blocks in log order as they were until those of `touched` changed."""
    manifests = dict(before)
    for uid in touched:
        manifests[uid] = tuple(manifest for _, group in sorted(places[uid].items()) for manifest in group)
    directory = Directory(
        partition,
        head.generation,
        head.replay_from,
        through,
        {uid: blocks for uid, blocks in manifests.items() if blocks},
    )
    return Snapshot(directory, head.mark, {uid: own for uid, own in places.items() if own})


def _pairs(flat: Sequence[Reply]) -> Iterator[tuple[Reply, Reply]]:
    return zip(flat[::2], flat[1::2], strict=True)


def _triples(flat: Sequence[Reply]) -> Iterator[tuple[Reply, Reply, Reply]]:
    return zip(flat[::3], flat[1::3], flat[2::3], strict=True)
