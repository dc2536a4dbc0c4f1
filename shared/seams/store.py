"""The block store seam: directory, cursor and payload of every partition. Standalone: files. Cluster: Redis."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Manifest:
    """One block in the directory."""

    uid: bytes
    window: int
    from_offset: int
    to_offset: int
    level: int  # 0 as cut, 1 and more after compaction
    min_time: int
    max_time: int
    series: int
    samples: int
    digest: bytes
    root_key: str
    page_keys: tuple[str, ...]
    lengths: tuple[int, ...]  # of root and pages, as read back
    checksums: tuple[int, ...]  # CRC-32C, likewise


@dataclass(frozen=True, slots=True)
class Directory:
    """A consistent snapshot of one partition. `generation` rises by one with every commit or compaction."""

    partition: int
    generation: int
    replay_from: int
    through: dict[int, int] = field(default_factory=dict)  # window -> first offset not contained in the store
    manifests: dict[bytes, tuple[Manifest, ...]] = field(default_factory=dict)  # uid -> blocks in log order


@dataclass(frozen=True, slots=True)
class Payload:
    """Values to be written before a commit may name them."""

    keys: tuple[str, ...]
    values: tuple[bytes, ...] = field(repr=False)


class BlockStore(Protocol):
    """Payload is never overwritten: keys hold a random attempt id. Only `commit` and `replace` make payload visible."""

    async def put(self, payload: Payload) -> None:
        """Durable when it returns."""
        ...

    async def fetch(self, keys: Sequence[str]) -> list[bytes]:
        """NotFoundError names the first missing key; InternalError a value that fails its checksum."""
        ...

    async def exists(self, keys: Sequence[str]) -> list[bool]: ...

    async def commit(
        self, partition: int, window: int, from_offset: int, to_offset: int, manifests: Sequence[Manifest]
    ) -> bool:
        """Adds the generation if `through[window]` (0 at first) equals `from_offset`, sets it to `to_offset`, raises the generation.

        False: another committer was first; nothing was done. UnavailableError: unknown, ask `directory`.
        """
        ...

    async def replace(self, partition: int, old: Sequence[Manifest], new: Sequence[Manifest]) -> bool:
        """Compaction and retention: swaps manifests if all of `old` still stand. `through` stays."""
        ...

    async def advance(self, partition: int, replay_from: int) -> None:
        """Raises `replay_from`; never lowers it."""
        ...

    async def directory(self, partition: int, *, at_least: int = 0) -> Directory:
        """UnavailableError if the store's generation is below `at_least`: the reader has seen a newer one, so this one is stale."""
        ...

    async def delete(self, keys: Sequence[str]) -> None: ...

    async def metadata(self, partition: int, uid: bytes) -> dict[str, tuple[int, str, str]]:
        """family -> (type number, help, unit)."""
        ...

    async def put_metadata(self, partition: int, uid: bytes, entries: dict[str, tuple[int, str, str]]) -> None: ...

    async def close(self) -> None: ...
