"""What two zones do with one store: who commits, who compares, and what becomes of payload that goes missing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from ingester.service import Ingester
from shared import faults
from shared.errors import UnavailableError
from shared.native import Files
from shared.seams.store import Generation
from tests.support.fleet import Fleet
from tests.support.memory_store import MemoryStore
from tests.support.world import HOUR_MS, PARTITIONS, labels, series

T = 1_700_000_000_000 // (2 * HOUR_MS) * (2 * HOUR_MS)
JOBS = 12
OLD = [series("m", *((T + i * 1000, float(i)) for i in range(5)), job=f"j{n}") for n in range(JOBS)]
EXPECTED = {labels("m", job=f"j{n}"): [(T + i * 1000, str(i)) for i in range(5)] for n in range(JOBS)}


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    opened = await Fleet(Files.simulated(1), in_memory=True).start()
    await opened.begin("a-0", "b-0")
    opened.clock.advance((T + HOUR_MS - opened.clock.now_ms()) / 1000)
    await opened.settle()
    yield opened
    faults.install(None)
    await opened.crash()


def store_of(fleet: Fleet) -> MemoryStore:
    assert isinstance(fleet.store, MemoryStore)
    return fleet.store


async def seal(fleet: Fleet) -> None:
    """Windows are over, and every head knows."""
    fleet.clock.advance(3 * 3600)
    await fleet.settle()
    await fleet.caught_up()
    for ingester in fleet.members.values():
        await ingester.tick()
    await fleet.caught_up()


async def pass_time(fleet: Fleet, seconds: float) -> None:
    for _ in range(round(seconds / 5)):
        fleet.clock.advance(5)
        await fleet.settle()


async def read(fleet: Fleet, name: str) -> object:
    return await fleet.through(fleet.members[name]).read()


def held(ingester: Ingester) -> int:
    return sum(p.head.samples for p in ingester.holdings.partitions.values())


class TestTurns:
    async def test_zones_commit_in_turn_and_the_other_compares(self, fleet: Fleet) -> None:
        await fleet.write(OLD)
        await seal(fleet)
        for _ in range(2):
            for ingester in fleet.members.values():
                await ingester._storing.store_all()
        a, b = (fleet.members[name].stats().counters for name in ("a-0", "b-0"))
        assert (a.commits, a.compared) == (b.compared, b.commits)
        assert a.commits + b.commits == PARTITIONS
        assert min(a.commits, b.commits) > 0
        assert a.lost_races + b.lost_races == 0
        assert a.cuts + b.cuts == PARTITIONS  # what is compared is not encoded
        for name in ("a-0", "b-0"):
            assert held(fleet.members[name]) == 0
            assert await read(fleet, name) == EXPECTED

    async def test_a_zone_that_does_not_come_is_waited_for_and_no_longer(self, fleet: Fleet) -> None:
        await fleet.write(OLD)
        await seal(fleet)
        ingester = fleet.members["b-0"]
        await ingester._storing.store_all()
        assert 0 < ingester.stats().counters.commits < PARTITIONS
        await pass_time(fleet, 20)
        await ingester._storing.store_all()
        assert ingester.stats().counters.commits == PARTITIONS

    async def test_a_zone_that_is_dead_is_not_waited_for(self, fleet: Fleet) -> None:
        await fleet.kill("a-0")
        await pass_time(fleet, 15)
        await fleet.write(OLD)
        await seal(fleet)
        await fleet.members["b-0"]._storing.store_all()
        assert fleet.members["b-0"].stats().counters.commits == PARTITIONS

    async def test_the_cursor_goes_where_the_first_zone_is(self, fleet: Fleet) -> None:
        await fleet.write(OLD)
        await fleet.caught_up()
        await fleet.members["a-0"].flush()
        ends = await fleet.log.end_offsets(range(PARTITIONS))
        directories = [await fleet.store.directory(number) for number in range(PARTITIONS)]
        assert {d.partition: d.replay_from for d in directories} == ends
        assert held(fleet.members["b-0"]) > 0
        await fleet.kill("b-0")
        await pass_time(fleet, 15)
        await fleet.join_as("b-0")
        await pass_time(fleet, 10)
        assert held(fleet.members["b-0"]) == 0
        assert await read(fleet, "b-0") == EXPECTED

    async def test_who_flushes_stores_what_is_another_zones_last(
        self, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = store_of(fleet)
        committed: list[int] = []

        async def commit(partition: int, generations: Sequence[Generation]) -> bool:
            committed.append(partition)
            return await MemoryStore.commit(store, partition, generations)

        monkeypatch.setattr(store, "commit", commit)
        await fleet.write(OLD)
        await fleet.caught_up()
        await fleet.members["a-0"].flush()
        assert committed == [0, 2, 1, 3]

    async def test_both_zones_may_seal(self, fleet: Fleet) -> None:
        await fleet.write(OLD)
        await fleet.caught_up()
        for ingester in fleet.members.values():
            partitions = list(ingester.holdings.partitions.values())
            await ingester._sealing.seal_all(partitions)
        await fleet.write([series("m", (T, 0.0), job="j0")])  # between nothing and the next marker
        await seal(fleet)
        for _ in range(3):
            await pass_time(fleet, 30)
            for ingester in fleet.members.values():
                await ingester._storing.store_all()
        for name, ingester in fleet.members.items():
            assert ingester.stats().alarms == {}
            assert held(ingester) == 0
            assert await read(fleet, name) == EXPECTED


class TestLossOfPayload:
    async def committed_by_a(self, fleet: Fleet) -> None:
        """Partition 0 is stored by zone a, and zone b has let go of it."""
        await fleet.write(OLD)
        await seal(fleet)
        for _ in range(2):
            for ingester in fleet.members.values():
                await ingester._storing.store_all()
        assert fleet.members["b-0"].stats().counters.compared > 0

    def lose(self, fleet: Fleet, name: str) -> None:
        """What this member has stored."""
        for partition in fleet.members[name].holdings.partitions.values():
            for retained in partition.retained:
                if retained.payload is not None:
                    for key in retained.payload.keys:
                        store_of(fleet).lose(key)

    async def test_is_made_up_for_by_the_one_that_stored_it(self, fleet: Fleet) -> None:
        await self.committed_by_a(fleet)
        self.lose(fleet, "a-0")
        await pass_time(fleet, 60)
        for _ in range(2):
            for ingester in fleet.members.values():
                await ingester._storing.store_all()
        assert fleet.members["a-0"].stats().counters.rewritten > 0
        assert fleet.members["b-0"].stats().counters.restored == 0
        assert await read(fleet, "b-0") == EXPECTED

    async def test_is_made_up_for_from_the_log_if_that_one_is_gone(self, fleet: Fleet) -> None:
        await self.committed_by_a(fleet)
        self.lose(fleet, "a-0")
        await fleet.kill("a-0")
        before = (await fleet.store.directory(0)).replay_from
        follower = fleet.members["b-0"]
        for _ in range(5):
            await pass_time(fleet, 20)
            assert (await fleet.store.directory(0)).replay_from == before
            await follower._storing.store_all()
        await pass_time(fleet, 60)
        await follower._storing.store_all()
        assert follower.stats().counters.restored > 0
        assert follower.stats().alarms == {}
        assert await read(fleet, "b-0") == EXPECTED
        await pass_time(fleet, 60)
        await follower._storing.store_all()
        ends = await fleet.log.end_offsets(range(PARTITIONS))
        assert [(await fleet.store.directory(n)).replay_from for n in range(PARTITIONS)] == [*ends.values()]

    async def test_is_noticed_by_who_takes_the_partition_over(self, fleet: Fleet) -> None:
        await self.committed_by_a(fleet)
        self.lose(fleet, "a-0")
        for name in ("a-0", "b-0"):
            await fleet.kill(name)
        await pass_time(fleet, 15)
        await fleet.join_as("a-0")
        await pass_time(fleet, 10)
        for _ in range(6):
            await pass_time(fleet, 60)
            await fleet.members["a-0"]._storing.store_all()
        assert fleet.members["a-0"].stats().counters.restored > 0
        assert await read(fleet, "a-0") == EXPECTED

    async def test_that_the_log_cannot_make_up_for_is_an_alarm(self, fleet: Fleet) -> None:
        await self.committed_by_a(fleet)
        self.lose(fleet, "a-0")
        await fleet.kill("a-0")
        for number in range(PARTITIONS):
            fleet.log.troubles[number].first = fleet.log.logs[number].committed  # type: ignore[attr-defined]
        follower = fleet.members["b-0"]
        for _ in range(5):
            await pass_time(fleet, 20)
            await follower._storing.store_all()
        await pass_time(fleet, 20)
        with pytest.raises(UnavailableError, match="restore the store"):
            await follower._storing.store_all()
        assert any("payload of window" in alarm for alarm in follower.stats().alarms.values())

    async def test_kept_payload_is_bounded_and_the_log_makes_up_for_the_rest(self, fleet: Fleet) -> None:
        await fleet.kill("b-0")
        await pass_time(fleet, 15)
        ingester = fleet.members["a-0"]
        ingester._storing._settings = type(ingester._settings)(retained_bytes=1)
        await fleet.write(OLD)
        await seal(fleet)
        await ingester._storing.store_all()
        keys = store_of(fleet).named
        await ingester._storing.store_all()
        assert all(r.payload is None for p in ingester.holdings.partitions.values() for r in p.retained)
        for key in keys:
            store_of(fleet).lose(key)
        for _ in range(8):
            await pass_time(fleet, 20)
            await ingester._storing.store_all()
        assert ingester.stats().counters.restored == PARTITIONS
        assert await read(fleet, "a-0") == EXPECTED


class Frozen:
    """A store as a process sees it that is stopped in front of its commit, and goes on later."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.reached = asyncio.Event()
        self.goes_on = asyncio.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def commit(self, partition: int, generations: Sequence[Generation]) -> bool:
        self.reached.set()
        await self.goes_on.wait()
        return await self._store.commit(partition, generations)


