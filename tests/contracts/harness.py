"""What a suite needs of an implementation besides the seam itself: to restart it, to damage it, to turn it back."""

import shutil
from pathlib import Path
from typing import Protocol

from shared.local.log import LocalLog
from shared.local.membership import LocalMembership
from shared.local.records import split_key
from shared.local.registry import LocalRegistry
from shared.local.store import LocalStore
from shared.native import Files, Splitter
from shared.native import LocalLog as NativeLog
from shared.redis.client import Client
from shared.redis.keys import LEASES, MEMBERS, payload_key
from shared.redis.membership import RedisMembership
from shared.redis.registry import RedisRegistry
from shared.redis.settings import parse_url
from shared.redis.store import RedisStore
from shared.seams.log import Log
from shared.seams.membership import Membership
from shared.seams.registry import Registry
from shared.seams.store import BlockStore
from tests.support.clock import FakeClock
from tests.support.kafka import Kafka, topic_name
from tests.support.memory_store import MemoryStore
from tests.support.partitioned_log import PartitionedLog
from tests.support.redis import RedisCluster, RedisServer

PARTITIONS = 4


class StoreHarness(Protocol):
    def open(self) -> BlockStore:
        """The store as a process would find it that starts now; the one opened before was closed or has died."""
        ...

    def copy(self) -> object:
        """All that is stored, while no store is open."""
        ...

    def restore(self, copy: object) -> None: ...

    def damage(self, key: str) -> None:
        """Changes a byte of a stored value."""
        ...

    def lose(self, key: str) -> None:
        """Removes a stored value behind the store's back, with others perhaps."""
        ...


class LogHarness(Protocol):
    splitter: Splitter

    def open(self) -> Log: ...


class RegistryHarness(Protocol):
    async def open(self) -> Registry: ...


class MembershipHarness(Protocol):
    """All that it opens share one state, as the processes of a cluster do."""

    async def open(self) -> Membership: ...

    async def pass_time(self, ms: int) -> None:
        """What stands gets so much older."""
        ...


class LocalStoreHarness:
    def __init__(self, folder: Path) -> None:
        self._folder = folder / "store"
        self._copies = 0

    def open(self) -> LocalStore:
        return LocalStore.open(Files.real(), str(self._folder))

    def copy(self) -> object:
        self._copies += 1
        return shutil.copytree(self._folder, self._folder.with_name(f"copy-{self._copies}"))

    def restore(self, copy: object) -> None:
        assert isinstance(copy, Path)
        shutil.rmtree(self._folder)
        shutil.copytree(copy, self._folder)

    def damage(self, key: str) -> None:
        [path] = self._pack(key)
        stored = bytearray(path.read_bytes())
        stored[-1] ^= 1
        path.write_bytes(stored)

    def lose(self, key: str) -> None:
        [path] = self._pack(key)
        path.unlink()

    def _pack(self, key: str) -> list[Path]:
        return [path for path in (self._folder / "packs").iterdir() if path.name.startswith(split_key(key)[0])]


class MemoryStoreHarness:
    def __init__(self) -> None:
        self._store = MemoryStore(FakeClock())

    def open(self) -> MemoryStore:
        return self._store

    def copy(self) -> object:
        return self._store.snapshot()

    def restore(self, copy: object) -> None:
        self._store.turn_back(copy)  # type: ignore[arg-type]

    def damage(self, key: str) -> None:
        self._store.damage(key)

    def lose(self, key: str) -> None:
        self._store.lose(key)


class RedisHarness:
    """On a real server or cluster, emptied first."""

    def __init__(self, servers: RedisServer | RedisCluster) -> None:
        self._servers = servers
        self._nodes = [servers] if isinstance(servers, RedisServer) else servers.nodes
        self._clients: list[Client] = []
        servers.flush()

    async def close(self) -> None:
        for client in self._clients:
            await client.close()

    def _client(self) -> Client:
        client = Client(parse_url(self._servers.url, is_cluster=self._servers.is_cluster))
        self._clients.append(client)
        return client

    def _node_of(self, key: str) -> RedisServer:
        return self._servers if isinstance(self._servers, RedisServer) else self._servers.leader_of(key)


