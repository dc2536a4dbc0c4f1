"""What the log holds besides good records: damage, holes and the future; and a replay for which memory is too small."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.errors import UnavailableError
from shared.native import Files, Head
from tests.support.fleet import SETTINGS, Fleet
from tests.support.partitioned_log import PartitionedLog, Trouble
from tests.support.world import HOUR_MS, PARTITIONS, labels, series

T = 1_700_000_000_000 // (2 * HOUR_MS) * (2 * HOUR_MS)


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    opened = await Fleet(Files.simulated(1), in_memory=True).start()
    yield opened
    await opened.crash()


def trouble(fleet: Fleet, number: int) -> Trouble:
    assert isinstance(fleet.log, PartitionedLog)
    return fleet.log.troubles[number]


def job_in(fleet: Fleet, number: int) -> str:
    names = (f"j{n}" for n in range(1000))
    return next(name for name in names if fleet.batch([series("m", (T, 0.0), job=name)]).partitions == [number])


async def write(fleet: Fleet, job: str, count: int, *, first: int = 0) -> None:
    for n in range(first, first + count):
        await fleet.write([series("m", (T + n * 1000, float(n)), job=job)])


def found(job: str, *numbers: int) -> object:
    return {labels("m", job=job): [(T + n * 1000, str(n)) for n in numbers]}


class TestDamage:
    @pytest.mark.parametrize("live", [True, False])
    async def test_is_kept_aside_told_and_passed(self, fleet: Fleet, live: bool) -> None:
        job = job_in(fleet, 1)
        trouble(fleet, 1).damaged = {1: "not a snappy body"}
        if live:
            await fleet.begin("a-0")
        await write(fleet, job, 4)
        if not live:
            await fleet.begin("a-0")
        await fleet.caught_up()
        ingester = fleet.members["a-0"]
        assert await fleet.through(ingester).read() == found(job, 0, 2, 3)
        await ingester._storing.store_all()
        [aside] = await fleet.store.aside(1)
        assert (aside.offset, aside.value, aside.reason) == (1, b"garbage", "not a snappy body")
        stats = ingester.stats()
        assert stats.counters.damaged_records == 1
        assert "record 1 cannot be decoded: not a snappy body" in stats.alarms["log damaged/1"]

    async def test_is_kept_aside_later_if_the_store_is_away(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trouble(fleet, 1).damaged = {0: "bad"}
        await fleet.begin("a-0")
        await write(fleet, job_in(fleet, 1), 1)
        await fleet.caught_up()

        async def refuse(*_: object) -> bool:
            raise UnavailableError("the store is away")

        with monkeypatch.context() as away:
            away.setattr(fleet.store, "keep_aside", refuse)
            with pytest.raises(UnavailableError):
                await fleet.members["a-0"]._storing.store_all()
        await fleet.members["a-0"]._storing.store_all()
        assert len(await fleet.store.aside(1)) == 1


class TestLoss:
    async def test_is_counted_and_told_and_the_rest_is_read(self, fleet: Fleet) -> None:
        job = job_in(fleet, 2)
        await write(fleet, job, 5)
        trouble(fleet, 2).first = 3
        await fleet.begin("a-0")
        await fleet.caught_up()
        ingester = fleet.members["a-0"]
        assert await fleet.through(ingester).read() == found(job, 3, 4)
        assert ingester.stats().counters.lost_records == 3
        assert "3 records before offset 5 are gone" in ingester.stats().alarms["log lost/2"]


class TestNewerFormat:
    @pytest.mark.parametrize("live", [True, False])
    async def test_stops_its_partition_and_no_other(self, fleet: Fleet, live: bool) -> None:
        job, other = job_in(fleet, 0), job_in(fleet, 3)
        if live:
            await fleet.begin("a-0")
        await write(fleet, job, 2)
        trouble(fleet, 0).stopped_at = 2
        await write(fleet, job, 2, first=2)
        await write(fleet, other, 2)
        if not live:
            await fleet.begin("a-0")
        ingester = fleet.members["a-0"]
        ends = await fleet.log.end_offsets(range(PARTITIONS))
        await ingester.holdings.reached({0: 2, 3: ends[3]})
        assert ingester.holdings.lag(ends) == {0: 2}
        with pytest.raises(UnavailableError, match="partition 0 cannot go on: record format 9"):
            ingester.holdings.serving(0)
        assert ingester.holdings.serving(3).head.samples == 2
        assert ingester.missing() == "partitions cannot go on, 0: record format 9"
        assert "log stopped/0" in ingester.stats().alarms

    async def test_goes_on_after_the_upgrade(self, fleet: Fleet) -> None:
        job = job_in(fleet, 0)
        await write(fleet, job, 4)
        trouble(fleet, 0).stopped_at = 2
        await fleet.begin("a-0")
        await fleet.kill("a-0")
        trouble(fleet, 0).stopped_at = None
        fleet.clock.advance(15)
        await fleet.begin("a-0")
        await fleet.caught_up()
        assert await fleet.through(fleet.members["a-0"]).read() == found(job, 0, 1, 2, 3)


class TestMemory:
    async def test_a_replay_waits_for_the_store_to_make_room(self, fleet: Fleet) -> None:
        job = job_in(fleet, 0)
        for n in range(4):  # generations that were sealed and never stored
            await write(fleet, job, 5, first=5 * n)
            await fleet.log.append_seal(0, [T])
        ingester = await fleet.join_as("a-0", memory_bytes=1, read_records=6, max_replays=1)
        ingester._holdings._applier._records = 6
        fleet.clock.advance(4)
        most = 0
        while set(fleet.owners("a")) != set(range(PARTITIONS)) or ingester.holdings.replays:
            await ingester.own()
            for partition in ingester.holdings.partitions.values():
                most = max(most, len(partition.head.windows()))
            await ingester._storing.store_all()
            await asyncio.sleep(0)
        await fleet.settle()
        assert most == 1  # never two generations at once
        assert ingester.stats().counters.commits == 4
        assert ingester.stats().samples == 0
        await fleet.caught_up()
        assert await fleet.through(ingester).read() == found(job, *range(20))

    async def test_a_replay_goes_on_if_the_store_cannot_help(self, fleet: Fleet) -> None:
        job = job_in(fleet, 0)
        await write(fleet, job, 20)
        ingester = await fleet.join_as("a-0", memory_bytes=1, read_records=6)
        fleet.clock.advance(4)
        await fleet.settle()
        assert ingester.stats().samples == 20


class TestFailureToApply:
    async def test_holds_up_its_partition_alone_and_is_tried_again(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ingester.consumer.RETRY_S", 0.05)
        await fleet.begin("a-0")
        ingester = fleet.members["a-0"]
        apply, failures = Head.apply, 3

        class Failing:
            @staticmethod
            def apply(heads: dict[int, Head], records: list[object]) -> int:
                nonlocal failures
                if 0 in heads and failures:
                    failures -= 1
                    raise RuntimeError("a bug")
                return apply(heads, records)  # type: ignore[arg-type]

        monkeypatch.setattr("ingester.applying.Head", Failing)
        await write(fleet, job_in(fleet, 0), 3)
        await write(fleet, job_in(fleet, 1), 3)
        await fleet.caught_up()
        assert failures == 0
        assert [ingester.holdings.partitions[number].head.samples for number in (0, 1)] == [3, 3]


def test_the_settings_of_these_tests_are_those_of_a_cluster() -> None:
    assert SETTINGS.shared
