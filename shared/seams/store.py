"""The block store seam: directory, cursor and payload of every partition. Standalone: files. Cluster: Redis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Metadata = dict[str, tuple[int, str, str]]
"""family -> (type number, help, unit)."""


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

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.root_key, *self.page_keys)


@dataclass(frozen=True, slots=True)
class Generation:
    """The samples of a window between two offsets of the log, one manifest per instance."""

    window: int
    from_offset: int
    to_offset: int  # of the seal marker
    manifests: tuple[Manifest, ...]


@dataclass(frozen=True, slots=True)
class Directory:
    """A consistent snapshot of one partition; never modified. `generation` rises with every commit or compaction: by
    one, and by more where a store may have forgotten some, so that a number means one state for good.
    """

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


@dataclass(frozen=True, slots=True)
class StoredGroups:
    """Pushed groups of a partition, as of an offset of its log: what lies below is in them, and nothing else. Keys and
    values are `shared.native.PushBook`'s.
    """

    offset: int = 0
    entries: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)


ASIDE_RECORDS = 64
ASIDE_BYTES = 16 << 20
"""What a partition keeps aside at most. The first damage tells most, so what comes later is not kept."""


@dataclass(frozen=True, slots=True)
class Aside:
    """A record of the log that nobody could decode, kept for the operator."""

    offset: int
    reason: str
    value: bytes = field(repr=False)


def has_room_aside(records: int, held_bytes: int, value: bytes) -> bool:
    """Whether a partition that keeps so much aside already takes `value` too."""
    return records < ASIDE_RECORDS and held_bytes + len(value) <= ASIDE_BYTES


def forgettable(directory: Directory, before_ms: int) -> dict[int, int]:
    """What `forget_windows` may drop: window -> `through`."""
    old = {
        window: through
        for window, through in directory.through.items()
        if window < before_ms and through <= directory.replay_from
    }
    for blocks in directory.manifests.values() if old else ():
        for manifest in blocks:
            for window in [window for window in old if manifest.window <= window <= manifest.max_time]:
                del old[window]
    return old


def payload_keys(attempt: str, count: int) -> tuple[str, ...]:
    """The keys of one attempt's values, in order. `attempt` is random, so that no two attempts share a key."""
    return tuple(f"{attempt}/{index}" for index in range(count))


class BlockStore(Protocol):
    """Payload is never overwritten: keys hold a random attempt id. Only `commit` and `replace` make payload visible."""

    async def put(self, partition: int, payload: Payload) -> None:
        """Durable when it returns. All keys are those of one attempt; putting the same values again repairs what went
        missing. From before the first value is written until it is named or deleted, `orphans` finds the payload.
        """
        ...

    async def fetch(self, keys: Sequence[str]) -> list[bytes]:
        """NotFoundError names the first missing key; InternalError a value that fails its checksum."""
        ...

    async def exists(self, keys: Sequence[str]) -> list[bool]: ...

    async def commit(self, partition: int, generations: Sequence[Generation]) -> bool:
        """Adds all generations, of distinct windows, if every `through[window]` (0 at first) equals the generation's
        `from_offset`; sets it to `to_offset` and raises the directory's generation.

        False: another committer was first; nothing was done. NotFoundError: payload was never put, or was deleted, as
        that of a process that stood still for long; nothing was done. UnavailableError: unknown, ask `directory`.
        """
        ...

    async def replace(self, partition: int, old: Sequence[Manifest], new: Sequence[Manifest]) -> bool:
        """Compaction and retention: swaps manifests if all of `old` still stand. `through` stays.

        A new manifest takes the place, in log order, of the first old one of its instance. Errors as of `commit`.
        """
        ...

    async def advance(self, partition: int, replay_from: int) -> None:
        """Raises `replay_from`; never lowers it."""
        ...

    async def forget_windows(self, partition: int, before_ms: int) -> int:
        """Drops `through` of windows that begin before `before_ms`, which `replay_from` has passed, and into which no
        block reaches; how many. So that `through` does not grow for ever.

        A window that was forgotten counts from 0 again. No replay comes to it any more, and whoever still knows where
        it ended sees by `replay_from` that it was not lost.
        """
        ...

    async def orphans(self, partition: int, *, age_s: float) -> list[str]:
        """Keys that no manifest has named for so long: of a commit that never came, or of replaced manifests, which a
        running query may still read. A process that owns its store alone may have removed them when it started.
        """
        ...

    async def directory(self, partition: int, *, at_least: int = 0) -> Directory:
        """UnavailableError if the store's generation is below `at_least`: the reader has seen a newer one, so this one
        is stale.
        """
        ...

    async def delete(self, partition: int, keys: Sequence[str]) -> None:
        """Payload that no manifest names; from here on none can. A missing key is not an error."""
        ...

    async def metadata(self, partition: int) -> dict[bytes, Metadata]:
        """By uid."""
        ...

    async def put_metadata(self, partition: int, offset: int, entries: Mapping[bytes, Metadata]) -> set[bytes]:
        """Replaces what is stored for each uid named by what there is as of `offset`: all that lies below is in it, and
        it may hold more. An empty value removes it, whenever it is from.

        Returns those uids whose metadata is there as of a later offset. It stays.
        """
        ...

    async def groups(self, partition: int) -> StoredGroups: ...

    async def put_groups(
        self, partition: int, since: int, offset: int, entries: Sequence[tuple[bytes, bytes | None]]
    ) -> int:
        """Replaces entries, or removes those without a value, all at once: what changed from `since` on, as of
        `offset`. Returns the offset that the groups are as of afterwards.

        Above `offset`: they had all of it already. Below `since`: the store was turned back and lacks more than this.
        In both cases nothing was done.
        """
        ...

    async def exemplars(self, partition: int) -> dict[bytes, bytes]:
        """uid -> what `Head.exemplar_snapshot` gave."""
        ...

    async def put_exemplars(self, partition: int, offset: int, snapshots: Mapping[bytes, bytes]) -> set[bytes]:
        """As `put_metadata`."""
        ...

    async def keep_aside(self, partition: int, offset: int, value: bytes, reason: str) -> bool:
        """Durable when it returns True. The same offset again changes nothing: both zones keep what both have met.

        False: the partition keeps `ASIDE_RECORDS` or `ASIDE_BYTES` aside already, and `value` is not kept.
        """
        ...

    async def aside(self, partition: int) -> list[Aside]:
        """By offset."""
        ...

    async def close(self) -> None: ...
