"""Settings that hold for every test."""

import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.cluster import Cluster
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


@pytest.fixture(scope="session")
def cluster(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two zones of one ingester each, two distributors, one querier: for tests that leave it running.

    Redis is its own: a cluster is all that a Redis holds. No canary adds to what tests count, and pushed groups are
    emitted every second.
    """
    folder = tmp_path_factory.mktemp("cluster")
    redis = RedisServer(folder / "redis", options={"maxmemory": "512mb"})
    made = Cluster(
        folder,
        kafka,
        redis,
        distributors=2,
        env={"HEADRACE_INGESTER__CANARY_S": "none", "HEADRACE_PUSH__INTERVAL_S": "1"},
    )
    with made.running(redis):
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails on the cluster shows what its processes said."""
    report = yield
    if report.failed and call.when != "teardown":
        used = getattr(item, "funcargs", {}).values()
        for cluster in {
            getattr(value, "cluster", value)
            for value in used
            if hasattr(value, "cluster") or isinstance(value, Cluster)
        }:
            report.sections.append(("cluster", cluster.output()))
    return report
