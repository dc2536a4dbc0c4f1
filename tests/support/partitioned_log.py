"""A log with a sequence of its own for each partition, as Kafka keeps it, made of as many local ones."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared import native
from shared.errors import UnavailableError
from shared.local.log import LocalLog
from shared.native import Files, SplitBatch, Splitter
from shared.seams.log import Damaged, Fetched, LogReader

_TURN_S = 0.002


@dataclass
class Trouble:
    """What readers meet in a partition, besides records."""

    damaged: dict[int, str] = field(default_factory=dict)  # offset -> why it cannot be decoded
    first: int = 0  # what lies below is gone
    stopped_at: int | None = None  # a record of a newer format


class PartitionedLog:
    """`shared.seams.log.Log`. A reader of it turns from partition to partition."""

    def __init__(self, files: Files, folder: str, splitter: Splitter, partitions: int) -> None:
        self.logs = [
            LocalLog(native.LocalLog.open(files, f"{folder}/{number}", splitter=splitter, segment_bytes=4096))
            for number in range(partitions)
        ]
        self.troubles = [Trouble() for _ in range(partitions)]

    async def append(self, batch: SplitBatch, *, now_ms: int) -> dict[int, int]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {n: group.create_task(self.logs[n].append(batch, now_ms=now_ms)) for n in batch.partitions}
        except* UnavailableError as refused:
            raise refused.exceptions[0] from None
        return {number: task.result()[number] for number, task in tasks.items()}

    async def append_seal(self, partition: int, windows: Sequence[int]) -> int:
        return await self.logs[partition].append_seal(partition, windows)

    async def end_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        return {number: self.logs[number].committed for number in partitions}

    async def first_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        return {number: max(self.logs[number].first, self.troubles[number].first) for number in partitions}

    def reader(self) -> "PartitionedReader":
        return PartitionedReader(self)

    async def trim(self, replay_from: dict[int, int]) -> None:
        """Retention does it."""

    async def close(self) -> None:
        for log in self.logs:
            await log.close()


class PartitionedReader:
    def __init__(self, log: PartitionedLog) -> None:
        self._log = log
        self._readers: dict[int, LogReader] = {}
        self._positions: dict[int, int] = {}
        self._woken = self._closed = False

    def assign(self, positions: Mapping[int, int]) -> None:
        for number, position in positions.items():
            if self._positions.get(number) != position:
                self._readers[number] = reader = self._log.logs[number].reader()
                reader.assign({number: position})
        self._positions = dict(positions)

    def read(self, *, max_records: int, timeout_ms: int) -> list[Fetched]:
        deadline = time.monotonic() + timeout_ms / 1000
        while not (found := self._look(max_records)):
            if self._closed:
                raise native.CanceledError("the reader is closed")
            if self._woken or time.monotonic() >= deadline:
                self._woken = False
                return []
            time.sleep(_TURN_S)
        return found

    def wake(self) -> None:
        self._woken = True

    def close(self) -> None:
        self._closed = True

    def _look(self, max_records: int) -> list[Fetched]:
        found = []
        for number in self._positions:
            for fetched in self._readers[number].read(max_records=max_records, timeout_ms=0):
                met = self._met(number, fetched)
                self._positions[number] = met.end
                found.append(met)
        return found

    def _met(self, number: int, fetched: Fetched) -> Fetched:
        trouble = self._log.troubles[number]
        records = [record for record in fetched.records if record.offset >= trouble.first]
        end, stopped = fetched.end, None
        if trouble.stopped_at is not None and trouble.stopped_at < end:
            end, stopped = trouble.stopped_at, "record format 9"
            records = [record for record in records if record.offset < end]
        return Fetched(
            (number,),
            [record for record in records if record.offset not in trouble.damaged],
            end,
            lost=len(fetched.records) - len([r for r in fetched.records if r.offset >= trouble.first]),
            damaged=tuple(
                Damaged(record.offset, b"garbage", trouble.damaged[record.offset])
                for record in records
                if record.offset in trouble.damaged
            ),
            stopped=stopped,
        )
