"""A Redis Cluster whose slots move and whose nodes die under the store."""

import asyncio
from collections.abc import Iterator

import pytest

from shared.errors import HeadraceError, UnavailableError
from shared.redis.keys import PartitionKeys, payload_key
from shared.redis.store import RedisStore
from shared.seams.store import Manifest, Payload, payload_keys
from tests.integration.redis.conftest import Connect
from tests.support.manifests import UID, WINDOW, block, generation, holds_the_same
from tests.support.redis import RedisCluster, RedisServer

P = 3


@pytest.fixture(scope="module")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    cluster = RedisCluster(tmp_path_factory.mktemp("cluster"), replicas=1)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()


@pytest.fixture
def cluster(_cluster: RedisCluster) -> RedisCluster:
    _cluster.flush()
    return _cluster


async def committed(store: RedisStore, number: int) -> Manifest:
    """The generation of ten records that follows `number` others."""
    manifest, payload = block(f"a{number}", WINDOW, 10 * number, 10 * number + 10)
    await store.put(P, payload)
    assert await store.commit(P, [generation(manifest)])
    return manifest


class MovingSlot:
    """Takes a slot from the node that has it to another one, key by key."""

    def __init__(self, cluster: RedisCluster, key: str) -> None:
        self._nodes = [node for node in cluster.nodes if node.command("ROLE")[0] == b"master"]
        self._source = cluster.leader_of(key)
        self._target = next(node for node in self._nodes if node is not self._source)
        self._slot = int(self._source.command("CLUSTER", "KEYSLOT", key))
        source, target = (node.command("CLUSTER", "MYID") for node in (self._source, self._target))
        self._target.command("CLUSTER", "SETSLOT", self._slot, "IMPORTING", source)
        self._source.command("CLUSTER", "SETSLOT", self._slot, "MIGRATING", target)

    def move_some(self, count: int) -> int:
        """How many it moved."""
        keys = self._source.command("CLUSTER", "GETKEYSINSLOT", self._slot, count)
        for key in keys:
            self._source.command("MIGRATE", "127.0.0.1", self._target.port, key, 0, 5000)
        return len(keys)

    def finish(self) -> None:
        while self.move_some(100):
            pass
        name = self._target.command("CLUSTER", "MYID")
        for node in (self._target, self._source, *self._nodes):
            node.command("CLUSTER", "SETSLOT", self._slot, "NODE", name)


class TestSlots:
    async def test_payload_is_spread_over_all_nodes(self, cluster: RedisCluster, connect: Connect) -> None:
        store = RedisStore(connect(cluster))
        keys = payload_keys("spread", 320)
        values = tuple(f"value {number}".encode() * 10 for number in range(320))
        await store.put(P, Payload(keys, values))
        assert await store.fetch(keys) == list(values)
        assert await store.exists(keys) == [True] * 320
        counts = [node.command("DBSIZE") for node in cluster.nodes[:3]]
        assert min(counts) >= 32
        assert await store.fetch(keys[::-7]) == list(values[::-7])
        await store.delete(P, keys)
        assert await store.exists(keys) == [False] * 320

    async def test_payload_is_found_while_its_slot_moves(self, cluster: RedisCluster, connect: Connect) -> None:
        store = RedisStore(connect(cluster))
        keys = payload_keys("moving", 16)
        values = tuple(bytes([number]) * 1000 for number in range(16))
        await store.put(P, Payload(keys, values))
        assert await store.fetch(keys) == list(values)
        moving = MovingSlot(cluster, payload_key(keys[0]))
        assert [await store.fetch([key]) for key in keys] == [[value] for value in values]
        moving.move_some(8)
        assert [await store.fetch([key]) for key in keys] == [[value] for value in values]
        reading = asyncio.create_task(store.fetch(keys))  # one command for keys of which half have moved
        await asyncio.to_thread(moving.finish)
        assert await reading == list(values)
        assert await store.fetch(keys) == list(values)

    async def test_a_partition_goes_on_where_its_slot_went(self, cluster: RedisCluster, connect: Connect) -> None:
        writer, reader = RedisStore(connect(cluster, timeout_s=30)), RedisStore(connect(cluster, timeout_s=30))
        manifests = [await committed(writer, number) for number in range(3)]
        assert (await reader.directory(P)).manifests == {UID: tuple(manifests)}
        moving = MovingSlot(cluster, PartitionKeys(P).cursor)

        async def commit_more() -> None:
            manifests.extend([await committed(writer, number) for number in range(3, 20)])

        async def read_on() -> None:
            for _ in range(50):
                directory = await reader.directory(P)
                blocks = directory.manifests[UID]
                assert directory.through[WINDOW] == blocks[-1].to_offset
                assert [m.from_offset for m in blocks] == list(range(0, directory.through[WINDOW], 10))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(commit_more())
            tasks.create_task(read_on())
            while await asyncio.to_thread(moving.move_some, 1):
                pass
            await asyncio.to_thread(moving.finish)
        after = await RedisStore(connect(cluster)).directory(P)
        assert after.manifests == {UID: tuple(manifests)}
        assert await reader.directory(P) == after


