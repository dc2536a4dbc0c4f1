"""From what a reader of the log gives to the heads; and what becomes of records that no head can take."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog

from ingester.partition import Partition
from ingester.stats import Counters
from shared.faults import fault
from shared.native import Head, LogRecord, PushBook
from shared.seams.log import Damaged, Fetched
from shared.seams.store import ASIDE_RECORDS, BlockStore

log = structlog.get_logger(__name__)


class Incidents:
    """Records that are lost, damaged, or of a newer format: told to the operator, kept aside, passed or not.

    `met` may be called by any thread, the rest belongs to the event loop that made it.
    """

    def __init__(self, store: BlockStore, *, counters: Counters, alarms: dict[str, str]) -> None:
        self._store = store
        self._counters = counters
        self._alarms = alarms
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[int, Damaged]] = []

    def met(self, fetched: Fetched) -> None:
        if fetched.lost or fetched.damaged or fetched.stopped:
            self._loop.call_soon_threadsafe(self._note, fetched)

    async def keep(self) -> None:
        """Keeps aside what was damaged. Raises what the store raises; call it again then."""
        while self._waiting:
            partition, damaged = self._waiting[0]
            await self._store.keep_aside(partition, damaged.offset, damaged.value, damaged.reason)
            self._waiting.pop(0)

    def _note(self, fetched: Fetched) -> None:
        for partition in fetched.partitions:
            if fetched.lost:
                self._counters.lost_records += fetched.lost
                self._alarm(
                    partition, "lost", f"{fetched.lost} records before offset {fetched.end} are gone from the log"
                )
            for damaged in fetched.damaged:
                self._counters.damaged_records += 1
                self._alarm(partition, "damaged", f"record {damaged.offset} cannot be decoded: {damaged.reason}")
                if len(self._waiting) < ASIDE_RECORDS:
                    self._waiting.append((partition, damaged))
            if fetched.stopped:
                self._alarm(partition, "stopped", f"record {fetched.end} cannot be read: {fetched.stopped}")

    def _alarm(self, partition: int, kind: str, text: str) -> None:
        self._alarms[f"log {kind}/{partition}"] = f"partition {partition}: {text}"
        log.error("log_incident", kind=kind, partition=partition, detail=text)


class Applier:
    """For the threads that read the log; no two of them have the same partition.

    `on_seal` is called in the event loop after records with seal markers were applied.
    """

    def __init__(self, incidents: Incidents, *, on_seal: Callable[[], None], records: int) -> None:
        self._incidents = incidents
        self._on_seal = on_seal
        self._records = records
        self._loop = asyncio.get_running_loop()

    def apply(self, fetched: Fetched, partitions: Mapping[int, Partition]) -> None:
        """Applies a batch to those of its partitions that are given. Raises what `Head.apply` raises: nothing that was
        not applied is counted as applied.
        """
        concerned = [partitions[number] for number in fetched.partitions if number in partitions]
        self._incidents.met(fetched)
        if fetched.records:
            self._note_ages(fetched.records, concerned)
            Head.apply({partition.number: partition.head for partition in concerned}, fetched.records)
            PushBook.apply({p.number: p.pushed for p in concerned}, fetched.records, fetched.end)
        for partition in concerned:
            partition.applied = fetched.end
            partition.stopped = fetched.stopped
        fault("replay.batch")
        if any(record.kind == "seal" for record in fetched.records):
            self._loop.call_soon_threadsafe(self._on_seal)

    def _note_ages(self, records: Sequence[LogRecord], concerned: Sequence[Partition]) -> None:
        """One of a batch is enough while batches are small; a replay reads many seconds at once."""
        step = 1 if len(records) >= self._records else len(records)
        noted = [(record.offset, record.now_ms) for record in records[::step] if record.kind == "write"]
        for partition in concerned:
            partition.ages.note(noted)
