"""What the start says of a Redis that is set wrongly."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.redis.checks import Findings, check_servers
from shared.redis.settings import parse_url
from tests.integration.redis.conftest import Connect
from tests.support.redis import RedisCluster, RedisServer


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    server = RedisServer(tmp_path / "redis", options={"maxmemory": "100mb"})
    server.start()
    yield server
    server.kill()


async def findings(
    connect: Connect, server: RedisServer, *, allow_unpersisted: bool = False, is_cluster: bool = False
) -> Findings:
    settings = parse_url(server.url, is_cluster=is_cluster)
    return await check_servers(connect(server), settings, allow_unpersisted=allow_unpersisted)


class TestServer:
    async def test_of_the_right_kind_passes(self, server: RedisServer, connect: Connect) -> None:
        assert await findings(connect, server) == Findings()

    async def test_that_evicts_is_refused_with_the_command_that_mends_it(
        self, server: RedisServer, connect: Connect
    ) -> None:
        server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        [refusal] = (await findings(connect, server)).refusals
        command = f"redis-cli -h 127.0.0.1 -p {server.port} CONFIG SET maxmemory-policy noeviction"
        assert "allkeys-lru" in refusal
        assert command in refusal
        server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
        assert (await findings(connect, server)).refusals == ()

    async def test_that_keeps_nothing_is_refused_unless_that_is_accepted(
        self, server: RedisServer, connect: Connect
    ) -> None:
        server.command("CONFIG", "SET", "appendonly", "no")
        [refusal] = (await findings(connect, server)).refusals
        assert "keeps nothing on its disk" in refusal
        assert "CONFIG SET appendonly yes" in refusal
        assert "redis.allow_unpersisted_store" in refusal
        accepted = await findings(connect, server, allow_unpersisted=True)
        assert accepted.refusals == ()
        assert "keeps nothing on its disk" in accepted.notes[0]

    async def test_that_keeps_only_snapshots_is_told_apart(self, server: RedisServer, connect: Connect) -> None:
        server.command("CONFIG", "SET", "appendonly", "no")
        server.command("CONFIG", "SET", "save", "3600 1")
        [refusal] = (await findings(connect, server)).refusals
        assert "keeps snapshots only" in refusal

    async def test_without_a_limit_of_memory_is_noted(self, server: RedisServer, connect: Connect) -> None:
        server.command("CONFIG", "SET", "maxmemory", "0")
        found = await findings(connect, server)
        assert found.refusals == ()
        assert "has no maxmemory" in found.notes[0]

    async def test_that_forbids_config_is_judged_by_what_it_tells(self, server: RedisServer, connect: Connect) -> None:
        server.command("ACL", "SETUSER", "default", "-config")
        server_says = await findings(connect, server)
        assert server_says == Findings()

    async def test_that_tells_nothing_says_what_could_not_be_checked(
        self, server: RedisServer, connect: Connect
    ) -> None:
        server.command("ACL", "SETUSER", "default", "-config", "-info")
        found = await findings(connect, server)
        assert found.refusals == ()
        [note] = found.notes
        assert "maxmemory-policy noeviction" in note
        assert "appendonly yes" in note

    async def test_that_is_a_replica_names_its_leader(
        self, server: RedisServer, connect: Connect, redis_server: RedisServer
    ) -> None:
        server.follow(redis_server)
        [refusal] = (await findings(connect, server)).refusals
        assert f"127.0.0.1:{redis_server.port}" in refusal

    async def test_that_is_a_node_of_a_cluster_asks_for_the_setting(
        self, redis_cluster: RedisCluster, connect: Connect
    ) -> None:
        found = await findings(connect, redis_cluster.nodes[0])
        assert "set redis.cluster to true" in found.refusals[0]


async def test_every_node_of_a_cluster_is_looked_at(redis_cluster: RedisCluster, connect: Connect) -> None:
    settings = parse_url(redis_cluster.url, is_cluster=True)
    found = await check_servers(connect(redis_cluster), settings, allow_unpersisted=False)
    assert found.refusals == ()
    assert len(found.notes) == 3  # none has a maxmemory
    for note, node in zip(sorted(found.notes), sorted(redis_cluster.nodes, key=lambda node: node.address), strict=True):
        assert node.address in note
