"""A cluster whose clocks are up to two minutes apart: promises hang on the order of the log, never on clocks."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.cluster import START_S, Cluster, Role
from tests.support.kafka import Kafka
from tests.support.processes import points_of
from tests.support.redis import RedisServer
from tests.support.remote_write import body

MINUTE_MS = 60_000
SERIES = 40


@pytest.fixture
def skewed(kafka: Kafka, tmp_path: Path) -> Iterator[Cluster]:
    """Zone b and the querier are a minute ahead of the machine's clock, which is Redis's and zone a's; of two
    distributors one is a minute ahead and one a minute behind.
    """
    env = {"HEADRACE_INGESTER__CANARY_S": "3600"}  # so that heads hold nothing else
    redis = RedisServer(tmp_path / "redis", options={"maxmemory": "512mb"})
    cluster = Cluster(tmp_path, kafka, redis, distributors=2, env=env)
    ahead, behind = cluster.distributors
    for role in (*cluster.of_zone("b"), *cluster.queriers, ahead):
        role.env = {**role.env, "HEADRACE_FAULTS": f"clock:ahead:{MINUTE_MS}"}
    behind.env = {**behind.env, "HEADRACE_FAULTS": f"clock:ahead:{-MINUTE_MS}"}
    with cluster.running(redis):
        yield cluster


def test_clocks_a_minute_apart_lose_nothing(skewed: Cluster) -> None:
    tenant = skewed.fresh()
    held = {role.name: role.metric("headrace_ingester_partitions") for role in skewed.ingesters}
    moves = {role.name: changes_of(role) for role in skewed.ingesters}
    written: list[tuple[int, int]] = []
    for round_ in range(4):
        for number in range(SERIES):
            at_ms = time.time_ns() // 1_000_000
            sample = ({"__name__": "skewed", "n": str(number)}, [(at_ms, float(round_))])
            assert tenant.write(body([sample])).status == 204
            written.append((number, at_ms))
        rows = tenant.query("skewed", time=at_ms / 1000)
        assert sorted(int(row["metric"]["n"]) for row in rows) == list(range(SERIES))
        if round_ == 1:
            settled(lambda: held_samples(skewed) == {2 * SERIES})
            skewed.flush()

    def count() -> float:
        [row] = tenant.query("sum(count_over_time(skewed[5m]))", time=time.time() + 1)
        return float(row["value"][1])

    assert count() == len(written) == 4 * SERIES
    # Zones hold the same, and either has all of it.
    settled(lambda: held_samples(skewed) == {2 * SERIES})
    for zone in ("a", "b"):
        [role] = skewed.of_zone(zone)
        with role.paused():
            assert count() == 4 * SERIES
    for role in skewed.ingesters:
        assert role.metric("headrace_ingester_partitions") == held[role.name]
        assert changes_of(role) == moves[role.name], role.output()[-3000:]
        assert role.metric("headrace_alarm") == 0
        events = points_of(role.base, "headrace_ingester_events_total")
        assert events['{event="digest_mismatches"}'] == events['{event="failures"}'] == 0


def held_samples(cluster: Cluster) -> set[float]:
    return {role.metric("headrace_head_samples") for role in cluster.ingesters}


def changes_of(role: Role) -> int:
    """How often partitions were begun, claimed or left."""
    return sum(role.output().count(f'"partition_{change}"') for change in ("begun", "claimed", "left", "dropped"))


def settled(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + START_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)
