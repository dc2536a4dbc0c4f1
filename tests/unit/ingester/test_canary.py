"""Canaries: written and read in each partition by each zone, seen by nobody, and gone after an hour."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from headrace.fsck.report import Report
from headrace.fsck.store import check_store
from ingester.canary import Canary, is_canary, uids
from ingester.service import Ingester
from shared.errors import UnavailableError
from shared.native import Files, SplitBatch
from tests.support.fleet import PATIENCE_S, Fleet
from tests.support.world import HOUR_MS, PARTITIONS, labels, series

ALL = range(PARTITIONS)


class Refusing:
    """A log that takes nothing while it is asked to."""

    def __init__(self, fleet: Fleet) -> None:
        self._log = fleet.log
        self.refuses = False
        self.refused = 0

    async def append(self, batch: SplitBatch, *, now_ms: int) -> dict[int, int]:
        if self.refuses:
            self.refused += 1
            raise UnavailableError("the log is away")
        return await self._log.append(batch, now_ms=now_ms)

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)


def canary_of(
    fleet: Fleet, ingester: Ingester, zone: str, *, log: Refusing | None = None, every_s: float = 15.0
) -> Canary:
    return Canary(
        log or fleet.log,  # type: ignore[arg-type]
        ingester.holdings,
        fleet.splitter,
        partitions=PARTITIONS,
        zone=zone,
        owned=lambda: ingester.owned,
        clock=fleet.clock,
        every_s=every_s,
    )


async def sent(canary: Canary, partitions: Sequence[int] = ALL) -> None:
    async with asyncio.timeout(PATIENCE_S):
        for number in partitions:
            await canary.send(number)


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    fleet = await Fleet(Files.simulated(1)).start()
    await fleet.begin("a-0", "b-0")
    yield fleet
    await fleet.crash()


def test_each_partition_has_a_uid_that_belongs_to_nobody() -> None:
    partitions = 64
    made = uids(lambda uid, shards: [uid[-1] * 7 % partitions] * shards, partitions)
    assert len(set(made)) == partitions
    assert all(len(uid) == 16 and is_canary(uid) for uid in made)
    assert [uid[-1] * 7 % partitions for uid in made] == list(range(partitions))
    assert not any(is_canary(secrets.token_bytes(16)) for _ in range(1000))


async def test_every_zone_reads_what_it_writes_and_no_instance_sees_it(fleet: Fleet) -> None:
    canaries = {zone: canary_of(fleet, fleet.members[f"{zone}-0"], zone) for zone in ("a", "b")}
    await fleet.write([series("m", (fleet.clock.now_ms(), 1.0))])
    for canary in canaries.values():
        await sent(canary)
        assert canary.delays() == dict.fromkeys(ALL, 0.0)  # by the clock of the test
    await fleet.caught_up()
    for ingester in fleet.members.values():
        partitions = ingester.holdings.partitions.values()
        made = uids(fleet.splitter.partitions_of, PARTITIONS)
        assert [p.head.active_series(made[p.number]) for p in partitions] == [2] * PARTITIONS
        assert sum(p.head.conflicts for p in partitions) == 0
    fleet.through(fleet.members["a-0"])
    assert await fleet.read() == {labels("m"): [(fleet.clock.now_ms(), "1")]}


async def test_the_delay_grows_until_one_gets_through(fleet: Fleet) -> None:
    log = Refusing(fleet)
    canary = canary_of(fleet, fleet.members["a-0"], "a", log=log)
    await sent(canary)
    log.refuses = True
    for passed_s in (0.0, 20.0):
        with pytest.raises(UnavailableError, match="the log is away"):
            await canary.send(2)
        assert canary.delays() == dict.fromkeys(ALL, 0.0) | {2: passed_s}
        fleet.clock.advance(20.0)
    assert canary.delays()[2] == 40.0
    log.refuses = False
    await sent(canary)
    assert canary.delays() == dict.fromkeys(ALL, 0.0)


async def test_it_writes_those_of_its_partitions_and_forgets_the_others(fleet: Fleet) -> None:
    log = Refusing(fleet)
    canary = canary_of(fleet, fleet.members["a-0"], "a", log=log, every_s=0.01)
    running = asyncio.create_task(canary.run())
    try:
        await until(lambda: set(canary.delays()) == set(ALL))
        log.refused, log.refuses = 0, True
        await until(lambda: log.refused > 2 * PARTITIONS)  # what fails does not end it
        log.refuses = False
        await fleet.join_as("a-1")
        await fleet.pass_time(60)
        owned = set(fleet.members["a-0"].owned)
        assert 0 < len(owned) < PARTITIONS
        await until(lambda: set(canary.delays()) == owned)
    finally:
        running.cancel()
        await asyncio.wait({running})
    assert running.cancelled()


async def test_its_blocks_go_after_an_hour_and_nothing_is_wrong_with_them(fleet: Fleet) -> None:
    await fleet.write([series("m", (fleet.clock.now_ms(), 1.0))])
    await sent(canary_of(fleet, fleet.members["a-0"], "a"))
    await fleet.pass_time(4 * HOUR_MS / 1000, step_s=600)
    await fleet.step()
    stored_before = [uid for number in ALL for uid in await stored(fleet, number)]
    assert sum(map(is_canary, stored_before)) == PARTITIONS
    report = Report()
    await check_store(fleet.store, ALL, known={fleet.tenant.uid}, ends=None, report=report)
    assert report.problems == []
    for ingester in fleet.members.values():
        assert ingester.stats().alarms == {}
        await ingester.maintain()
    assert {uid for number in ALL for uid in await stored(fleet, number)} == {fleet.tenant.uid}


async def test_a_new_start_reads_old_ones_and_goes_on(fleet: Fleet) -> None:
    await sent(canary_of(fleet, fleet.members["a-0"], "a"))
    for name in ("a-0", "b-0"):
        await fleet.kill(name)
    fleet.clock.advance(60)
    await fleet.begin("a-0", "b-0")
    ingester = fleet.members["a-0"]
    await ingester.ready()
    made = uids(fleet.splitter.partitions_of, PARTITIONS)
    assert [p.head.active_series(made[p.number]) for p in ingester.holdings.partitions.values()] == [1] * PARTITIONS
    canary = canary_of(fleet, ingester, "a")
    await sent(canary)
    assert set(canary.delays()) == set(ALL)


async def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.002)


async def stored(fleet: Fleet, number: int) -> list[bytes]:
    """The uids of the blocks of a partition."""
    return list((await fleet.store.directory(number)).manifests)