class RedisStoreHarness(RedisHarness):
    def open(self) -> RedisStore:
        return RedisStore(self._client())

    def copy(self) -> object:
        return [[(key, node.command("DUMP", key)) for key in node.command("KEYS", "*")] for node in self._nodes]

    def restore(self, copy: object) -> None:
        assert isinstance(copy, list)
        self._servers.flush()
        for node, keys in zip(self._nodes, copy, strict=True):
            for key, dump in keys:
                node.command("RESTORE", key, 0, dump)

    def damage(self, key: str) -> None:
        name = payload_key(key)
        node = self._node_of(name)
        stored = bytearray(node.command("GET", name))
        stored[-1] ^= 1
        node.command("SET", name, bytes(stored))

    def lose(self, key: str) -> None:
        name = payload_key(key)
        assert self._node_of(name).command("DEL", name) == 1


class RedisRegistryHarness(RedisHarness):
    """Looks so seldom for what others changed that a test only sees it when it asks."""

    def __init__(self, servers: RedisServer | RedisCluster) -> None:
        super().__init__(servers)
        self._registries: list[RedisRegistry] = []

    async def open(self) -> RedisRegistry:
        registry = await RedisRegistry.open(self._client(), partitions=PARTITIONS, poll_s=3600)
        self._registries.append(registry)
        return registry

    async def close(self) -> None:
        for registry in self._registries:
            await registry.close()
        await super().close()


class RedisMembershipHarness(RedisHarness):
    async def open(self) -> RedisMembership:
        return RedisMembership(self._client())

    async def pass_time(self, ms: int) -> None:
        """Moves what is stored into the past: the server's clock is nobody's to move."""
        for key in (MEMBERS, LEASES):
            node = self._node_of(key)
            found = node.command("HGETALL", key)
            for name, value in zip(found[::2], found[1::2], strict=True):
                expires, since, rest = value.split(b" ", 2)
                node.command("HSET", key, name, b"%d %d %s" % (int(expires) - ms, int(since) - ms, rest))


class LocalLogHarness:
    def __init__(self, folder: Path) -> None:
        self._folder = folder / "log"
        self.splitter = Splitter(secret=b"s" * 16, partitions=PARTITIONS)

    def open(self) -> LocalLog:
        return LocalLog(NativeLog.open(Files.real(), str(self._folder), splitter=self.splitter))


class KafkaLogHarness:
    """A topic of its own; what it needs of kafka-python is imported by those who use it."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self.splitter = Splitter(secret=b"s" * 16, partitions=PARTITIONS)
        self.topic = topic_name()
        kafka.create_topic(self.topic, partitions=PARTITIONS)

    def open(self) -> Log:
        from shared.kafka.log import KafkaLog
        from shared.kafka.settings import KafkaSettings

        return KafkaLog(KafkaSettings(brokers=(self._kafka.bootstrap,), topic=self.topic), self.splitter)


class PartitionedLogHarness:
    """What tests of the ingester run on behaves as a log shall."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "logs"
        self.splitter = Splitter(secret=b"s" * 16, partitions=PARTITIONS)

    def open(self) -> PartitionedLog:
        return PartitionedLog(Files.real(), str(self._folder), self.splitter, PARTITIONS)


class LocalRegistryHarness:
    def __init__(self, folder: Path) -> None:
        self._path = folder / "registry.journal"

    async def open(self) -> LocalRegistry:
        return LocalRegistry.open(Files.real(), str(self._path), partitions=PARTITIONS)


class LocalMembershipHarness:
    def __init__(self) -> None:
        self._clock = FakeClock()
        self._membership = LocalMembership(self._clock)

    async def open(self) -> LocalMembership:
        return self._membership

    async def pass_time(self, ms: int) -> None:
        self._clock.advance(ms / 1000)
