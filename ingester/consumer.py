"""The thread that follows the log for all partitions that have caught up, with one reader."""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from ingester.applying import Applier
from ingester.partition import Partition
from shared.native import CanceledError
from shared.seams.log import Fetched, Log

log = structlog.get_logger(__name__)

RETRY_S = 1.0

_LITTLE_BYTES = 1 << 20
"""After so little, decoded, the thread lingers, so that the next records come together: each read costs, also of one
record."""

_CLOSE_S = 1.0
_CLOSE_LINGER_S = 0.005
"""So short for so long after a query: the next one then finds all but the newest applied."""


@dataclass(frozen=True, slots=True)
class _Change:
    partition: Partition
    done: asyncio.Future[None]
    joins: bool


class Consumer:
    """Applies the records of its partitions in log order.

    `on_progress` is called in the event loop after something was applied while `hurry` was wanted.
    """

    def __init__(
        self,
        log: Log,
        applier: Applier,
        *,
        on_progress: Callable[[], None],
        records: int,
        timeout_ms: int,
        linger_s: float,
    ) -> None:
        self.failure: str | None = None
        self._log = log
        self._applier = applier
        self._on_progress = on_progress
        self._records = records
        self._timeout_ms = timeout_ms
        self._linger_s = linger_s
        self._loop = asyncio.get_running_loop()
        self._reader = log.reader()
        self._live: dict[int, Partition] = {}  # the thread's own, as what follows
        self._failing: set[int] = set()
        self._retry_at = 0.0
        self._changes: list[_Change] = []
        self._paused = self._stopping = False
        self._state = threading.Condition()  # guards changes, paused, stopping
        self._hurry = threading.Event()
        self._is_waited_for = False
        self._close_until = -math.inf
        self._thread = threading.Thread(target=self._run, name="consumer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def stop(self) -> None:
        with self._state:
            self._stopping = True
            self._state.notify()
        self._hurry.set()
        self._reader.close()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join)

    async def add(self, partitions: Iterable[Partition]) -> None:
        """From here on this thread alone applies to them, each from its `applied` on."""
        await self._change([_Change(p, self._loop.create_future(), joins=True) for p in partitions])

    async def remove(self, partition: Partition) -> None:
        """Returns when the thread does nothing with it any more; also if it never did."""
        await self._change([_Change(partition, self._loop.create_future(), joins=False)])

    @property
    def paused(self) -> bool:
        return self._paused

    def pause(self, *, paused: bool) -> None:
        """Holds consumption back, for when memory is full and the store refuses."""
        with self._state:
            self._paused = paused
            self._state.notify()

    def hurry(self, *, wanted: bool) -> None:
        """While somebody waits for what was written, the thread tells of every step and lingers nowhere."""
        self._is_waited_for = wanted
        if wanted:
            self._hurry.set()

    def keep_close(self) -> None:
        """Somebody reads what was just written, and may come again."""
        self._close_until = time.monotonic() + _CLOSE_S

    async def _change(self, changes: list[_Change]) -> None:
        with self._state:
            if self._stopping:
                return
            self._changes += changes
            self._state.notify()
        self._hurry.set()
        self._reader.wake()
        for change in changes:
            await change.done

    def _run(self) -> None:
        while self._await_work():
            try:
                self._step()
            except CanceledError:
                break  # the log was closed
            except Exception as error:  # noqa: BLE001  a thread that ends says nothing
                self._failed(str(error))
                self._rest()
        with self._state:
            self._stopping = True
            self._make_changes()

    def _await_work(self) -> bool:
        """False: there will be none."""
        while True:
            with self._state:
                rest_s = max(self._retry_at - time.monotonic(), 0.0) if self._failing else None
                self._state.wait_for(lambda: self._stopping or self._changes or self._can_read, rest_s)
                is_sought = self._make_changes()
                if self._stopping:
                    return False
            if self._failing and time.monotonic() >= self._retry_at:
                self._failing.clear()
                is_sought = True
            if is_sought:
                self._seek()
            if self._can_read:
                return True

    @property
    def _can_read(self) -> bool:
        return bool(self._readable()) and not self._paused

    def _readable(self) -> dict[int, int]:
        return {n: p.applied for n, p in self._live.items() if p.stopped is None and n not in self._failing}

    def _seek(self) -> None:
        self._reader.assign(self._readable())

    def _make_changes(self) -> bool:
        changes, self._changes = self._changes, []
        for change in changes:
            if change.joins:
                self._live[change.partition.number] = change.partition
            elif self._live.get(change.partition.number) is change.partition:
                del self._live[change.partition.number]
            self._loop.call_soon_threadsafe(_resolve, change.done)
        return bool(changes)

    def _step(self) -> None:
        fetched = self._reader.read(max_records=self._records, timeout_ms=self._timeout_ms)
        went_on = [self._apply(batch) for batch in fetched]
        if not all(went_on):
            self._seek()
        elif not self._failing:
            self.failure = None
        if not fetched:
            return
        if self._is_waited_for:
            self._loop.call_soon_threadsafe(self._on_progress)
        elif sum(record.held_bytes for batch in fetched for record in batch.records) < _LITTLE_BYTES:
            # Whoever waits for what was written hurries us.
            is_close = time.monotonic() < self._close_until
            self._hurry.wait(min(self._linger_s, _CLOSE_LINGER_S) if is_close else self._linger_s)
        self._hurry.clear()

    def _apply(self, batch: Fetched) -> bool:
        """Whether these partitions go on. One that fails is tried again later and holds up no other."""
        try:
            self._applier.apply(batch, self._live)
        except BaseException as error:  # noqa: BLE001  also a native panic
            self._failed(f"partitions {', '.join(map(str, batch.partitions))}: {error}")
            self._failing.update(batch.partitions)
            self._retry_at = time.monotonic() + RETRY_S
            return False
        return batch.stopped is None

    def _failed(self, error: str) -> None:
        # Passing over a record would lose what was acknowledged: stay here, say so, try again.
        failure = f"cannot apply the log: {error}"
        if failure != self.failure:
            log.warning("consumer_failed", error=error)
        self.failure = failure

    def _rest(self) -> None:
        with self._state:
            self._state.wait_for(lambda: self._stopping, RETRY_S)


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
