"""A Redis that has reached its maxmemory: nothing new is stored, everything else goes on."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from shared.errors import UnavailableError
from shared.model.instance import Instance
from shared.redis.client import Client
from shared.redis.membership import RedisMembership
from shared.redis.registry import RedisRegistry
from shared.redis.store import RedisStore
from shared.seams.membership import Member
from shared.seams.store import Payload, payload_keys
from tests.integration.redis.conftest import Connect
from tests.support.manifests import UID, WINDOW, block, generation, merged
from tests.support.redis import RedisServer

P = 3
TTL_MS = 60_000


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def client(server: RedisServer, connect: Connect) -> Client:
    return connect(server)


def fill(server: RedisServer) -> None:
    server.limit_memory(free_bytes=0)


def relieve(server: RedisServer) -> None:
    server.command("CONFIG", "SET", "maxmemory", "0")


class TestStore:
    async def test_refuses_what_is_new_and_says_what_to_do(self, server: RedisServer, client: Client) -> None:
        store = RedisStore(client)
        ready, payload = block("a1", WINDOW, 0, 10)
        await store.put(P, payload)
        fill(server)
        for refused in (
            store.commit(P, [generation(ready)]),
            store.put(P, Payload(payload_keys("b2", 1), (b"x" * 10_000,))),
            store.put_metadata(P, 1, {UID: {"up": (1, "", "")}}),
            store.keep_aside(P, 5, b"garbage", "why"),
        ):
            with pytest.raises(UnavailableError, match=r"full: .*CONFIG SET maxmemory"):
                await refused
        directory = await store.directory(P)
        assert (directory.generation, directory.through) == (0, {})
        relieve(server)
        assert await store.commit(P, [generation(ready)])
        assert (await store.directory(P)).manifests == {UID: (ready,)}

    async def test_that_fills_up_within_a_put_takes_the_rest_later(self, server: RedisServer, client: Client) -> None:
        store = RedisStore(client)
        values = tuple(bytes([number]) * 60_000 for number in range(200))
        keys = payload_keys("a1", 200)
        server.limit_memory(free_bytes=4_000_000)
        with pytest.raises(UnavailableError, match="full"):
            await store.put(P, Payload(keys, values))
        relieve(server)
        await store.put(P, Payload(keys, values))
        assert await store.fetch(keys) == list(values)

    async def test_still_reads_and_makes_room(self, server: RedisServer, client: Client) -> None:
        store = RedisStore(client)
        manifests = []
        for number in range(3):
            manifest, payload = block(f"a{number}", WINDOW, 10 * number, 10 * number + 10, values=(b"x" * 500_000,))
            await store.put(P, payload)
            assert await store.commit(P, [generation(manifest)])
            manifests.append(manifest)
        new, payload = merged("m", manifests[:2])
        await store.put(P, payload)
        fill(server)
        used = server.info("memory")["used_memory"]
        assert await store.fetch(manifests[0].keys) == [b"x" * 500_000]
        assert await store.replace(P, manifests[:2], [new])
        assert await store.replace(P, [manifests[2]], [])
        await store.advance(P, 7)
        orphans = await store.orphans(P, age_s=0)
        assert sorted(orphans) == sorted(key for manifest in manifests for key in manifest.keys)
        await store.delete(P, orphans)
        directory = await store.directory(P)
        assert directory.manifests == {UID: (new,)}
        assert (directory.generation, directory.replay_from, directory.through) == (5, 7, {WINDOW: 30})
        assert await store.exists(orphans) == [False] * 3
        assert server.info("memory")["used_memory"] < used - 1_000_000

    async def test_serves_those_who_have_read_nothing_yet(
        self, server: RedisServer, client: Client, connect: Connect
    ) -> None:
        store = RedisStore(client)
        manifest, payload = block("a1", WINDOW, 0, 10)
        await store.put(P, payload)
        assert await store.commit(P, [generation(manifest)])
        server.command("SCRIPT", "FLUSH")  # so that scripts come in full, too
        fill(server)
        fresh = RedisStore(connect(server))
        assert (await fresh.directory(P)).manifests == {UID: (manifest,)}
        assert await fresh.fetch(manifest.keys) == list(payload.values)


class TestMembership:
    async def test_goes_on(self, server: RedisServer, client: Client) -> None:
        membership = RedisMembership(client)
        member = await membership.announce(Member("a-0", "a", "n1", "10.0.0.1:1"), ttl_ms=TTL_MS)
        lease = await membership.acquire(1, member=member, ttl_ms=TTL_MS)
        assert lease is not None
        server.command("SCRIPT", "FLUSH")
        fill(server)
        for _ in range(3):
            renewed = await membership.renew(lease, ttl_ms=2 * TTL_MS)
            assert renewed is not None
            assert renewed.expires_ms > lease.expires_ms
            assert await membership.announce(member, ttl_ms=TTL_MS) == member
        other = await membership.announce(Member("a-1", "a", "n2", "10.0.0.2:1"), ttl_ms=TTL_MS)
        assert await membership.acquire(1, member=other, ttl_ms=TTL_MS) is None
        await membership.release(lease)
        taken = await membership.acquire(1, member=other, ttl_ms=TTL_MS)  # a dead member's work is taken over, too
        assert taken is not None
        assert await membership.leases() == [taken]
        await membership.withdraw(member)
        assert await membership.members() == [other]


class TestRegistry:
    async def test_changes_all_the_same(self, server: RedisServer, client: Client) -> None:
        registry = await RedisRegistry.open(client, partitions=4)
        alice = Instance("alice", bytes(16), b"a" * 32, b"sealed")
        assert await registry.create(alice)
        fill(server)
        rotated = replace(alice, token_sha256=b"b" * 32)
        assert await registry.update(alice, rotated)
        assert await registry.by_token_sha256(b"b" * 32) == rotated
        assert await registry.delete(rotated)
        assert await registry.deleted_uids() == [alice.uid]
        await registry.purged(alice.uid)
        assert await registry.deleted_uids() == []
        await registry.close()
