"""Members of a cluster come and go while somebody writes: nothing is lost, nothing is counted twice."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ingester.ownership import Part
from ingester.service import Ingester
from shared import faults
from shared.errors import ConflictError, UnavailableError
from shared.native import Files
from shared.seams.membership import Lease
from tests.support.fleet import Fleet
from tests.support.world import HOUR_MS, PARTITIONS, Found, labels, series

T = 1_700_000_000_000 // (2 * HOUR_MS) * (2 * HOUR_MS)
EVERYTHING = set(range(PARTITIONS))


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    opened = await Fleet(Files.simulated(1)).start()
    yield opened
    faults.install(None)
    await opened.crash()


class Writer:
    """Writes rounds of samples and knows what has to be read back."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._rounds = 0
        self.expected: Found = {}

    async def write(self, rounds: int = 1) -> None:
        for _ in range(rounds):
            at = T + self._rounds * 60_000
            written = [series("m", (at, float(self._rounds)), job=f"j{n}") for n in range(12)]
            await self._fleet.write(written)
            for n in range(12):
                self.expected.setdefault(labels("m", job=f"j{n}"), []).append((at, str(self._rounds)))
            self._rounds += 1


async def read(fleet: Fleet, zone: str = "a") -> Found:
    """By the heads of a zone: all of its members together, each for its own partitions."""
    found: Found = {}
    await fleet.caught_up()
    for number in EVERYTHING:
        owner = fleet.members[fleet.owners(zone)[number]]
        for label_set, samples in (await read_partition(fleet, owner, number)).items():
            assert label_set not in found
            found[label_set] = samples
    return found


async def read_partition(fleet: Fleet, ingester: Ingester, number: int) -> Found:
    storage = fleet.through(ingester).storage
    storage._partitions_of = lambda _uid, _shards: [number]  # type: ignore[assignment]
    return await fleet.read()