class TestStoppedBetweenPayloadAndCommit:
    """SIGSTOP past the lease, and SIGCONT."""

    async def stopped(self, fleet: Fleet) -> tuple[Frozen, Ingester, "asyncio.Task[None]"]:
        await fleet.write(OLD)
        await seal(fleet)
        ingester = fleet.members.pop("a-0")
        frozen = Frozen(store_of(fleet))
        ingester._cutter._store = frozen  # type: ignore[assignment]
        cutting = asyncio.create_task(ingester._storing.store_all())
        await frozen.reached.wait()
        return frozen, ingester, cutting

    async def go_on(self, frozen: Frozen, ingester: Ingester, cutting: "asyncio.Task[None]") -> None:
        frozen.goes_on.set()
        await cutting
        assert ingester.stats().counters.commits == 0
        await ingester.holdings.stop()

    async def test_comes_to_nothing(self, fleet: Fleet) -> None:
        frozen, ingester, cutting = await self.stopped(fleet)
        await pass_time(fleet, 30)
        await fleet.members["b-0"]._storing.store_all()
        named = store_of(fleet).named
        assert store_of(fleet).keys > named
        await self.go_on(frozen, ingester, cutting)
        assert ingester.stats().counters.lost_races == 1
        assert store_of(fleet).keys == named
        assert await read(fleet, "b-0") == EXPECTED

    async def test_also_after_further_generations_and_a_compaction(self, fleet: Fleet) -> None:
        frozen, ingester, cutting = await self.stopped(fleet)
        await pass_time(fleet, 30)
        other = fleet.members["b-0"]
        for n in range(9):
            await fleet.write([series("m", (T + 60_000 + n, float(n)), job=f"j{job}") for job in range(JOBS)])
            await other.flush()
        for _ in range(2):
            await other.maintain()
            await pass_time(fleet, 65)
        assert other.stats().counters.compactions > 0
        before = await read(fleet, "b-0")
        directories = [await fleet.store.directory(number) for number in range(PARTITIONS)]
        await self.go_on(frozen, ingester, cutting)
        assert [await fleet.store.directory(number) for number in range(PARTITIONS)] == directories
        assert await read(fleet, "b-0") == before

    async def test_also_when_its_payload_was_swept(self, fleet: Fleet) -> None:
        frozen, ingester, cutting = await self.stopped(fleet)
        await pass_time(fleet, 30)
        other = fleet.members["b-0"]
        await other._storing.store_all()
        fleet.clock.advance(3600)
        await fleet.settle()
        await other.maintain()
        assert store_of(fleet).keys == store_of(fleet).named
        await self.go_on(frozen, ingester, cutting)
        assert store_of(fleet).keys == store_of(fleet).named
        assert await read(fleet, "b-0") == EXPECTED

    async def test_payload_of_a_process_that_died_there_is_swept(self, fleet: Fleet) -> None:
        _, ingester, cutting = await self.stopped(fleet)
        cutting.cancel()
        await asyncio.wait([cutting])
        await ingester.holdings.stop()
        await pass_time(fleet, 30)
        other = fleet.members["b-0"]
        await other._storing.store_all()
        assert store_of(fleet).keys > store_of(fleet).named
        await other.maintain()
        assert store_of(fleet).keys > store_of(fleet).named  # it may be alive
        fleet.clock.advance(3600)
        await fleet.settle()
        await other.maintain()
        assert store_of(fleet).keys == store_of(fleet).named


