"""The log seam: what an acknowledged write is durable in. Standalone: segment files. Cluster: Kafka."""

from collections.abc import Sequence
from typing import Protocol

from shared.native import LogRecord, SplitBatch


class Log(Protocol):
    """Records in one order per partition. Offsets of a partition ascend; they need not be dense.

    A record may be delivered again after a restart, never out of order. Appends are acknowledged only when durable.
    """

    async def append(self, batch: SplitBatch, *, now_ms: int) -> int:
        """Durable when it returns the record's offset. UnavailableError: not acknowledged, and it may or may not be in
        the log.
        """
        ...

    async def append_seal(self, partition: int, windows: Sequence[int]) -> int: ...

    async def end_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        """For each partition an offset above every record acknowledged before the call."""
        ...

    def first_offset(self, partition: int) -> int: ...

    def read(self, partitions: Sequence[int], offset: int, *, max_records: int, timeout_ms: int) -> list[LogRecord]:
        """Blocks the calling thread, not the event loop; [] if nothing came in time.

        CorruptError: records from `offset` on are missing or damaged. CanceledError: the log was closed.
        """
        ...

    async def trim(self, replay_from: dict[int, int]) -> None:
        """Records below every partition's `replay_from` may go."""
        ...

    async def close(self) -> None: ...
