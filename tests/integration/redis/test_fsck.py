"""`headrace fsck` on Redis: a good store passes while it is used, and whatever is wrong is named."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kafka import TopicPartition

from headrace.fsck import CheckError, Report, check
from headrace.fsck.kafka import log_ends
from headrace.fsck.store import check_store, fixed
from headrace.settings import load
from shared.errors import UnavailableError
from shared.kafka.settings import KafkaSettings
from shared.kafka.topic import LOG, find
from shared.native import Files
from shared.redis.keys import PartitionKeys, payload_key
from shared.redis.registry import RedisRegistry
from shared.redis.store import RedisStore
from shared.seams.store import Payload, payload_keys
from tests.integration.redis.conftest import Connect
from tests.support.kafka import Kafka, topic_name
from tests.support.kafka_log import Topic
from tests.support.processes import free_port
from tests.support.redis import RedisCluster, RedisServer
from tests.support.redis_world import RedisWorld
from tests.support.world import PARTITIONS, series

T = 1_700_000_000_000
DAY_MS = 86_400_000

Servers = RedisServer | RedisCluster


@pytest.fixture(params=["redis_server", "redis_cluster"])
def servers(request: pytest.FixtureRequest) -> Servers:
    found: Servers = request.getfixturevalue(request.param)
    found.flush()
    return found


@pytest.fixture
async def world(servers: Servers, connect: Connect) -> AsyncIterator[RedisWorld]:
    """A few blocks of the one instance in the registry."""
    client = connect(servers)
    world = RedisWorld(Files.simulated(3), client=client)
    await world.start()
    registry = await RedisRegistry.open(client, partitions=PARTITIONS)
    assert await registry.create(world.tenant)
    await registry.close()
    for round_ in range(2):
        await world.write([series("m", (T + round_, 1.0), (T + 60_000 + round_, 2.0), job=f"j{n}") for n in range(12)])
        await world.ingester.flush()
    yield world
    await world.crash()


async def checked(servers: Servers, **more: str) -> Report:
    variables = {"REDIS__URL": servers.url, "REDIS__CLUSTER": str(servers.is_cluster), **more}
    settings = load(environment={f"HEADRACE_{name}": value for name, value in variables.items()}).settings
    return await asyncio.to_thread(check, settings)


def node_of(servers: Servers, key: str) -> RedisServer:
    return servers if isinstance(servers, RedisServer) else servers.leader_of(key)


def set_cursor(servers: Servers, partition: int, *, replay_from: int, through: int) -> None:
    keys = PartitionKeys(partition)
    node = node_of(servers, keys.cursor)
    node.command("HSET", keys.cursor, "replay_from", replay_from)
    for window in node.command("HKEYS", keys.through):
        node.command("HSET", keys.through, window, through)


async def first_key(world: RedisWorld) -> tuple[int, str]:
    """A partition with blocks, and the root of the first one."""
    for number in range(PARTITIONS):
        for blocks in (await world.store.directory(number)).manifests.values():
            return number, blocks[0].root_key
    raise AssertionError("there are no blocks")


class TestGood:
    async def test_passes(self, servers: Servers, world: RedisWorld) -> None:
        report = await checked(servers)
        assert report.problems == []
        assert "1 instances" in report.facts[0]
        directories = [await world.store.directory(number) for number in range(PARTITIONS)]
        blocks = sum(len(group) for directory in directories for group in directory.manifests.values())
        told = [fact.split(": ")[1] for fact in report.facts if " blocks, " in fact]
        assert sum(int(fact.split(" ")[0]) for fact in told) == blocks > 1, report.facts

    async def test_passes_while_it_is_written_and_merged(self, servers: Servers, world: RedisWorld) -> None:
        checking = asyncio.create_task(checked(servers))
        for round_ in range(8):
            await world.write([series("m", (T + 2 + round_, 1.0), job=f"j{n}") for n in range(12)])
            await world.ingester.flush()
            await world.ingester.maintain()
            world.clock.advance(61)  # then what was merged takes its place
        assert (await checking).problems == []
        assert world.ingester.stats().counters.compactions > 0
        report = await checked(servers)
        assert report.problems == []
        assert any("wait to be removed" in fact for fact in report.facts)

    async def test_changes_nothing(self, servers: Servers, world: RedisWorld) -> None:
        before = [await world.store.directory(number) for number in range(PARTITIONS)]
        await checked(servers)
        assert [await world.store.directory(number) for number in range(PARTITIONS)] == before
        assert node_of(servers, "hr:{store}:window").command("EXISTS", "hr:{store}:window") == 0


class TestDamage:
    async def test_a_flipped_bit(self, servers: Servers, world: RedisWorld) -> None:
        number, key = await first_key(world)
        node = node_of(servers, payload_key(key))
        stored = bytearray(node.command("GET", payload_key(key)))
        stored[len(stored) // 2] ^= 1
        node.command("SET", payload_key(key), bytes(stored))
        [problem] = (await checked(servers)).problems
        assert problem.startswith(f"partition {number}: block {key}: payload {key} is damaged")

    async def test_another_block_in_its_place(self, servers: Servers, world: RedisWorld) -> None:
        number, key = await first_key(world)
        await world.write([series("other", (T, 1.0), job=f"j{n}") for n in range(12)])
        await world.ingester.flush()
        other = (await world.store.directory(number)).manifests[world.tenant.uid][-1].root_key
        assert other != key
        value = node_of(servers, payload_key(other)).command("GET", payload_key(other))
        node_of(servers, payload_key(key)).command("SET", payload_key(key), value)
        problems = (await checked(servers)).problems
        assert any(f"block {key}: its samples have the digest" in problem for problem in problems)

    async def test_payload_that_is_missing(self, servers: Servers, world: RedisWorld) -> None:
        number, key = await first_key(world)
        node_of(servers, payload_key(key)).command("DEL", payload_key(key))
        assert (await checked(servers)).problems == [
            f"partition {number}: block {key}: payload {key} is not in the store"
        ]

    async def test_a_cursor_below_its_blocks(self, servers: Servers, world: RedisWorld) -> None:
        number, _ = await first_key(world)
        through = PartitionKeys(number).through
        node = node_of(servers, through)
        [window] = node.command("HKEYS", through)
        node.command("HSET", through, window, 1)
        problems = (await checked(servers)).problems
        assert problems
        assert all("which is stored up to 1" in problem for problem in problems)

    async def test_manifests_that_are_none(self, servers: Servers, world: RedisWorld) -> None:
        number, _ = await first_key(world)
        blocks = PartitionKeys(number).blocks(world.tenant.uid)
        node = node_of(servers, blocks)
        node.command("HSET", blocks, node.command("HKEYS", blocks)[0], b"\x01garbage")
        [problem] = (await checked(servers)).problems
        assert problem.startswith(f"partition {number}: {blocks} of the store holds no manifests")

    async def test_an_instance_that_does_not_exist(self, servers: Servers, world: RedisWorld, connect: Connect) -> None:
        registry = await RedisRegistry.open(connect(servers), partitions=PARTITIONS)
        assert await registry.delete(world.tenant)
        assert (await checked(servers)).problems == []  # its data is on its way out
        await registry.purged(world.tenant.uid)
        await registry.close()
        problems = (await checked(servers)).problems
        assert problems
        assert all("its instance does not exist" in problem for problem in problems)

    async def test_a_record_that_lies_aside(self, servers: Servers, world: RedisWorld) -> None:
        await world.store.keep_aside(2, 77, b"\xff", "no section")
        assert (await checked(servers)).problems == [
            "partition 2: the record at offset 77 could not be decoded and lies aside: no section"
        ]


class TestPayloadWithoutName:
    async def test_that_waits_is_told(self, servers: Servers, world: RedisWorld) -> None:
        await world.store.put(1, Payload(payload_keys("f" * 32, 3), (b"a", b"b", b"c")))
        report = await checked(servers)
        assert report.problems == []
        assert "partition 1: 3 values of payload wait to be removed" in report.facts

    async def test_that_nobody_removes_is_a_problem(self, servers: Servers, world: RedisWorld) -> None:
        await world.store.put(1, Payload(payload_keys("f" * 32, 1), (b"a",)))
        unnamed = PartitionKeys(1).unnamed
        node = node_of(servers, unnamed)
        since = int(node.command("HGET", unnamed, f"{'f' * 32}/0"))
        node.command("HSET", unnamed, f"{'f' * 32}/0", since - DAY_MS)
        [problem] = (await checked(servers)).problems
        assert "1 values of payload have had no name for a day" in problem

    @pytest.mark.usefixtures("world")
    async def test_that_is_on_no_list_is_found_among_all_keys(self, servers: Servers) -> None:
        stray = f"{'e' * 32}/17"
        node_of(servers, payload_key(stray)).command("SET", payload_key(stray), b"x")
        node_of(servers, "foreign").command("SET", "foreign", b"x")
        assert (await checked(servers)).problems == [f"payload {stray}: no manifest names it, and no list"]


class TestLog:
    async def test_offsets_are_compared_where_there_is_one(self, world: RedisWorld) -> None:
        directory = await world.store.directory(0)
        end = max([directory.replay_from, *directory.through.values()])
        for ends, expected in (
            ((0, end), []),
            ((directory.replay_from + 1, end), ["1 records that may hold what is not stored are gone"]),
            ((0, end - 1), ["it was replaced or cut"]),
        ):
            report = Report()
            await check_store(world.store, [0], known=None, ends=fixed(*ends), report=report)
            assert len(report.problems) == len(expected)
            assert all(text in problem for text, problem in zip(expected, report.problems, strict=True))


class TestKafka:
    """Against the log itself, on a real broker: `directory` says what the store contains, the topic what it holds."""

    @pytest.fixture
    async def log(self, kafka: Kafka, world: RedisWorld, servers: Servers, connect: Connect) -> str:
        """A topic of ten records in each partition, which is pinned as the log."""
        topic = await asyncio.to_thread(Topic, kafka, partitions=PARTITIONS)
        for number in range(PARTITIONS):
            await asyncio.to_thread(topic.put, number, *[b"x"] * 10)
            # The world has a log of its own; these lie within the topic.
            set_cursor(servers, number, replay_from=4, through=6)
        registry = await RedisRegistry.open(connect(servers), partitions=PARTITIONS)
        found = await asyncio.to_thread(find, topic.settings())
        assert found is not None
        assert await registry.pin(LOG, found.identity) == found.identity
        await registry.close()
        del world
        return topic.name

    async def test_cursors_within_the_log(self, kafka: Kafka, servers: Servers, log: str) -> None:
        report = await checked(servers, KAFKA__BROKERS=kafka.bootstrap, KAFKA__TOPIC=log)
        assert f"log: topic {log} of {PARTITIONS} partitions, {10 * PARTITIONS} offsets held" in report.facts
        assert not [problem for problem in report.problems if " the log" in problem]

    async def test_a_cursor_beyond_the_end(self, kafka: Kafka, servers: Servers, log: str) -> None:
        set_cursor(servers, 1, replay_from=4, through=11)
        report = await checked(servers, KAFKA__BROKERS=kafka.bootstrap, KAFKA__TOPIC=log)
        assert "partition 1: the store holds the log up to 11, but the log ends at 10: it was replaced or cut" in (
            report.problems
        )

    async def test_records_that_are_gone_before_they_were_stored(
        self, kafka: Kafka, servers: Servers, log: str
    ) -> None:
        with kafka.admin() as admin:
            await asyncio.to_thread(admin.delete_records, {TopicPartition(log, 2): 7})
        report = await checked(servers, KAFKA__BROKERS=kafka.bootstrap, KAFKA__TOPIC=log)
        assert [problem for problem in report.problems if "the log" in problem] == [
            "partition 2: replay begins at 4, the log at 7: 3 records that may hold what is not stored are gone"
        ]

    @pytest.mark.usefixtures("log")
    async def test_another_topic(self, kafka: Kafka, servers: Servers) -> None:
        other = topic_name()
        report = await checked(servers, KAFKA__BROKERS=kafka.bootstrap, KAFKA__TOPIC=other)
        assert any(f"log: there is no topic {other}" in problem for problem in report.problems)
        await asyncio.to_thread(kafka.create_topic, other, partitions=PARTITIONS)
        report = await checked(servers, KAFKA__BROKERS=kafka.bootstrap, KAFKA__TOPIC=other)
        assert any("is not the one that was the log of this cluster" in problem for problem in report.problems)

    async def test_brokers_that_do_not_answer(self, world: RedisWorld) -> None:
        settings = KafkaSettings((f"127.0.0.1:{free_port()}",), connect_s=0.5)
        with pytest.raises(UnavailableError, match="no Kafka broker answers"):
            async with log_ends(settings, world.registry, Report()):
                pass

    @pytest.mark.usefixtures("world")
    async def test_without_brokers_it_says_that_it_did_not_look(self, servers: Servers) -> None:
        assert any("for want of kafka.brokers" in fact for fact in (await checked(servers)).facts)


class TestCommand:
    async def test_says_so_by_its_exit_code(self, redis_server: RedisServer, connect: Connect, tmp_path: Path) -> None:
        redis_server.flush()
        empty = await asyncio.to_thread(fsck, tmp_path, redis_server.url)
        assert empty.returncode == 2
        assert "holds no cluster of Headrace" in empty.stderr
        client = connect(redis_server)
        registry = await RedisRegistry.open(client, partitions=2)
        good = await asyncio.to_thread(fsck, tmp_path, redis_server.url)
        assert (good.returncode, good.stdout.splitlines()[-1]) == (0, "no problems")
        await RedisStore(client).keep_aside(0, 5, b"x", "why")
        bad = await asyncio.to_thread(fsck, tmp_path, redis_server.url)
        assert bad.returncode == 1
        assert "PROBLEM partition 0: the record at offset 5" in bad.stdout
        await registry.close()

    async def test_names_a_redis_that_cannot_be_asked(self, tmp_path: Path) -> None:
        server = RedisServer(tmp_path / "redis", options={"requirepass": "s3cret"})
        server.start()
        try:
            settings = load(environment={"HEADRACE_REDIS__URL": server.url}).settings
            with pytest.raises(CheckError, match=f"127.0.0.1:{server.port} refuses the credentials"):
                await asyncio.to_thread(check, settings)
        finally:
            server.kill()


def fsck(folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headrace", "fsck", "--redis", url],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
