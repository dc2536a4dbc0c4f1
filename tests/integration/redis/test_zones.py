"""Ingesters of two zones with their cutters, on one store in Redis."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from shared import faults
from shared.errors import UnavailableError
from shared.native import Files
from shared.redis.keys import PartitionKeys, payload_key
from tests.integration.redis.conftest import Connect
from tests.integration.redis.copies import dump, restore
from tests.support.redis import RedisServer
from tests.support.redis_world import RedisWorld
from tests.support.world import HOUR_MS, World, labels, series
from tests.unit.ingester.test_two_zones import follower, write_rounds

T = 1_700_000_000_000 // (2 * HOUR_MS) * (2 * HOUR_MS)
MANY = [series("m", *((T + n * 60_000, float(n)) for n in range(30)), job=f"j{job}") for job in range(12)]
EXPECTED = {labels("m", job=f"j{job}"): [(T + n * 60_000, str(n)) for n in range(30)] for job in range(12)}


@pytest.fixture
async def server(redis_server: RedisServer) -> AsyncIterator[RedisServer]:
    redis_server.flush()
    yield redis_server
    faults.install(None)


async def opened(server: RedisServer, connect: Connect) -> RedisWorld:
    world = await RedisWorld(Files.simulated(3), client=connect(server)).start()
    assert isinstance(world, RedisWorld)
    return world


class TestZones:
    async def test_cut_equal_blocks(self, server: RedisServer, connect: Connect) -> None:
        world = await opened(server, connect)
        other = follower(world)
        await other.start()
        await other.ready()
        for _ in range(3):
            await write_rounds(world, 2)
            before = await world.read()
            await world.caught_up(other)
            await world.ingester._storing.store_all()
            await other._storing.store_all()
            assert await world.read() == before
        assert world.ingester.stats().counters.commits > 0
        assert other.stats().counters.digest_mismatches == 0
        assert other.stats().alarms == {}
        assert [h.samples for h in world.heads()] == [p.head.samples for p in other.holdings.partitions.values()]
        await other.stop()
        await world.crash()

    async def test_race_for_each_generation_and_nothing_is_stored_twice(
        self, server: RedisServer, connect: Connect
    ) -> None:
        world = await opened(server, connect)
        other = world.join(replace(world.settings, zone="b"))
        await other.start()
        await other.ready()
        for _ in range(4):
            await write_rounds(world, 1)
            before = await world.read()
            await world.caught_up(other)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(world.ingester._storing.store_all())
                tasks.create_task(other._storing.store_all())
            assert await world.read() == before
        counters = [zone.stats().counters for zone in (world.ingester, other)]
        assert sum(c.digest_mismatches for c in counters) == 0
        for number in range(4):
            directory = await world.store.directory(number)
            for blocks in directory.manifests.values():
                spans = [(m.window, m.from_offset) for m in blocks]
                assert len(set(spans)) == len(spans)
            world.clock.advance(3600)
            # Whoever came second has removed what it had written.
            assert await world.store.orphans(number, age_s=0) == []
        await other.stop()
        await world.crash()

    @pytest.mark.parametrize("point", ["commit.before", "commit.done"])
    async def test_a_lost_request_or_reply_is_settled(self, server: RedisServer, connect: Connect, point: str) -> None:
        world = await opened(server, connect)
        await world.write(MANY)
        await world.read()
        faults.arm(f"{point}:fail:1")
        await world.ingester.flush()
        assert world.held_samples == 0
        assert await world.read() == EXPECTED
        assert [(await world.store.orphans(number, age_s=0)) for number in range(4)] == [[]] * 4
        again = await world.restarted()
        assert again.held_samples == 0
        assert await again.read() == EXPECTED
        await again.crash()


class TestRolledBack:
    """Redis came back without the last commit, as after a fail-over."""

    async def lose_last_commit(self, server: RedisServer, connect: Connect, *, payload_too: bool) -> RedisWorld:
        world = await opened(server, connect)
        await world.write(MANY[:5])
        await world.ingester.flush()
        await world.write(MANY[5:])
        copy = dump(server)
        world.clock.advance(24 * 3600)
        await world.step()
        assert world.held_samples == 0
        payload = [] if payload_too else [entry for entry in dump(server) if b"{p" not in entry[0]]
        restore(server, list({**dict(copy), **dict(payload)}.items()))
        return world

    @pytest.mark.parametrize("payload_too", [False, True])
    async def test_it_is_committed_again_while_the_payload_is_kept(
        self, server: RedisServer, connect: Connect, payload_too: bool
    ) -> None:
        world = await self.lose_last_commit(server, connect, payload_too=payload_too)
        with pytest.raises(UnavailableError, match="generation"):
            await world.read()
        await world.ingester._storing.store_all()
        world.clock.advance(61)
        await world.ingester._storing.store_all()
        assert world.ingester.stats().counters.recommits > 0
        assert await world.read() == EXPECTED
        again = await world.restarted()
        assert await again.read() == EXPECTED
        await again.crash()

    async def test_the_other_zone_goes_on_from_there(self, server: RedisServer, connect: Connect) -> None:
        world = await self.lose_last_commit(server, connect, payload_too=True)
        other = world.join(replace(world.settings, zone="b"))  # it replays, and cuts what was lost once more
        await other.start()
        await other.ready()
        await other._storing.store_all()
        await world.ingester._storing.store_all()
        await other._storing.store_all()
        world.clock.advance(61)
        for zone in (world.ingester, other):
            await zone._storing.store_all()
            assert zone.stats().counters.digest_mismatches == 0
        assert await world.read() == EXPECTED
        await other.stop()
        await world.crash()

    async def test_it_is_rebuilt_from_the_log_otherwise(self, server: RedisServer, connect: Connect) -> None:
        world = await self.lose_last_commit(server, connect, payload_too=True)
        for partition in world.ingester.holdings.partitions.values():
            partition.retained.clear()
        await world.write([series("later", (T, 1.0))])
        await world.ingester.flush()
        assert world.ingester.stats().counters.rebuilds > 0
        await world.ingester.holdings.settled()
        assert await world.read() == EXPECTED | {labels("later"): [(T, "1")]}
        await world.crash()


class TestPayload:
    async def test_that_went_missing_is_written_again_a_minute_later(
        self, server: RedisServer, connect: Connect
    ) -> None:
        world = await opened(server, connect)
        await world.write(MANY)
        world.clock.advance(24 * 3600)
        await world.step()
        keys = [key for number in range(4) for key in await named(world, number)]
        assert keys
        for key in keys:
            assert server.command("DEL", payload_key(key)) == 1
        world.clock.advance(61)
        await world.ingester._storing.store_all()
        assert world.ingester.stats().counters.rewritten > 0
        assert await world.read() == EXPECTED
        assert [await world.store.orphans(number, age_s=0) for number in range(4)] == [[]] * 4
        await world.crash()

    async def test_that_is_replaced_goes_after_a_while(self, server: RedisServer, connect: Connect) -> None:
        world = await opened(server, connect)
        for n in range(8):
            await world.write([series("m", (T + n, float(n)), job="a")])
            await world.ingester.flush()
        before = await world.read()
        await world.ingester.maintain()
        world.clock.advance(61)  # then what was merged takes its place
        await world.ingester.maintain()
        assert world.ingester.stats().counters.compactions == 1
        assert await world.read() == before
        await age_orphans(server)
        await world.ingester.maintain()
        left = [key for key in server.command("KEYS", "*") if not key.startswith(b"hr:{p") and b"{store}" not in key]
        assert len(left) == 1
        world.storage = world.new_storage()
        assert await world.read() == before
        await world.crash()


async def named(world: World, number: int) -> list[str]:
    directory = await world.store.directory(number)
    return [key for blocks in directory.manifests.values() for manifest in blocks for key in manifest.keys]


async def age_orphans(server: RedisServer) -> None:
    """As if a day had passed since payload lost its name."""
    for number in range(4):
        unnamed = PartitionKeys(number).unnamed
        flat = server.command("HGETALL", unnamed)
        for key, since in zip(flat[::2], flat[1::2], strict=True):
            server.command("HSET", unnamed, key, int(since) - 86_400_000)