class TestDiscovery:
    async def test_one_node_that_answers_is_enough(self, cluster: RedisCluster, connect: Connect) -> None:
        last = cluster.nodes[2].port
        store = RedisStore(
            connect(cluster, addresses=(("127.0.0.1", 1), ("no-such-host.invalid", 6379), ("127.0.0.1", last)))
        )
        assert [(await store.directory(partition)).generation for partition in range(6)] == [0] * 6

    async def test_none_that_answers_is_told_with_reasons(self, cluster: RedisCluster, connect: Connect) -> None:
        store = RedisStore(connect(cluster, addresses=(("127.0.0.1", 1),), timeout_s=0.5))
        with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1: .*Connect"):
            await store.directory(P)

    async def test_a_server_that_is_no_cluster_is_told(
        self, cluster: RedisCluster, redis_server: RedisServer, connect: Connect
    ) -> None:
        store = RedisStore(connect(cluster, addresses=(("127.0.0.1", redis_server.port),), timeout_s=0.5))
        with pytest.raises(UnavailableError, match="cluster support disabled"):
            await store.directory(P)


class TestFailOver:
    async def test_a_replica_takes_over_and_the_commit_that_it_lacks_is_made_again(
        self, cluster: RedisCluster, connect: Connect
    ) -> None:
        leader = cluster.nodes[0]
        replica = cluster.replica_of(leader)
        partition = next(p for p in range(100) if cluster.leader_of(PartitionKeys(p).cursor) is leader)
        store = RedisStore(connect(cluster))
        first, payload = block("a1", WINDOW, 0, 10)
        await store.put(partition, payload)
        assert await store.commit(partition, [generation(first)])
        replica.wait_replicated(leader)
        before = await store.directory(partition)

        cut_off(leader, replica)
        second, payload = block("b2", WINDOW, 10, 20)
        await store.put(partition, payload)
        assert await store.commit(partition, [generation(second)])
        seen = await store.directory(partition)
        assert seen.generation == 2
        await asyncio.to_thread(leader.kill)
        await asyncio.to_thread(replica.command, "CLUSTER", "FAILOVER", "TAKEOVER")

        store = RedisStore(connect(cluster, timeout_s=30))  # what was kept of the lost generation is of no use
        assert await store.directory(partition) == before
        with pytest.raises(UnavailableError, match="at generation 1, 2 was seen"):
            await store.directory(partition, at_least=seen.generation)
        await store.put(partition, payload)
        assert await store.commit(partition, [generation(second)])
        again = await store.directory(partition, at_least=seen.generation + 1)
        assert holds_the_same(again, seen)
        assert await store.fetch(second.keys) == list(payload.values)

        await asyncio.to_thread(cluster.start)  # the old leader comes back as a replica
        assert leader.command("ROLE")[0] == b"slave"
        assert await store.directory(partition) == again

    async def test_a_dead_node_stops_its_partitions_only(self, cluster: RedisCluster, connect: Connect) -> None:
        store = RedisStore(connect(cluster, timeout_s=1))
        dead = cluster.nodes[2]
        partitions = range(12)
        is_dead = [cluster.leader_of(PartitionKeys(p).cursor) is dead for p in partitions]
        for partition in partitions:
            await store.directory(partition)
        cluster.command("CONFIG", "SET", "cluster-require-full-coverage", "no")
        with dead.paused():
            for partition in partitions:
                if is_dead[partition]:
                    with pytest.raises(UnavailableError):
                        await store.directory(partition)
                    break
            for partition in partitions:
                if not is_dead[partition]:
                    await store.directory(partition)

        async def all_back() -> bool:
            try:
                return [(await store.directory(p)).generation for p in partitions] == [0] * 12
            except HeadraceError:
                return False

        async with asyncio.timeout(60):
            while not await all_back():  # noqa: ASYNC110  the nodes have to find one another again
                await asyncio.sleep(0.1)


def cut_off(leader: RedisServer, replica: RedisServer) -> None:
    """The replica gets nothing from here on: its link is ended, and a new one is refused."""
    leader.command("ACL", "SETUSER", "default", "-psync", "-sync")
    leader.command("CLIENT", "KILL", "TYPE", "REPLICA")
    assert replica.command("ROLE")[0] == b"slave"