class TestSharing:
    async def test_members_of_a_zone_share_and_zones_do_not(self, fleet: Fleet) -> None:
        await fleet.begin("a-0", "a-1", "b-0")
        assert set(fleet.owners("a")) == set(fleet.owners("b")) == EVERYTHING
        assert set(fleet.owners("a").values()) == {"a-0", "a-1"}
        assert set(fleet.owners("b").values()) == {"b-0"}

    async def test_a_partition_of_others_is_refused(self, fleet: Fleet) -> None:
        await fleet.begin("a-0", "a-1")
        [number, *_] = [n for n, owner in fleet.owners("a").items() if owner == "a-1"]
        with pytest.raises(UnavailableError, match=f"partition {number} is not held"):
            fleet.members["a-0"].holdings.serving(number)

    async def test_two_at_most_are_replayed_at_once(self, fleet: Fleet) -> None:
        await Writer(fleet).write(5)
        ingester = await fleet.join_as("a-0")
        fleet.clock.advance(4)
        seen = []
        while len(fleet.owners("a")) < PARTITIONS:
            await ingester.own()
            await asyncio.sleep(0)
            seen.append(len([p for p in ingester.holdings.partitions.values() if p.replaying]))
        assert max(seen) <= 2
        await ingester.ready()

    async def test_of_a_name_that_lives_is_refused_with_its_address(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ingester.sharing._NAME_RETRY_S", 0)
        await fleet.begin("a-0")

        async def pass_time() -> None:
            while True:
                fleet.clock.advance(1)
                await fleet.members["a-0"].own()
                await asyncio.sleep(0)

        living = asyncio.create_task(pass_time())
        with pytest.raises(ConflictError, match="a-0:9"):
            await fleet.join_as("a-0", address="elsewhere:9")
        living.cancel()
        await asyncio.wait([living])

    async def test_of_a_name_that_has_died_waits_until_it_is_free(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ingester.sharing._NAME_RETRY_S", 0)
        await fleet.begin("a-0")
        await fleet.kill("a-0")
        joining = asyncio.create_task(fleet.join_as("a-0", address="elsewhere:9"))
        while not joining.done():
            fleet.clock.advance(1)
            await asyncio.sleep(0)
        await joining
        await fleet.pass_time(10)
        assert set(fleet.owners("a")) == EVERYTHING

    async def test_of_a_name_that_has_died_at_this_address_waits_for_nothing(self, fleet: Fleet) -> None:
        await fleet.begin("a-0", "b-0")
        before = fleet.clock.now_ms()
        await fleet.kill("a-0")
        await fleet.begin("a-0")
        assert fleet.clock.now_ms() - before == 4000  # what `begin` lets pass
        assert set(fleet.owners("a")) == set(fleet.owners("b")) == EVERYTHING

    async def test_a_process_whose_name_was_taken_ends(self, fleet: Fleet) -> None:
        await fleet.begin("a-0")
        stopped = fleet.members.pop("a-0")
        fleet.clock.advance(60)  # it stood still for so long
        await fleet.begin("a-0")
        with pytest.raises(ConflictError, match="a-0:9"):
            await stopped.own()
        await stopped.holdings.stop()


class TestComingAndGoing:
    async def test_scaling_while_writing_loses_nothing(self, fleet: Fleet) -> None:
        writer = Writer(fleet)
        await fleet.begin("a-0", "a-1")
        await writer.write(5)
        await fleet.join_as("a-2")
        await fleet.join_as("a-3")
        for _ in range(30):
            await writer.write()
            await fleet.pass_time(2)
        assert set(fleet.owners("a").values()) == {"a-0", "a-1", "a-2", "a-3"}
        assert await read(fleet) == writer.expected
        await fleet.terminate("a-1")
        await writer.write(3)
        await fleet.pass_time(10)
        await fleet.terminate("a-0")
        await writer.write(3)
        await fleet.pass_time(10)
        assert set(fleet.owners("a").values()) == {"a-2", "a-3"}
        assert await read(fleet) == writer.expected

    async def test_every_partition_is_served_at_any_moment_of_a_hand_over(self, fleet: Fleet) -> None:
        writer = Writer(fleet)
        await fleet.begin("a-0", "a-1")
        await writer.write(5)
        await fleet.join_as("a-2")
        seen: set[str] = set()

        def look(point: str) -> None:
            if point.startswith("handover"):
                seen.add(point)
            for number in EVERYTHING:
                assert any(serves(ingester, number) for ingester in fleet.members.values()), (point, number)

        faults.install(look)
        await fleet.pass_time(60)
        faults.install(None)
        assert seen == {"handover.offered", "handover.yielded", "handover.claimed"}
        assert set(fleet.owners("a").values()) == {"a-0", "a-1", "a-2"}
        assert {part for part, _ in fleet.parts().values()} == {Part.OWNER}
        assert await read(fleet) == writer.expected

    async def test_a_killed_members_partitions_are_replayed_by_others(self, fleet: Fleet) -> None:
        writer = Writer(fleet)
        await fleet.begin("a-0", "a-1", "a-2")
        await writer.write(5)
        await fleet.kill("a-1")
        await writer.write(5)
        await fleet.pass_time(30)
        assert set(fleet.owners("a").values()) == {"a-0", "a-2"}
        assert await read(fleet) == writer.expected

    async def test_a_member_that_is_told_to_stop_leaves_nothing_to_replay(self, fleet: Fleet) -> None:
        writer = Writer(fleet)
        await fleet.begin("a-0")
        await writer.write(5)
        await fleet.terminate("a-0")
        assert await fleet.membership.leases() == []
        assert await fleet.membership.members() == []
        for number in EVERYTHING:
            directory = await fleet.store.directory(number)
            assert directory.replay_from == (await fleet.log.end_offsets([number]))[number]
        await fleet.begin("a-0")
        assert await read(fleet) == writer.expected

    async def test_a_member_that_leaves_gives_back_what_its_ticks_would_renew(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await fleet.begin("a-0")
        ingester = fleet.members["a-0"]
        release, ticks = fleet.membership.release, []

        async def while_it_ticks(lease: Lease) -> None:
            ticks.append(asyncio.create_task(ingester.own()))
            await asyncio.sleep(0.01)
            await release(lease)

        monkeypatch.setattr(fleet.membership, "release", while_it_ticks)
        await ingester.drain()
        assert len(ticks) == PARTITIONS
        for tick in ticks:
            await tick
        assert await fleet.membership.leases() == []

    async def test_what_could_not_be_opened_is_not_renewed_by_a_tick_that_saw_it(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ingester = await fleet.join_as("a-0")
        fleet.clock.advance(4)
        renew, open_ = fleet.membership.renew, ingester.holdings.open
        is_opening, may_fail = asyncio.Event(), asyncio.Event()

        async def open_or_fail(numbers: list[int]) -> None:
            if numbers == [1] and not may_fail.is_set():
                is_opening.set()
                await may_fail.wait()
                raise UnavailableError("no log")
            await open_(numbers)

        async def while_it_fails(lease: Lease, *, ttl_ms: int) -> Lease | None:
            may_fail.set()
            await asyncio.sleep(0.01)
            return await renew(lease, ttl_ms=ttl_ms)

        monkeypatch.setattr(ingester.holdings, "open", open_or_fail)
        await ingester.own()  # begins with two partitions
        await is_opening.wait()
        await ingester.holdings.settled()
        monkeypatch.setattr(fleet.membership, "renew", while_it_fails)
        fleet.clock.advance(5)
        await ingester.own()  # sees both, and renews the first one while the second one fails
        assert 1 not in fleet.owners("a")
        await fleet.settle()
        assert set(fleet.owners("a")) == EVERYTHING

    async def test_a_partition_that_cannot_be_opened_is_given_back_and_tried_again(self, fleet: Fleet) -> None:
        faults.arm("replay.begin:fail:1")
        await fleet.join_as("a-0")
        fleet.clock.advance(4)
        await fleet.members["a-0"].own()
        await fleet.settle()
        assert set(fleet.owners("a")) == EVERYTHING
        assert fleet.members["a-0"].stats().alarms == {}


def serves(ingester: Ingester, number: int) -> bool:
    try:
        ingester.holdings.serving(number)
    except UnavailableError:
        return False
    return True


class Outage:
    """The membership part of the store is away for some or all."""

    def __init__(self, fleet: Fleet) -> None:
        self._membership = fleet.membership
        self.is_on = True

    def __getattr__(self, name: str) -> object:
        if self.is_on:
            raise UnavailableError("the store is away")
        return getattr(self._membership, name)


class TestOutage:
    async def test_owners_go_on_and_take_nothing_of_others_for_a_while(self, fleet: Fleet) -> None:
        writer = Writer(fleet)
        await fleet.begin("a-0", "a-1")
        outage = Outage(fleet)
        for ingester in fleet.members.values():
            ingester._ownership._membership = outage  # type: ignore[attr-defined]
        before = fleet.owners("a")
        await fleet.pass_time(60)
        await writer.write(3)
        assert fleet.owners("a") == before
        assert "membership" in fleet.members["a-0"].stats().alarms
        assert await read(fleet) == writer.expected
        # The first one that is back finds everything free.
        outage.is_on = False
        await fleet.members["a-0"].own()
        fleet.clock.advance(4)
        await fleet.members["a-0"].own()
        assert fleet.owners("a") == before
        await fleet.pass_time(60)
        assert fleet.owners("a") == before
        assert fleet.members["a-0"].stats().alarms == {}

    async def test_a_member_that_was_cut_off_leaves_what_others_have_taken(self, fleet: Fleet) -> None:
        await fleet.begin("a-0", "a-1")
        outage = Outage(fleet)
        fleet.members["a-0"]._ownership._membership = outage  # type: ignore[attr-defined]
        await fleet.pass_time(40)
        assert all(serves(fleet.members["a-1"], number) for number in EVERYTHING)
        mine = [number for (name, number) in fleet.parts() if name == "a-0"]
        assert all(serves(fleet.members["a-0"], number) for number in mine)
        outage.is_on = False
        await fleet.members["a-0"].own()
        assert Part.OWNER not in {part for (name, _), (part, _) in fleet.parts().items() if name == "a-0"}
        await fleet.pass_time(90)
        assert {part for part, _ in fleet.parts().values()} == {Part.OWNER}
        assert set(fleet.owners("a").values()) == {"a-0", "a-1"}
