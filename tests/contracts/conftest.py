"""Each fixture is one seam, its parameters the implementations. A new one is added here and passes all of the suite."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from shared import faults
from tests.contracts.harness import (
    KafkaLogHarness,
    LocalLogHarness,
    LocalMembershipHarness,
    LocalRegistryHarness,
    LocalStoreHarness,
    LogHarness,
    MembershipHarness,
    MemoryStoreHarness,
    PartitionedLogHarness,
    RedisMembershipHarness,
    RedisRegistryHarness,
    RedisStoreHarness,
    RegistryHarness,
    StoreHarness,
)


@pytest.fixture(params=["local", "memory", "redis_server", "redis_cluster"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StoreHarness]:
    if request.param == "local":
        yield LocalStoreHarness(tmp_path)
        return
    if request.param == "memory":
        yield MemoryStoreHarness()
        return
    harness = RedisStoreHarness(request.getfixturevalue(request.param))
    yield harness
    await harness.close()


@pytest.fixture(params=["local", "partitioned", "kafka"])
def logs(request: pytest.FixtureRequest, tmp_path: Path) -> LogHarness:
    if request.param == "kafka":
        return KafkaLogHarness(request.getfixturevalue("kafka"))
    return {"local": LocalLogHarness, "partitioned": PartitionedLogHarness}[request.param](tmp_path)


@pytest.fixture(params=["local", "redis_server", "redis_cluster"])
async def registries(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RegistryHarness]:
    if request.param == "local":
        yield LocalRegistryHarness(tmp_path)
        return
    harness = RedisRegistryHarness(request.getfixturevalue(request.param))
    yield harness
    await harness.close()


@pytest.fixture(params=["local", "redis_server", "redis_cluster"])
async def memberships(request: pytest.FixtureRequest) -> AsyncIterator[MembershipHarness]:
    if request.param == "local":
        yield LocalMembershipHarness()
        return
    harness = RedisMembershipHarness(request.getfixturevalue(request.param))
    yield harness
    await harness.close()


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    faults.install(None)
