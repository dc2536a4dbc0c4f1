"""What the registry on Redis does beyond its contract: changes that others made, and a Redis that is away."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from shared.errors import InternalError, UnavailableError
from shared.model.instance import Instance, Limits
from shared.redis.keys import INSTANCES
from shared.redis.registry import RedisRegistry
from tests.integration.redis.conftest import Connect
from tests.integration.redis.copies import dump, restore
from tests.support.redis import RedisServer

ALICE = Instance("alice", bytes(16), b"a" * 32, b"sealed a", limits=Limits(max_series=7))
BOB = Instance("bob", bytes(range(16)), b"b" * 32, b"sealed b")
POLL_S = 0.02

Open = Callable[..., Awaitable[RedisRegistry]]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def opened(connect: Connect) -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:

        async def open_one(server: RedisServer, *, partitions: int = 4, poll_s: float = POLL_S) -> RedisRegistry:
            client = connect(server, timeout_s=0.5)
            registry = await RedisRegistry.open(client, partitions=partitions, poll_s=poll_s)
            stack.push_async_callback(registry.close)
            return registry

        yield open_one


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await holds():  # noqa: ASYNC110  Redis is what it waits for
            await asyncio.sleep(POLL_S)


class TestCluster:
    async def test_of_many_first_starters_all_agree(self, server: RedisServer, opened: Open) -> None:
        registries = [opened(server, partitions=partitions) for partitions in range(1, 9)]
        async with asyncio.TaskGroup() as tasks:
            started = [tasks.create_task(registry) for registry in registries]  # type: ignore[arg-type]
        facts = {await task.result().cluster() for task in started}
        assert len(facts) == 1


class TestChanges:
    async def test_are_seen_by_other_processes(self, server: RedisServer, opened: Open) -> None:
        here, there = await opened(server), await opened(server)
        version = there.version
        assert await here.create(ALICE)
        changed = replace(ALICE, limits=Limits(max_series=8), token_sha256=b"c" * 32)
        assert await here.update(ALICE, changed)

        async def is_there() -> bool:
            return await there.instances() == [changed]

        await until(is_there)
        assert there.version > version
        assert await there.by_token_sha256(ALICE.token_sha256) is None
        assert await there.by_token_sha256(b"c" * 32) == changed
        assert await here.delete(changed)

        async def is_gone() -> bool:
            return await there.instances() == []

        await until(is_gone)
        assert await there.by_token_sha256(b"c" * 32) is None

    async def test_a_new_token_is_looked_for_at_once(self, server: RedisServer, opened: Open) -> None:
        here, there = await opened(server), await opened(server, poll_s=3600)

        async def is_known() -> bool:  # not on the first ask, if others have just asked for what nobody has
            return await there.by_token_sha256(ALICE.token_sha256) == ALICE

        assert not await is_known()
        assert await here.create(ALICE)
        await until(is_known)

    async def test_unknown_tokens_cost_redis_little(self, server: RedisServer, connect: Connect) -> None:
        client = connect(server)
        registry = await RedisRegistry.open(client, partitions=4, poll_s=3600)
        before = client.commands
        for number in range(500):
            assert await registry.by_token_sha256(bytes([number % 256]) * 32) is None
        assert client.commands - before < 50
        await registry.close()

    async def test_of_an_instance_that_another_process_has_changed_are_refused(
        self, server: RedisServer, opened: Open
    ) -> None:
        here, there = await opened(server, poll_s=3600), await opened(server, poll_s=3600)
        assert await here.create(ALICE)
        assert await there.by_app_id("alice") in {ALICE, None}
        assert await here.update(ALICE, replace(ALICE, shards=2))
        assert not await there.update(ALICE, replace(ALICE, shards=4))
        assert not await there.delete(ALICE)
        assert await there.by_app_id("alice") == replace(ALICE, shards=2)

    async def test_a_token_may_pass_from_one_instance_to_another(self, server: RedisServer, opened: Open) -> None:
        here, there = await opened(server), await opened(server, poll_s=3600)
        assert await here.create(ALICE)
        assert await here.create(BOB)
        await there.by_app_id("nobody")
        moved = replace(ALICE, token_sha256=b"c" * 32)
        assert await here.update(ALICE, moved)
        assert await here.update(BOB, replace(BOB, token_sha256=ALICE.token_sha256))
        await there._refresh()
        found = await there.by_token_sha256(ALICE.token_sha256)
        assert found is not None
        assert found.app_id == "bob"
        assert await there.by_token_sha256(b"c" * 32) == moved
        assert await there.by_token_sha256(BOB.token_sha256) is None

    async def test_that_are_many_are_read_anew(self, server: RedisServer, opened: Open) -> None:
        here, there = await opened(server), await opened(server, poll_s=3600)
        for number in range(30):
            assert await here.create(Instance(f"i{number}", number.to_bytes(16), number.to_bytes(32), b""))
        server.command("DEL", "hr:{registry}:changes")  # as when they are older than an hour
        await there._refresh()
        assert await there.instances() == await here.instances()
        assert len(await there.instances()) == 30

    async def test_of_a_store_that_was_turned_back_are_noticed(self, server: RedisServer, opened: Open) -> None:
        here, there = await opened(server), await opened(server, poll_s=3600)
        assert await here.create(ALICE)
        copy = dump(server)
        assert await here.create(BOB)
        await there._refresh()
        assert await there.instances() == [ALICE, BOB]
        restore(server, copy)
        carol = Instance("carol", b"c" * 16, b"c" * 32, b"")
        assert await here.create(carol)  # the same generation as BOB's, and another mark
        await there._refresh()
        assert await there.instances() == [ALICE, carol]


class TestAway:
    async def test_what_was_known_last_still_serves(self, server: RedisServer, opened: Open) -> None:
        registry = await opened(server)
        assert await registry.create(ALICE)
        server.kill()

        async def is_noticed() -> bool:
            return registry._is_away

        await until(is_noticed)
        assert await registry.by_token_sha256(ALICE.token_sha256) == ALICE
        assert await registry.by_token_sha256(BOB.token_sha256) is None
        with pytest.raises(UnavailableError, match="cannot be reached"):
            await registry.create(BOB)
        server.start()
        assert await registry.create(BOB)
        assert await registry.instances() == [ALICE, BOB]

        async def is_back() -> bool:
            return not registry._is_away

        await until(is_back)

    async def test_a_start_fails_and_says_why(self, server: RedisServer, opened: Open) -> None:
        server.kill()
        with pytest.raises(UnavailableError, match=f"127.0.0.1:{server.port}"):
            await opened(server)

    async def test_a_redis_that_was_emptied_forgets_nobody(self, server: RedisServer, opened: Open) -> None:
        registry = await opened(server)
        assert await registry.create(ALICE)
        server.flush()
        with pytest.raises(InternalError, match="emptied or replaced"):
            await registry._refresh()
        assert await registry.by_token_sha256(ALICE.token_sha256) == ALICE


class TestGarbage:
    async def test_a_record_that_cannot_be_read_refuses_a_start(self, server: RedisServer, opened: Open) -> None:
        registry = await opened(server)
        assert await registry.create(ALICE)
        server.command("HSET", INSTANCES, "alice", b'{"format": 2}')
        with pytest.raises(InternalError, match="alice has format 2"):
            await opened(server)

    async def test_and_leaves_a_running_process_what_it_knew(self, server: RedisServer, opened: Open) -> None:
        here, there = await opened(server), await opened(server, poll_s=3600)
        assert await here.create(ALICE)
        await there._refresh()
        assert await here.create(BOB)
        server.command("HSET", INSTANCES, "alice", b"\xff{")
        server.command("DEL", "hr:{registry}:changes")
        await there._refresh()
        assert await there.instances() == [ALICE, BOB]
