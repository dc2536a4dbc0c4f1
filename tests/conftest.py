"""Settings that hold for every test."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.kafka import Kafka
from tests.support.redis import RedisCluster, RedisServer

# "ci" looks further; both are deterministic from the seed that a failure prints.
settings.register_profile("dev", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "ci", max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "dev")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """One broker for all tests of the session; who pauses it lets it go on."""
    cluster = Kafka(tmp_path_factory.mktemp("kafka"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One for all tests of the session; who uses it flushes it first and leaves it as it was."""
    server = RedisServer(tmp_path_factory.mktemp("redis"), options={"appendfsync": "everysec"})
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """Three nodes for all tests of the session, likewise."""
    cluster = RedisCluster(tmp_path_factory.mktemp("redis-cluster"), options={"appendfsync": "everysec"})
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()