class TestMaintenance:
    async def test_is_done_by_the_first_zone_that_has_an_owner(self, fleet: Fleet) -> None:
        assert sorted(fleet.members["a-0"]._ownership.maintained) == list(range(PARTITIONS))
        assert list(fleet.members["b-0"]._ownership.maintained) == []
        await fleet.kill("a-0")
        await pass_time(fleet, 15)
        assert sorted(fleet.members["b-0"]._ownership.maintained) == list(range(PARTITIONS))

    async def test_a_deleted_instance_is_gone_when_no_partition_has_it_and_its_name_starts_empty(
        self, fleet: Fleet
    ) -> None:
        for name in ("a-1", "b-1"):
            await fleet.join_as(name)
        await pass_time(fleet, 60)
        assert len(set(fleet.owners("a").values())) == 2
        await fleet.write(OLD, [(1, "m", "Things.", "")])
        await fleet.caught_up()
        await fleet.members["a-0"].flush()
        await fleet.registry.delete(fleet.tenant)
        again = replace(fleet.tenant, uid=b"another uid".ljust(16, b"."), token_sha256=b"#" * 32)
        await fleet.registry.create(again)

        first = fleet.members[fleet.owners("a")[0]]
        await first.maintain()
        assert await fleet.registry.deleted_uids() == [fleet.tenant.uid]  # other members have something of it yet
        await pass_time(fleet, 70)
        for ingester in fleet.members.values():
            await ingester.maintain()
            assert held(ingester) == 0
        for _ in range(3):
            fleet.clock.advance(3 * 3600)
            await pass_time(fleet, 70)
            for ingester in fleet.members.values():
                await fleet.caught_up()
                await ingester.tick()
                await fleet.caught_up()
                await ingester._storing.store_all()
                await ingester.maintain()
        assert await fleet.registry.deleted_uids() == []
        directories = [await fleet.store.directory(number) for number in range(PARTITIONS)]
        assert [directory.manifests for directory in directories] == [{}] * PARTITIONS
        assert [await fleet.store.metadata(number) for number in range(PARTITIONS)] == [{}] * PARTITIONS
        for ingester in fleet.members.values():
            assert ingester.stats().counters.digest_mismatches == 0
        fleet.tenant = again
        for number, name in fleet.owners("a").items():
            storage = fleet.through(fleet.members[name]).storage
            storage._partitions_of = lambda _uid, _shards, number=number: [number]  # type: ignore[misc]
            assert await fleet.read() == {}


class TestClocks:
    async def test_a_minute_apart_change_nothing_but_when_windows_are_sealed(self) -> None:
        fleet = await Fleet(Files.simulated(1), in_memory=True).start()
        for name, skew_s in (("a-0", -60.0), ("a-1", 0.0), ("b-0", 60.0), ("b-1", 25.0)):
            await fleet.join_as(name, skew_s=skew_s)
        fleet.clock.advance((T + HOUR_MS - fleet.clock.now_ms()) / 1000)
        await pass_time(fleet, 10)
        for zone in ("a", "b"):
            assert set(fleet.owners(zone).values()) == {f"{zone}-0", f"{zone}-1"}
        await fleet.write(OLD)
        for _ in range(200):
            await pass_time(fleet, 60)
            await fleet.step()
        for ingester in fleet.members.values():
            assert held(ingester) == 0
            assert ingester.stats().alarms == {}
            assert ingester.stats().counters.digest_mismatches == 0
        assert len(set(fleet.owners("a").values())) == 2
        directories = [await fleet.store.directory(number) for number in range(PARTITIONS)]
        stored = sum(m.samples for d in directories for blocks in d.manifests.values() for m in blocks)
        assert stored == JOBS * 5
        await fleet.crash()
