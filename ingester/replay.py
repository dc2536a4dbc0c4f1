"""A replay: the log from the cursor to its end, for some partitions, by a thread and a reader of its own."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from ingester.applying import Applier
from ingester.consumer import RETRY_S
from ingester.partition import Partition
from shared.native import CanceledError
from shared.seams.log import Log, LogReader

log = structlog.get_logger(__name__)

_NEAR_S = 2.0
_ROUNDS = 10
"""What comes while a round lasts is another round, until one is as short as `_NEAR_S`. A log that is filled faster than
it is read never comes near; then the rest is left to the consumer."""

_LOOK_UP_S = 30.0

_WAIT_S = 0.1
"""Between two looks whether there is room again."""


class Replay:
    """Until `done`, or until it is stopped. Nobody else applies to its partitions meanwhile.

    `must_wait` is asked before each read and holds the replay back while it says so.
    """

    def __init__(
        self,
        log: Log,
        applier: Applier,
        partitions: Sequence[Partition],
        ends: Mapping[int, int],
        *,
        must_wait: Callable[[], bool],
        records: int,
        timeout_ms: int,
    ) -> None:
        self.partitions = tuple(partitions)
        self.begin = {partition.number: partition.applied for partition in partitions}
        self.ends = dict(ends)
        self.failure: str | None = None
        loop = asyncio.get_running_loop()
        self.done: asyncio.Future[bool] = loop.create_future()
        """Whether it came near the end; False: it was stopped."""
        self._log = log
        self._applier = applier
        self._must_wait = must_wait
        self._records = records
        self._timeout_ms = timeout_ms
        self._loop = loop
        self._reader = log.reader()
        self._held = {partition.number: partition for partition in partitions}
        self._stopping = threading.Event()
        self._started = time.monotonic()
        names = ",".join(map(str, self._held))
        self._thread = threading.Thread(target=self._run, name=f"replay-{names}", daemon=True)

    def start(self) -> None:
        self._started = time.monotonic()
        self._thread.start()

    async def stop(self) -> None:
        """Returns when the thread has ended."""
        self._stopping.set()
        self._reader.close()
        if self._thread.ident is None:
            _resolve(self.done, False)  # noqa: FBT003
        else:
            await asyncio.to_thread(self._thread.join)

    @property
    def seconds(self) -> float:
        """Since its start."""
        return time.monotonic() - self._started

    def lacks(self, number: int) -> int:
        """Offsets that the partition has yet to apply of those that were there when it was last looked."""
        return max(self.ends[number] - self._held[number].applied, 0)

    def eta_s(self) -> float | None:
        """An estimate; None while nothing can be said."""
        did = sum(p.applied - self.begin[p.number] for p in self.partitions)
        left = sum(self.lacks(p.number) for p in self.partitions)
        return left * self.seconds / did if did > 0 else None

    def _run(self) -> None:
        came_near = False
        try:
            self._seek(self._reader)
            for _ in range(_ROUNDS):
                began = time.monotonic()
                self._read_to_ends()
                if time.monotonic() - began <= _NEAR_S:
                    break
                self._look_up_ends()
            came_near = True
        except CanceledError:
            pass
        finally:
            self._reader.close()
            self._loop.call_soon_threadsafe(_resolve, self.done, came_near)

    def _read_to_ends(self) -> None:
        while any(self.lacks(number) and p.stopped is None for number, p in self._held.items()):
            try:
                self._await_room()
                fetched = self._reader.read(max_records=self._records, timeout_ms=self._timeout_ms)
                for batch in fetched:
                    self._applier.apply(batch, self._held)
                    if batch.stopped is not None:
                        self._seek(self._reader)
                self.failure = None
            except CanceledError:
                raise
            except BaseException as error:  # noqa: BLE001  also a native panic; passing over a record would lose it
                self._failed(error)
                self._stopping.wait(RETRY_S)
                self._seek(self._reader)

    def _await_room(self) -> None:
        while self._must_wait() and not self._stopping.wait(_WAIT_S):
            pass
        if self._stopping.is_set():
            raise CanceledError("the replay was stopped")

    def _seek(self, reader: LogReader) -> None:
        reader.assign({number: p.applied for number, p in self._held.items() if p.stopped is None})

    def _look_up_ends(self) -> None:
        looking_up = asyncio.run_coroutine_threadsafe(self._log.end_offsets(list(self._held)), self._loop)
        try:
            self.ends.update(looking_up.result(_LOOK_UP_S))
        except Exception as error:  # noqa: BLE001  the consumer goes on from here, and says what is wrong
            looking_up.cancel()
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        failure = f"cannot replay partitions {', '.join(map(str, self._held))}: {error}"
        if failure != self.failure:
            log.warning("replay_failed", partitions=list(self._held), error=str(error), kind=type(error).__name__)
        self.failure = failure


def _resolve(done: asyncio.Future[bool], came_near: bool) -> None:  # noqa: FBT001  as the loop calls it
    if not done.done():
        done.set_result(came_near)
