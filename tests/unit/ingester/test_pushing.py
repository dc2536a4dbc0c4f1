"""Pushed groups in an ingester: emitted on time, stored with the cursor, and there again after a restart."""

from dataclasses import replace

import pytest

from ingester.settings import IngesterSettings
from shared.errors import UnavailableError
from shared.native import Files, Push, WriteLimits
from tests.support.memory_store import MemoryStore
from tests.support.world import World, labels

INTERVAL_MS = 15_000


async def push(world: World, body: str, job: str) -> None:
    now_ms = world.clock.now_ms()
    pushed, why = Push.of_body(
        body.encode(), "text", [("job", job)], merge=False, now_ms=now_ms, ttl_ms=0, interval_ms=INTERVAL_MS
    )
    assert pushed is not None, why
    tenant = world.tenant
    batch = world.splitter.split_push(pushed, uid=tenant.uid, shards=tenant.shards, limits=WriteLimits(), now_ms=now_ms)
    await world.log.append(batch, now_ms=now_ms)
    await world.caught_up()


async def emitted(world: World, seconds: float) -> list[tuple[int, str]]:
    """The samples of `x` after so many seconds, with a look at what is due at the end of them."""
    world.clock.advance(seconds)
    await world.ingester.emit()
    await world.caught_up()
    return (await world.read())[labels("x", job="a")]


async def test_a_group_is_emitted_at_its_own_times_and_a_gap_is_filled() -> None:
    world = await World(Files.simulated(1)).start()
    try:
        await push(world, "x 1\n", "a")
        first = (await emitted(world, 16))[1:]
        [(time_ms, _)] = first
        later = await emitted(world, 90)
        assert [at - time_ms for at, _ in later[1:]] == [INTERVAL_MS * n for n in range(7)]
        assert {value for _, value in later} == {"1"}
    finally:
        await world.crash()


async def test_groups_outlive_the_log_they_came_with() -> None:
    world = await World(Files.simulated(2)).start()
    try:
        await push(world, "x 1\n", "a")
        await push(world, "y 1\n", "b")
        before = await emitted(world, 16)
        await world.ingester.flush()
        assert world.log_records <= 1
        world = await world.restarted()
        after = await emitted(world, 30)
        assert after[: len(before)] == before
        assert len(after) == len(before) + 2
    finally:
        await world.crash()


async def test_what_the_log_refuses_is_due_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await World(Files.simulated(3)).start()
    try:
        await push(world, "x 1\n", "a")

        async def refuse(*_: object, **__: object) -> None:
            raise UnavailableError("the disk is full")

        with monkeypatch.context() as patched:
            patched.setattr(world.log, "append", refuse)
            assert len(await emitted(world, 16)) == 1
            assert "the disk is full" in world.ingester.stats().alarms["emission"]
        assert len(await emitted(world, 0.5)) == 2
        assert "emission" not in world.ingester.stats().alarms
    finally:
        await world.crash()


async def test_another_zones_turn_is_waited_for_but_not_for_ever() -> None:
    world = await World(Files.simulated(4), settings=IngesterSettings(read_timeout_ms=20, takeover_s=5)).start()
    try:
        await push(world, "x 1\n", "a")
        assert len(await emitted(world, 19)) == 1
        assert len(await emitted(world, 12)) == 3
    finally:
        await world.crash()


async def test_a_store_that_was_turned_back_gets_all_groups_again() -> None:
    world = await World(Files.simulated(5)).start()
    try:
        store = MemoryStore(world.clock)
        storing = world.ingester._storing
        storing._store = store
        snapshots = [store.snapshot()]
        partitions = list(world.ingester.holdings.partitions.values())
        for job in ("a", "b", "c"):
            await push(world, "x 1\n", job)
            if job == "c":
                store.turn_back(snapshots[0])
            for partition in partitions:
                await storing._store_groups(partition)
            snapshots.append(store.snapshot())
        keys = [key for partition in partitions for key, _ in (await store.groups(partition.number)).entries]
        assert sorted(key[16:] for key in keys if len(key) > 16) == [
            b"job\xff%b\xff" % job for job in (b"a", b"b", b"c")
        ]
    finally:
        storing._store = world.store
        await world.crash()


async def test_a_deleted_instances_groups_go() -> None:
    world = await World(Files.simulated(6)).start()
    try:
        await push(world, "x 1\n", "a")
        await world.ingester.flush()
        await world.registry.delete(replace(world.tenant))
        await world.ingester.maintain()
        assert sum(p.pushed.size[0] for p in world.ingester.holdings.partitions.values()) == 0
    finally:
        await world.crash()
