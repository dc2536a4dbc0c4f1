"""The thread that takes records from the log and applies them to the heads."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from ingester.ages import Ages
from shared.errors import InternalError
from shared.faults import fault
from shared.native import CanceledError, Head, LogRecord
from shared.seams.log import Fetched, Log

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
    """Applies records in log order. `applied` is, by partition, the first offset that its head has not seen; it never
    goes back.

    `heads` is shared with nobody; a rebuilt head replaces the old one in it.

    `on_seal` is called in the event loop after records with seal markers were applied.
    """

    def __init__(
        self,
        log: Log,
        heads: dict[int, Head],
        begin: Mapping[int, int],
        *,
        ages: Ages,
        on_seal: Callable[[], None],
        records: int,
        timeout_ms: int,
    ) -> None:
        self.applied = dict(begin)
        self.failure: str | None = None
        self._log = log
        self._heads = heads
        self._ages = ages
        self._on_seal = on_seal
        self._records = records
        self._timeout_ms = timeout_ms
        self._loop = asyncio.get_running_loop()
        self._reader = log.reader()
        self._waiting: list[tuple[Mapping[int, int], asyncio.Future[None]]] = []
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
        self._reader.close()
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

    def lag(self, ends: Mapping[int, int]) -> dict[int, int]:
        """By partition the offsets below its end that its head has not seen; nothing for those that have reached it."""
        applied = self.applied
        return {partition: end - applied[partition] for partition, end in ends.items() if applied[partition] < end}

    async def reached(self, ends: Mapping[int, int]) -> None:
        """Returns once in every partition all below its end is applied."""
        if not self.lag(ends):
            return
        waiter = self._loop.create_future()
        self._waiting.append((ends, waiter))
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
        self._reader.assign(self.applied)
        while not self._stopping.is_set():
            self._running.wait()
            try:
                self._step()
                self.failure = None
            except CanceledError:
                return  # the log was closed
            except BaseException as error:  # noqa: BLE001  also a native panic: a thread that ends says nothing
                # Passing over a record would lose what was acknowledged: stay here, say so, try again.
                failure = f"cannot apply the log: {error}"
                if failure != self.failure:
                    log.warning("consumer_failed", error=str(error), kind=type(error).__name__)
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
        fetched = self._reader.read(max_records=self._records, timeout_ms=self._timeout_ms)
        if not fetched:
            return
        for batch in fetched:
            self._apply(batch)
        if self._waiting:
            self._loop.call_soon_threadsafe(self._wake)
        elif sum(len(batch.records) for batch in fetched) < _FEW_RECORDS:
            # Waking for each commit would cost more than applying it. Whoever waits for what was written hurries us.
            self._hurry.wait(_LINGER_S)
        self._hurry.clear()

    def _apply(self, fetched: Fetched) -> None:
        _check_whole(fetched)
        self._note_ages(fetched.records)
        Head.apply({partition: self._heads[partition] for partition in fetched.partitions}, fetched.records)
        self.applied.update(dict.fromkeys(fetched.partitions, fetched.end))
        fault("replay.batch")
        if any(record.kind == "seal" for record in fetched.records):
            self._loop.call_soon_threadsafe(self._on_seal)

    def _replay(self, order: _Rebuild) -> None:
        offset, end = order.offset, self.applied[order.partition]
        reader = self._log.reader()
        reader.assign({order.partition: offset})
        while offset < end and not self._stopping.is_set():
            for fetched in reader.read(max_records=self._records, timeout_ms=self._timeout_ms):
                _check_whole(fetched)
                if records := [record for record in fetched.records if record.offset < end]:
                    Head.apply({order.partition: order.head}, records)
                offset = fetched.end
        reader.close()
        self._heads[order.partition] = order.head
        self._loop.call_soon_threadsafe(_resolve, order.done)

    def _note_ages(self, records: Sequence[LogRecord]) -> None:
        """One of a batch is enough while batches are small; a replay reads many seconds at once."""
        step = 1 if len(records) == self._records else len(records)
        for record in records[::step]:
            if record.kind == "write":
                self._ages.note(record.offset, record.now_ms)

    def _wake(self) -> None:
        for ends, waiter in self._waiting:
            if not self.lag(ends):
                _resolve(waiter)


def _check_whole(fetched: Fetched) -> None:
    if fetched.lost or fetched.damaged or fetched.stopped:
        raise InternalError(f"partitions {fetched.partitions}: the log is not whole at {fetched.end}: {fetched}")


def _resolve(waiter: asyncio.Future[None], error: Exception | None = None) -> None:
    if waiter.done():
        return
    if error is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(error)
