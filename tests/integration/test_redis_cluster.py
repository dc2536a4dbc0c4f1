"""A whole cluster on a Redis Cluster of three nodes: what is kept, and what becomes of damage done to log and store.

The last tests do harm that stays; the cluster is this module's own.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from shared.redis.keys import PartitionKeys
from tests.support.cluster import START_S, Cluster, Role, Tenant
from tests.support.kafka import Kafka
from tests.support.kafka_log import forged, put
from tests.support.processes import points_of
from tests.support.redis import RedisCluster
from tests.support.remote_write import some_samples


@pytest.fixture(scope="module")
def cluster(kafka: Kafka, redis_cluster: RedisCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    redis_cluster.flush()
    env = {"HEADRACE_REDIS__CLUSTER": "true", "HEADRACE_INGESTER__CANARY_S": "none"}
    made = Cluster(tmp_path_factory.mktemp("cluster"), kafka, redis_cluster, env=env)
    try:
        made.start()
        made.wait_ready()
        yield made
    finally:
        made.close()


@pytest.fixture
def tenant(cluster: Cluster) -> Tenant:
    return cluster.fresh()


def until(holds: Callable[[], bool], cluster: Cluster, *, timeout: float = START_S) -> None:
    end = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < end, cluster.output()
        time.sleep(0.1)


def fsck(cluster: Cluster) -> str:
    """What it says; it looks at log and store while they are used."""
    command = [sys.executable, "-m", "headrace", "fsck"]
    environment = {**os.environ, **cluster.env}
    checked = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert checked.returncode in {0, 1}, checked.stderr
    assert (checked.returncode == 0) == (checked.stdout.splitlines()[-1] == "no problems"), checked.stdout
    return checked.stdout


def test_all_of_it_and_a_node_that_restarts(cluster: Cluster, tenant: Tenant, redis_cluster: RedisCluster) -> None:
    assert tenant.write(some_samples()).status == 204
    before = tenant.query("up")
    assert len(before) == 3
    cluster.flush()
    at = before[0]["value"][0]
    assert tenant.query("up", time=at) == before
    assert "no problems" in fsck(cluster)
    for node in redis_cluster.nodes:
        node.kill()
        assert tenant.write(some_samples(4)).status == 204  # the log takes it
        redis_cluster.start()
    assert tenant.query("up", time=at) == before
    assert len(tenant.query("up")) == 4
    cluster.flush()
    assert len(tenant.query("up")) == 4
    report = fsck(cluster)
    assert "no problems" in report
    assert "offsets held" in report


def test_a_block_with_a_flipped_bit_fails_the_query_and_is_named(
    cluster: Cluster, tenant: Tenant, redis_cluster: RedisCluster
) -> None:
    known = payload_names(redis_cluster)
    assert tenant.write(some_samples(1)).status == 204
    at = tenant.query("up")[0]["value"][0]
    cluster.flush()
    [key] = {name for name in payload_names(redis_cluster) - known if name}
    node = redis_cluster.leader_of(key)
    value = bytearray(node.command("GET", key))
    value[len(value) // 2] ^= 1
    node.command("SET", key, bytes(value))
    restarted = cluster.queriers[0]  # it keeps roots that it has read
    assert restarted.stop() == 0
    restarted.start()
    restarted.wait_ready()
    until(lambda: tenant.get("/api/v1/query", query="up", time=at).status != 503, cluster)
    answer = tenant.get("/api/v1/query", query="up", time=at)
    assert answer.status == 500
    assert "is damaged" in answer.json()["error"]
    assert "is damaged: its checksum is another one" in fsck(cluster)
    value[len(value) // 2] ^= 1
    node.command("SET", key, bytes(value))
    assert len(tenant.query("up", time=at)) == 1


def test_a_cursor_beyond_the_end_of_the_log_keeps_its_partition_closed(
    cluster: Cluster, redis_cluster: RedisCluster
) -> None:
    cursor = PartitionKeys(7).cursor
    node = redis_cluster.leader_of(cursor)
    before = node.command("HGET", cursor, "replay_from") or b"0"
    node.command("HSET", cursor, "replay_from", 1_000_000)
    assert "partition 7: the store holds the log up to 1000000, but the log ends at" in fsck(cluster)
    role = cluster.ingesters[0]
    assert role.stop() == 0
    role.start()
    until(lambda: "the store contains partition 7 up to 1000000" in role.output(), cluster)
    assert role.missing() is not None
    node.command("HSET", cursor, "replay_from", before)
    role.wait_ready()  # it has tried all the while


def test_a_poison_record_is_kept_aside_and_passed(cluster: Cluster, tenant: Tenant, kafka: Kafka) -> None:
    partition = partition_of(cluster, tenant)
    [offset] = put(kafka, cluster.topic, partition, b"poison")
    for role in cluster.ingesters:
        until(lambda role=role: event(role, "damaged_records") >= 1, cluster)  # type: ignore[misc]
        assert role.metric("headrace_alarm") >= 1
        assert role.missing() is None
    assert tenant.write(some_samples(5)).status == 204
    assert len(tenant.query("up")) == 5
    cluster.flush()
    assert f"partition {partition}: the record at offset {offset} could not be decoded and lies aside" in fsck(cluster)


def test_a_record_of_a_future_format_stops_its_partition_and_no_other(
    cluster: Cluster, tenant: Tenant, kafka: Kafka
) -> None:
    partition = partition_of(cluster, tenant)
    other = cluster.fresh()
    while partition_of(cluster, other) == partition:
        other = cluster.fresh()
    put(kafka, cluster.topic, partition, forged(version=99, partition=partition))
    for role in cluster.ingesters:
        until(lambda role=role: f"{partition}: " in (role.missing() or ""), cluster)  # type: ignore[misc]
        assert "it has format 99, this build reads 1 to 2: start the release that wrote it" in str(role.missing())
    answer = tenant.get("/api/v1/query", query="up")
    assert answer.status == 503
    assert f"partition {partition}" in answer.json()["error"]
    assert tenant.write(some_samples(4)).status == 204  # kept until the upgrade
    assert len(other.query("up")) == 3


def payload_names(redis_cluster: RedisCluster) -> set[str]:
    return {name.decode() for node in redis_cluster.nodes for name in node.command("KEYS", "hr:{*.*}:*")}


def event(role: Role, name: str) -> float:
    return points_of(role.base, "headrace_ingester_events_total").get(f'{{event="{name}"}}', 0.0)


def partition_of(cluster: Cluster, tenant: Tenant) -> int:
    """Where the samples lie that it writes for an instance of one partition."""

    def applied() -> dict[str, float]:
        return points_of(cluster.ingesters[0].base, "headrace_ingester_applied_offset")

    before = applied()
    assert tenant.write(some_samples()).status == 204
    assert len(tenant.query("up")) == 3
    until(lambda: applied() != before, cluster)
    [moved] = [labels for labels, offset in applied().items() if offset != before[labels]]
    return int(moved.split('"')[1])
