"""Payload: values that are written once, read by many, and removed."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from shared.errors import NotFoundError
from shared.redis.client import Client, Command
from shared.redis.keys import neighbours, payload_key
from shared.redis.records import open_value, seal_value

# One pipeline's worth. More would keep other callers of a node waiting, and its buffers full.
_BATCH_BYTES = 4 << 20
_BATCH_READS = 4  # of up to 16 values each
_BATCH_COMMANDS = 1000

_T = TypeVar("_T")


class PayloadKeeper:
    """Every command is harmless to repeat: a key has one value for ever."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def write(self, keys: Sequence[str], values: Sequence[bytes]) -> None:
        batch: list[Command] = []
        held_bytes = 0
        for key, value in zip(keys, values, strict=True):
            batch.append(Command.of("SET", payload_key(key), seal_value(value)))
            held_bytes += len(value)
            if held_bytes >= _BATCH_BYTES or len(batch) >= _BATCH_COMMANDS:
                await self._client.pipeline(batch)
                batch, held_bytes = [], 0
        if batch:
            await self._client.pipeline(batch)

    async def read(self, keys: Sequence[str]) -> list[bytes]:
        """NotFoundError names the first key that is missing, InternalError a value that was changed."""
        values: list[bytes] = [b""] * len(keys)
        for groups in _batches(_grouped(keys), _BATCH_READS):
            replies = await self._client.pipeline([Command.of("MGET", *group.values()) for group in groups])
            for group, reply in zip(groups, replies, strict=True):
                for number, stored in zip(group, reply, strict=True):
                    if stored is None:
                        raise NotFoundError(f"payload {keys[number]} is not in the store")
                    values[number] = open_value(keys[number], stored)
        return values

    async def exists(self, keys: Sequence[str]) -> list[bool]:
        found: list[bool] = []
        for batch in _batches(keys, _BATCH_COMMANDS):
            replies = await self._client.pipeline([Command.of("EXISTS", payload_key(key)) for key in batch])
            found += [bool(reply) for reply in replies]
        return found

    async def unlink(self, keys: Sequence[str]) -> None:
        for groups in _batches(_grouped(keys), _BATCH_COMMANDS):
            await self._client.pipeline([Command.of("UNLINK", *group.values()) for group in groups])


def _grouped(keys: Iterable[str]) -> list[dict[int, str]]:
    """Position → where the value lies, for those that one command reaches together."""
    groups: dict[str, dict[int, str]] = {}
    for number, key in enumerate(keys):
        group, place = neighbours(key)
        groups.setdefault(group, {})[number] = place
    return list(groups.values())


def _batches(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (items[first : first + size] for first in range(0, len(items), size))
