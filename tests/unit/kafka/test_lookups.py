"""Look-ups of offsets: shared by all who wait, and never one that began before its caller came."""

import asyncio
import threading
from collections.abc import Iterable, Iterator

import pytest

from shared.errors import UnavailableError
from shared.kafka.lookups import Lookups, Which
from shared.kafka.settings import KafkaSettings

SETTINGS = KafkaSettings(brokers=("127.0.0.1:1",), lookup_every_s=0.0, lookup_s=60.0)


class Broker:
    """Answers when the test lets it. The n-th answer is offset n for every partition."""

    def __init__(self) -> None:
        self.asked: list[tuple[Which, frozenset[int]]] = []
        self.began = threading.Semaphore(0)
        self.may_answer = threading.Semaphore(0)

    def ask(self, which: Which, partitions: Iterable[int]) -> dict[int, int]:
        wanted = frozenset(partitions)
        self.asked.append((which, wanted))
        number = len(self.asked)
        self.began.release()
        self.may_answer.acquire()
        return dict.fromkeys(wanted, number)

    async def begun(self) -> None:
        await asyncio.to_thread(self.began.acquire)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def lookups(broker: Broker) -> Iterator[Lookups]:
    lookups = Lookups(SETTINGS, ask=broker.ask)
    lookups.start()
    yield lookups
    broker.may_answer.release(1000)
    lookups.close()


async def test_a_caller_joins_the_next_look_up_and_not_the_one_that_runs(lookups: Lookups, broker: Broker) -> None:
    first = asyncio.create_task(lookups.offsets("end", [0]))
    await broker.begun()
    late = [asyncio.create_task(lookups.offsets("end", [partition])) for partition in (0, 1, 0)]
    await asyncio.sleep(0)
    broker.may_answer.release()
    assert await first == {0: 1}
    await broker.begun()
    broker.may_answer.release()
    assert [await task for task in late] == [{0: 2}, {1: 2}, {0: 2}]
    assert broker.asked == [("end", {0}), ("end", {0, 1})]
    assert lookups.count == 2


async def test_first_and_end_offsets_are_asked_apart(lookups: Lookups, broker: Broker) -> None:
    blocking = asyncio.create_task(lookups.offsets("end", [9]))
    await broker.begun()
    both = [asyncio.create_task(lookups.offsets(which, [1])) for which in ("first", "end")]
    await asyncio.sleep(0)
    broker.may_answer.release(3)
    await blocking
    assert [await task for task in both] == [{1: 3}, {1: 2}]
    assert broker.asked[1:] == [("end", {1}), ("first", {1})]


async def test_a_caller_that_was_cancelled_harms_nobody(lookups: Lookups, broker: Broker) -> None:
    cancelled = asyncio.create_task(lookups.offsets("end", [0]))
    await broker.begun()
    other = asyncio.create_task(lookups.offsets("end", [0]))
    await asyncio.sleep(0)
    cancelled.cancel()
    broker.may_answer.release(2)
    assert await other == {0: 2}


async def test_a_failure_is_told_to_all_who_waited_and_the_next_look_up_is_another_one() -> None:
    failures = [ConnectionError("away"), None]

    def ask(which: Which, partitions: Iterable[int]) -> dict[int, int]:
        assert which == "end"
        failure = failures.pop(0)
        if failure is not None:
            raise failure
        return dict.fromkeys(partitions, 7)

    lookups = Lookups(SETTINGS, ask=ask)
    waiting = [asyncio.create_task(lookups.offsets("end", [0])) for _ in range(3)]
    await asyncio.sleep(0)
    lookups.start()
    for task in waiting:
        with pytest.raises(UnavailableError, match="away"):
            await task
    assert await lookups.offsets("end", [0]) == {0: 7}
    await asyncio.to_thread(lookups.close)


async def test_a_caller_waits_no_longer_than_it_may(broker: Broker) -> None:
    lookups = Lookups(KafkaSettings(brokers=("127.0.0.1:1",), lookup_s=0.01), ask=broker.ask)
    lookups.start()
    with pytest.raises(UnavailableError, match=r"within 0\.01 s"):
        await lookups.offsets("end", [0])
    broker.may_answer.release()
    await asyncio.to_thread(lookups.close)
    with pytest.raises(UnavailableError, match="closed"):
        await lookups.offsets("end", [0])
