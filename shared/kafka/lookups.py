"""The thread that asks for offsets, for many callers at once."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from kafka import TopicPartition

from shared.errors import UnavailableError
from shared.kafka import clients
from shared.kafka.failures import unavailable
from shared.kafka.settings import KafkaSettings

Which = Literal["first", "end"]

Ask = Callable[[Which, Iterable[int]], dict[int, int]]


@dataclass(frozen=True, slots=True)
class _Caller:
    which: Which
    partitions: tuple[int, ...]
    answer: asyncio.Future[dict[int, int]]


class Lookups:
    """A caller joins the next look-up, never one that has begun: that one may not know of what was acknowledged since.

    Look-ups start at most every `lookup_every_s`. Callers belong to one event loop.
    """

    def __init__(self, settings: KafkaSettings, *, ask: Ask | None = None) -> None:
        self.count = 0
        self._settings = settings
        self._consumer: Any = None
        self._ask = ask or self._ask_kafka
        self._callers: list[_Caller] = []
        self._changed = threading.Condition()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="kafka-lookups", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def offsets(self, which: Which, partitions: Sequence[int]) -> dict[int, int]:
        """UnavailableError: no answer in `lookup_s`."""
        self._loop = asyncio.get_running_loop()
        caller = _Caller(which, tuple(partitions), self._loop.create_future())
        with self._changed:  # held for some instructions only
            if self._closed:
                raise UnavailableError("the log is closed")
            self._callers.append(caller)
            self._changed.notify()
        try:
            async with asyncio.timeout(self._settings.lookup_s):
                return await caller.answer
        except TimeoutError:
            raise UnavailableError(
                f"Kafka did not tell its offsets within {self._settings.lookup_s} s", retry_after_s=5
            ) from None

    def close(self) -> None:
        """Blocks until a look-up that runs has ended."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self._drop_consumer()

    def _run(self) -> None:
        started = 0.0
        while callers := self._next_callers(started + self._settings.lookup_every_s):
            started = time.monotonic()
            self.count += 1
            answers = [self._answer(which, [c for c in callers if c.which == which]) for which in ("end", "first")]
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(_tell, answers)

    def _next_callers(self, not_before: float) -> list[_Caller]:
        """Waits for some; [] when it is closed."""
        with self._changed:
            while not self._closed and not self._callers:
                self._changed.wait()
        time.sleep(max(0.0, not_before - time.monotonic()))
        with self._changed:
            callers, self._callers = self._callers, []
            return callers

    def _answer(self, which: Which, callers: list[_Caller]) -> tuple[list[_Caller], dict[int, int] | UnavailableError]:
        partitions = {partition for caller in callers for partition in caller.partitions}
        if not partitions:
            return callers, {}
        try:
            return callers, self._ask(which, partitions)
        except Exception as error:  # noqa: BLE001  somebody waits for an answer, and this is one
            return callers, unavailable(error)

    def _ask_kafka(self, which: Which, partitions: Iterable[int]) -> dict[int, int]:
        """With a new consumer after a failure: one whose login was refused never connects again."""
        if self._consumer is None:
            patience_s = min(self._settings.connect_s, self._settings.lookup_s)
            self._consumer = clients.consumer(replace(self._settings, connect_s=patience_s))
        try:
            return ask_consumer(self._consumer, self._settings, which, partitions)
        except BaseException:
            self._drop_consumer()
            raise

    def _drop_consumer(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close(autocommit=False)


def ask_consumer(consumer: Any, settings: KafkaSettings, which: Which, partitions: Iterable[int]) -> dict[int, int]:
    """Blocks for at most `lookup_s`. "Not available", as after a change of leader, is asked again until then."""
    wanted = [TopicPartition(settings.topic, partition) for partition in partitions]
    ask = consumer.end_offsets if which == "end" else consumer.beginning_offsets
    found: dict[Any, int] = ask(wanted, timeout_ms=int(settings.lookup_s * 1000))
    return {tp.partition: offset for tp, offset in found.items()}


def _tell(answers: list[tuple[list[_Caller], dict[int, int] | UnavailableError]]) -> None:
    for callers, answer in answers:
        for caller in callers:
            if caller.answer.done():  # cancelled, or out of patience
                continue
            if isinstance(answer, UnavailableError):
                caller.answer.set_exception(answer)
            else:
                caller.answer.set_result({partition: answer[partition] for partition in caller.partitions})
