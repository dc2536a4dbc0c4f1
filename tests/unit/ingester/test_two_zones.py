"""Two zones consume one log: one commits, the other compares and lets go."""

import asyncio
from dataclasses import replace

import pytest

from ingester.service import Ingester
from shared.native import Files, Head
from tests.support.world import HOUR_MS, World, labels, series

T = 1_700_000_000_000 // (2 * HOUR_MS) * (2 * HOUR_MS)
NEVER_S = 1e12


def follower(world: World) -> Ingester:
    return world.join(replace(world.settings, zone="b", takeover_s=NEVER_S))


async def write_rounds(world: World, rounds: int) -> None:
    """Several generations of two windows, with duplicates, conflicts and late samples."""
    for round_ in range(rounds):
        for n in range(6):
            times = [T + ((round_ * 7 + n + k) % 16) * 900_000 for k in range(5)]
            await world.write([series("m", *((t, float(round_ + n % 2)) for t in sorted(set(times))), job=f"j{n}")])
        await world.caught_up()
        for number in range(4):
            windows = [
                info.window for info in world.ingester.holdings.partitions[number].head.windows() if info.sealed is None
            ]
            if windows:
                await world.ingester._sealing.seal(world.ingester.holdings.partitions[number], windows)


class TestZones:
    async def test_cut_equal_blocks_for_every_generation(self) -> None:
        world = await World(Files.simulated(3)).start()
        other = follower(world)
        await other.start()
        await other.ready()
        for _ in range(3):
            await write_rounds(world, 2)
            await world.read()
            await world.caught_up(other)
            await other._storing.store_all()  # too early: nothing is committed, so nothing is let go
            assert other.stats().counters.commits == 0
            await world.ingester._storing.store_all()
            await other._storing.store_all()
            sealed = [p.sealed_windows for z in (world.ingester, other) for p in z.stats().partitions]
            assert sealed == [0] * 8
        assert world.ingester.stats().counters.commits > 0
        assert other.stats().counters.digest_mismatches == 0
        assert other.stats().alarms == {}
        assert [h.samples for h in world.heads()] == [p.head.samples for p in other.holdings.partitions.values()]
        await other.stop()
        await world.crash()

    async def test_a_zone_that_differs_raises_an_alarm_and_keeps_its_samples(self) -> None:
        world = await World(Files.simulated(3)).start()
        other = follower(world)
        await other.start()
        await other.ready()
        await write_rounds(world, 1)
        # One zone has a sample that the other has not, as after a bug or a flipped bit.
        await world.caught_up(other)
        partition = max(other.holdings.partitions.values(), key=lambda p: p.head.samples)
        left_out = partition.head.windows()[0].first_offset
        reader = world.log.reader()
        reader.assign({partition.number: 0})
        [fetched] = await asyncio.to_thread(reader.read, max_records=1000, timeout_ms=100)
        wrong = Head(partition.number, window_ms=world.settings.window_ms)
        Head.apply({partition.number: wrong}, [record for record in fetched.records if record.offset != left_out])
        assert wrong.samples < partition.head.samples
        partition.head = wrong
        await world.ingester._storing.store_all()
        await other._storing.store_all()
        stats = other.stats()
        assert stats.counters.digest_mismatches > 0
        assert "another zone stored other samples" in stats.alarms[f"generation/{partition.number}"]
        assert wrong.windows()
        before = stats.counters.digest_mismatches
        await other._storing.store_all()
        assert other.stats().counters.digest_mismatches == before
        await other.stop()
        await world.crash()

    async def test_a_zone_takes_over_when_the_other_does_not_commit(self) -> None:
        world = await World(Files.simulated(3)).start()
        other = world.join(replace(world.settings, zone="b", takeover_s=60))
        await other.start()
        await other.ready()
        await write_rounds(world, 1)
        await world.caught_up(other)
        await other._storing.store_all()
        assert other.stats().counters.commits == 0
        world.clock.advance(61)
        await other._storing.store_all()
        assert other.stats().counters.commits > 0
        await world.ingester._storing.store_all()
        assert world.ingester.stats().counters.commits == 0
        assert world.ingester.stats().alarms == {}
        assert world.held_samples == sum(p.head.samples for p in other.holdings.partitions.values())
        await other.stop()
        await world.crash()


async def test_a_window_that_was_forgotten_takes_late_samples_in_both_zones() -> None:
    world = await World(Files.simulated(3)).start()
    other = follower(world)
    await other.start()
    await other.ready()

    async def cut() -> None:
        await world.caught_up()
        for number, partition in world.ingester.holdings.partitions.items():
            if windows := [info.window for info in partition.head.windows() if info.sealed is None]:
                await world.ingester._sealing.seal(world.ingester.holdings.partitions[number], windows)
        await world.caught_up(other)
        for zone in (world.ingester, other):
            await zone._storing.store_all(at_once=True)

    for round_ in range(3):
        await world.write([series("m", (T + round_, float(round_)), job=f"j{n}") for n in range(12)])
        await world.write([series("now", (world.clock.now_ms(), 1.0), job=f"j{n}") for n in range(12)])
        await cut()
        world.clock.advance(40 * 24 * 3600)
        await world.ingester.maintain()
        directories = [await world.store.directory(number) for number in range(4)]
        assert [(d.through, d.manifests) for d in directories] == [({}, {})] * 4
        await cut()
    assert world.ingester.stats().counters.forgotten_windows > 0
    for zone in (world.ingester, other):
        assert zone.stats().counters.rebuilds == 0
        assert zone.stats().counters.recommits == 0
        assert zone.stats().counters.digest_mismatches == 0
        assert zone.stats().alarms == {}
        assert [p.head.samples for p in zone.holdings.partitions.values()] == [0] * 4
    await world.write([series("late", (T + 99, 1.0))])
    await cut()
    again = await world.restarted()
    assert (await again.read())[labels("late")] == [(T + 99, "1")]
    await other.stop()
    await again.crash()


@pytest.mark.parametrize("seed", range(3))
async def test_replaying_zone_agrees_with_the_live_one(seed: int) -> None:
    world = await World(Files.simulated(seed)).start()
    await write_rounds(world, 3)
    await world.read()
    late = follower(world)
    await late.start()
    await late.ready()
    await world.ingester._storing.store_all()
    await late._storing.store_all()
    assert late.stats().counters.digest_mismatches == 0
    assert late.stats().alarms == {}
    assert [h.samples for h in world.heads()] == [p.head.samples for p in late.holdings.partitions.values()]
    await late.stop()
    await world.crash()
