"""The log seam: what an acknowledged write is durable in. Standalone: segment files. Cluster: Kafka."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shared.native import LogRecord, SplitBatch


@dataclass(frozen=True, slots=True)
class Damaged:
    """A record that cannot be decoded, as it lies in the log."""

    offset: int
    value: bytes = field(repr=False)
    reason: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one sequence of records gave. Without records it still tells of losses, damage, or a stop."""

    partitions: tuple[int, ...]  # whose heads it concerns, all at the same offset before and after
    records: list[LogRecord]
    end: int  # where the next read of these partitions begins
    lost: int = 0  # offsets that are gone for good before or among `records`
    damaged: tuple[Damaged, ...] = ()  # passed over: to be kept aside by the caller
    stopped: str | None = None  # why nothing follows `end`: a newer format, bytes that are no record, a truncated log


class LogReader(Protocol):
    """Belongs to one thread, which it may block; `wake` and `close` may be called from any."""

    def assign(self, positions: Mapping[int, int]) -> None:
        """Reads these partitions from now on and no others, each from its offset. One that is there already is not
        sought again.
        """
        ...

    def read(self, *, max_records: int, timeout_ms: int) -> list[Fetched]:
        """What has come, in order within each partition; [] if nothing came in time, or after `wake`.

        CorruptError: the log is damaged where it must not be. CanceledError: log or reader was closed.
        UnavailableError: the log is away. After an error the positions are as they were.
        """
        ...

    def wake(self) -> None:
        """Ends the wait of a read, or that of the next one which would have to wait."""
        ...

    def close(self) -> None: ...


class Log(Protocol):
    """Records in one order per partition. Offsets of a partition ascend; they need not be dense.

    A record may be delivered again after a restart, never out of order. Appends are acknowledged only when durable.
    """

    async def append(self, batch: SplitBatch, *, now_ms: int) -> dict[int, int]:
        """Durable when it returns: for each partition that the batch concerns the offset of its record.
        UnavailableError: not acknowledged, and it may or may not be in the log.
        """
        ...

    async def append_seal(self, partition: int, windows: Sequence[int]) -> int: ...

    async def end_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        """For each partition an offset above every record acknowledged before the call."""
        ...

    async def first_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        """For each partition the offset from which on nothing is missing."""
        ...

    def reader(self) -> LogReader: ...

    async def trim(self, replay_from: dict[int, int]) -> None:
        """Records below every partition's `replay_from` may go."""
        ...

    async def close(self) -> None: ...
