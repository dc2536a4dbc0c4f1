"""The log in segment files of this machine."""

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Mapping, Sequence

import structlog

from shared import native
from shared.errors import UnavailableError
from shared.faults import fault
from shared.seams.log import Fetched

log = structlog.get_logger(__name__)

_RESUME_AFTER_S = 1.0
"""From a write that failed to the next attempt: a full disk is not asked for every request."""


class LocalLog:
    """`shared.seams.log.Log` over the native group commit; one sequence of records serves all partitions.

    All methods belong to one event loop. A wake-up of the native thread resolves every waiter it made
    durable.

    A write that fails, as on a full disk, is taken back and refused; later ones are tried again. A sync that fails ends
    the log until a restart.
    """

    def __init__(self, log: native.LocalLog) -> None:
        self._native = log
        self._resuming: asyncio.TimerHandle | None = None
        self._reported: str | None = None  # the refusal that was logged last
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()  # by ascending offset
        self._loop: asyncio.AbstractEventLoop | None = None

    async def append(self, batch: native.SplitBatch, *, now_ms: int) -> dict[int, int]:
        self._listen()
        try:
            offset = self._native.append(batch, now_ms=now_ms)
        except BlockingIOError as error:
            raise UnavailableError("the log's queue is full: its disk is slower than the senders") from error
        except OSError as error:
            raise self._stopped() from error
        fault("log.queued")
        await self._durable(offset)
        return dict.fromkeys(batch.partitions, offset)

    async def append_seal(self, partition: int, windows: Sequence[int]) -> int:
        self._listen()
        fault("seal.before")
        try:
            offset = self._native.append_seal(partition, windows)
        except BlockingIOError as error:
            raise UnavailableError("the log's queue is full: its disk is slower than the senders") from error
        except OSError as error:
            raise self._stopped() from error
        await self._durable(offset)
        fault("seal.after")
        return offset

    async def end_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, self._native.committed)

    async def first_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        return dict.fromkeys(partitions, self._native.first)

    def reader(self) -> "LocalLogReader":
        return LocalLogReader(self._native.reader())

    async def trim(self, replay_from: dict[int, int]) -> None:
        if replay_from:
            await asyncio.to_thread(self._native.trim, min(replay_from.values()))

    async def close(self) -> None:
        if self._resuming is not None:
            self._resuming.cancel()
        if self._loop is not None:
            self._loop.remove_reader(self._native.fileno())
            self._loop = None
        await asyncio.to_thread(self._native.close)
        self._resolve()
        self._refuse(UnavailableError("the log was closed before the write was durable"))

    @property
    def committed(self) -> int:
        """The first offset that is not durable yet."""
        return self._native.committed

    @property
    def first(self) -> int:
        """The first offset that is still held."""
        return self._native.first

    @property
    def bytes(self) -> int:
        """On disk."""
        return self._native.bytes

    @property
    def failure(self) -> str | None:
        """Why the log takes nothing more; it wants a restart."""
        return self._native.failure if self._native.must_restart else None

    @property
    def refusal(self) -> str | None:
        """Why the last write failed; None once one has succeeded again."""
        return self._reported

    def _listen(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._native.fileno(), self._on_signal)

    async def _durable(self, offset: int) -> None:
        if offset >= self._native.committed:
            if self._native.failure is not None:
                raise self._stopped()
            durable = asyncio.get_running_loop().create_future()
            self._waiting.append((offset, durable))
            await durable
        if self._reported is not None:  # the signal of this commit may not have been read yet
            self._report(self._native.failure)
        fault("log.durable")

    def _on_signal(self) -> None:
        with contextlib.suppress(BlockingIOError):  # an earlier read took this signal along
            os.read(self._native.fileno(), 4096)
        self._resolve()
        failure = self._native.failure
        if failure != self._reported:
            self._report(failure)
        if failure is not None:
            self._refuse(self._stopped())
            if self._loop is not None and self._resuming is None and not self._native.must_restart:
                self._resuming = self._loop.call_later(_RESUME_AFTER_S, self._resume)

    def _report(self, failure: str | None) -> None:
        self._reported = failure
        if failure is None:
            log.info("log_writes_again")
        else:
            log.error("log_write_failed", error=failure, restart_needed=self._native.must_restart)

    def _resume(self) -> None:
        # Nobody waits: the failure refused all who did, and nothing was queued since. So no offset that is given anew
        # can acknowledge a record that is lost.
        self._resuming = None
        self._native.resume()

    def _resolve(self) -> None:
        committed = self._native.committed
        while self._waiting and self._waiting[0][0] < committed:
            _, durable = self._waiting.popleft()
            if not durable.done():  # a cancelled sender
                durable.set_result(None)

    def _refuse(self, error: UnavailableError) -> None:
        while self._waiting:
            _, durable = self._waiting.popleft()
            if not durable.done():
                durable.set_exception(error)

    def _stopped(self) -> UnavailableError:
        failure = self._native.failure
        if failure is None:
            return UnavailableError("the log is closed", retry_after_s=10)
        if self._native.must_restart:
            return UnavailableError(f"the log takes no more writes until a restart: {failure}", retry_after_s=10)
        return UnavailableError(f"{failure}; make room, and writes are taken again by themselves", retry_after_s=5)


class LocalLogReader:
    """`shared.seams.log.LogReader`. Partitions at one offset are read together: one pass serves all of them."""

    def __init__(self, reader: native.LocalLogReader) -> None:
        self._native = reader
        self._positions: dict[int, int] = {}
        self._closed = False

    def assign(self, positions: Mapping[int, int]) -> None:
        self._positions = dict(positions)

    def read(self, *, max_records: int, timeout_ms: int) -> list[Fetched]:
        if self._closed:
            raise native.CanceledError("the reader is closed")
        if not self._positions:
            raise ValueError("nothing is assigned")
        first, *others = sorted(set(self._positions.values()))
        most = min(max_records, others[0] - first) if others else max_records
        records = self._native.read(first, max_records=most, timeout_ms=timeout_ms)
        if not records:
            return []
        end = records[-1].offset + 1
        partitions = tuple(partition for partition, position in self._positions.items() if position == first)
        self._positions.update(dict.fromkeys(partitions, end))
        return [Fetched(partitions, records, end)]

    def wake(self) -> None:
        self._native.wake()

    def close(self) -> None:
        self._closed = True
        self._native.wake()
