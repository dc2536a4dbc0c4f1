"""The thread that takes records from the log and applies them to the heads."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from ingester.ages import Ages
from shared.faults import fault
from shared.native import CanceledError, Head, LogRecord
from shared.seams.log import Log

log = structlog.get_logger(__name__)

_RETRY_S = 1.0

_LINGER_S = 0.02
_FEW_RECORDS = 16
"""After so few records the thread waits a little, so that the next ones come together."""


@dataclass(slots=True)
class _Rebuild:
    """Replaces one head by another that is replayed from an older offset."""

    partition: int
    head: Head
    offset: int
    done: asyncio.Future[None]


class Consumer:
    """Applies records in log order. `applied` is the first offset that no head has seen; it never goes back.

    `heads` is shared with nobody; a rebuilt head replaces the old one in it.

    `on_seal` is called in the event loop after records with seal markers were applied.
    """

    def __init__(
        self,
        log: Log,
        heads: dict[int, Head],
        begin: int,
        *,
        ages: Ages,
        on_seal: Callable[[], None],
        records: int,
        timeout_ms: int,
    ) -> None:
        self.applied = begin
        self.failure: str | None = None
        self._log = log
        self._heads = heads
        self._ages = ages
        self._on_seal = on_seal
        self._records = records
        self._timeout_ms = timeout_ms
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._rebuilds: list[_Rebuild] = []
        self._stopping = threading.Event()
        self._running = threading.Event()
        self._running.set()
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._run, name="consumer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def stop(self) -> None:
        self._stopping.set()
        self._running.set()
        self._hurry.set()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join)

    @property
    def paused(self) -> bool:
        return not self._running.is_set()

    def pause(self, *, paused: bool) -> None:
        """Holds consumption back, for when memory is full and the store refuses."""
        if paused:
            self._running.clear()
        else:
            self._running.set()

    async def reached(self, offset: int) -> None:
        """Returns once everything below `offset` is applied."""
        if self.applied >= offset:
            return
        waiter = self._loop.create_future()
        self._waiting.append((offset, waiter))
        self._hurry.set()
        # The thread looks for waiters after it has moved `applied`; one that came in between is served here.
        self._wake()
        try:
            await waiter
        finally:
            self._waiting = [entry for entry in self._waiting if entry[1] is not waiter]

    async def rebuild(self, partition: int, head: Head, offset: int) -> None:
        """Replays the log from `offset` into `head` and then lets it take the place of the partition's head.

        Raises what reading or applying raises; the old head then stays.
        """
        order = _Rebuild(partition, head, offset, self._loop.create_future())
        self._rebuilds.append(order)
        await order.done

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._running.wait()
            try:
                self._step()
                self.failure = None
            except CanceledError:
                return  # the log was closed
            except BaseException as error:  # noqa: BLE001  also a native panic: a thread that ends says nothing
                # Passing over a record would lose what was acknowledged: stay here, say so, try again.
                failure = f"cannot apply the log at offset {self.applied}: {error}"
                if failure != self.failure:
                    log.warning("consumer_failed", offset=self.applied, error=str(error), kind=type(error).__name__)
                self.failure = failure
                self._stopping.wait(_RETRY_S)

    def _step(self) -> None:
        while self._rebuilds:
            order = self._rebuilds.pop(0)
            try:
                self._replay(order)
            except Exception as error:
                self._loop.call_soon_threadsafe(_resolve, order.done, error)
                raise
        records = self._read(self.applied)
        if not records:
            return
        self._note_ages(records)
        self.applied = Head.apply(self._heads, records)
        fault("replay.batch")
        if any(record.kind == "seal" for record in records):
            self._loop.call_soon_threadsafe(self._on_seal)
        if self._waiting:
            self._loop.call_soon_threadsafe(self._wake)
        elif len(records) < _FEW_RECORDS:
            # Waking for each commit would cost more than applying it. Whoever waits for what was written hurries us.
            self._hurry.wait(_LINGER_S)
        self._hurry.clear()

    def _replay(self, order: _Rebuild) -> None:
        offset = order.offset
        while offset < self.applied and not self._stopping.is_set():
            records = [record for record in self._read(offset) if record.offset < self.applied]
            offset = Head.apply({order.partition: order.head}, records) if records else self.applied
        self._heads[order.partition] = order.head
        self._loop.call_soon_threadsafe(_resolve, order.done)

    def _note_ages(self, records: Sequence[LogRecord]) -> None:
        """One of a batch is enough while batches are small; a replay reads many seconds at once."""
        step = 1 if len(records) == self._records else len(records)
        for record in records[::step]:
            if record.kind == "write":
                self._ages.note(record.offset, record.now_ms)

    def _read(self, offset: int) -> Sequence[LogRecord]:
        return self._log.read(list(self._heads), offset, max_records=self._records, timeout_ms=self._timeout_ms)

    def _wake(self) -> None:
        for offset, waiter in self._waiting:
            if offset <= self.applied:
                _resolve(waiter)


def _resolve(waiter: asyncio.Future[None], error: Exception | None = None) -> None:
    if waiter.done():
        return
    if error is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(error)
