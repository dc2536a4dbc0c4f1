"""What only a cluster has: many processes that start and end, tell one another, and refuse what would lose samples."""

import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import CHANGE_S, START_S, Cluster, Role, Tenant, within_change
from tests.support.kafka import Kafka, topic_name
from tests.support.processes import ADMIN_TOKEN, APP_ID, TOKEN, Api, fetch, free_port, points_of
from tests.support.redis import RedisServer
from tests.support.remote_write import body, some_samples


@pytest.fixture
def tenant(cluster: Cluster) -> Tenant:
    return cluster.fresh()


def process_as(role: Role, tenant: Api) -> Api:
    """One process without the gateway, with a tenant's credentials."""
    api = Api()
    api.base, api.app_id, api.token = role.base, tenant.app_id, tenant.token
    return api


def numbered(name: str, first: int, count: int, at_ms: int) -> bytes:
    series = [
        ({"__name__": name, "n": str(number)}, [(at_ms, float(number))]) for number in range(first, first + count)
    ]
    return body(series)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


# ---- starting together ----


def test_every_process_knows_the_instance_that_all_of_them_made(cluster: Cluster) -> None:
    names = [instance["app_id"] for instance in cluster.administer("GET", "/instances").json()["data"]]
    assert names.count(APP_ID) == 1
    for role in [*cluster.distributors, *cluster.queriers]:
        answer = fetch(role.base + "/config", headers={"X-Headrace-Admin": ADMIN_TOKEN})
        assert answer.status == 200
        assert TOKEN.encode() not in answer.body
        known = fetch(f"{role.base}/api/v1/admin/instances/{APP_ID}", headers={"X-Headrace-Admin": ADMIN_TOKEN})
        assert known.json()["data"]["app_id"] == APP_ID
    for role in cluster.ingesters:
        answer = fetch(role.base + "/api/v1/admin/instances", headers={"X-Headrace-Admin": ADMIN_TOKEN})
        assert answer.status == 404


def test_every_role_serves_probes_and_metrics_and_says_that_its_log_has_one_copy(cluster: Cluster) -> None:
    for role in cluster.roles:
        ready = fetch(role.base + "/ready")
        assert ready.status == 200
        assert any("one copy" in note or "replica" in note for note in ready.json()["notes"]), ready.body
        assert fetch(role.base + "/healthz").status == 200
        assert b"headrace_build_info{" in fetch(role.base + "/metrics").body
        assert f'"role": "{role.role}", "name": "{role.name}"' in role.output()


def test_every_process_counts_what_it_does(cluster: Cluster, tenant: Tenant) -> None:
    assert tenant.write(some_samples()).status == 204
    assert len(tenant.query("up")) == 3
    assert cluster.metric("headrace_received_samples_total", "distributor") >= 3
    for name in ("headrace_kafka_records_total", "headrace_kafka_bytes_total", "headrace_redis_commands_total"):
        assert cluster.metric(name, "distributor") > 0, name
    for name in ("headrace_rpc_calls_total", "headrace_kafka_lookups_total", "headrace_queries_total"):
        assert cluster.metric(name, "querier") > 0, name
    for zone in ("a", "b"):
        [ingester] = cluster.of_zone(zone)
        assert ingester.metric("headrace_ingester_partitions") == 16
        assert ingester.metric("headrace_ingester_replays") == 0
        assert ingester.metric("headrace_head_samples") >= 3
        assert ingester.metric("headrace_ingester_replay_age_seconds") > 0
    assert cluster.metric("headrace_instances", "querier") >= 2


def test_an_analysis_names_the_replica_that_answered_for_each_partition(tenant: Tenant) -> None:
    assert tenant.write(some_samples()).status == 204
    answer = tenant.get("/api/v1/query", query="count(up)", explain="analyze").json()
    assert answer["data"]["result"][0]["value"][1] == "3"
    heads = answer["data"]["explain"]["selects"][0]["took"]["sources"]["heads"]
    assert heads["partitions"]
    assert all(head["replica"].startswith("127.0.0.1:") for head in heads["partitions"])


# ---- instances ----


def test_instances_that_write_at_once_never_see_each_other(cluster: Cluster) -> None:
    tenants = [cluster.fresh() for _ in range(4)]
    at_ms = now_ms()
    failures: list[object] = []

    def write(number: int) -> None:
        for part in range(10):
            answer = tenants[number].write(numbered("shared_name", 100 * number + 10 * part, 10, at_ms))
            if answer.status != 204:
                failures.append(answer)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(len(tenants))]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not failures
    for flushed in (False, True):
        if flushed:
            cluster.flush()
        for number, tenant in enumerate(tenants):
            rows = tenant.query("shared_name", time=at_ms / 1000)
            found = sorted(int(row["metric"]["n"]) for row in rows)
            assert found == list(range(100 * number, 100 * number + 100))


def test_a_deleted_name_that_comes_back_starts_empty(cluster: Cluster) -> None:
    name = f"again-{secrets.token_hex(4)}"
    tenants = []
    for _ in range(2):
        tenant = cluster.create(name)
        assert tenant.query("up") == []
        assert tenant.write(some_samples()).status == 204
        assert len(tenant.query("up")) == 3
        tenants.append(tenant)
        assert cluster.administer("DELETE", f"/instances/{name}").status == 200
    for tenant in tenants:
        within_change(lambda tenant=tenant: tenant.get("/api/v1/query", query="1"), 401)


def test_a_change_holds_in_every_process_within_seconds(cluster: Cluster, tenant: Tenant) -> None:
    writing = [process_as(role, tenant) for role in cluster.distributors]
    asking = [process_as(role, tenant) for role in cluster.queriers]
    for api in writing:
        assert api.write(some_samples()).status == 204
    tenant.set_limits(max_labels=1, max_query_points=5)
    for api in writing:
        within_change(lambda api=api: api.write(some_samples()), 400)
    for api in asking:
        within_change(lambda api=api: api.get("/api/v1/query_range", query="1", start=0, end=10, step=1), 400)
    answer = tenant.administer("POST", f"/instances/{tenant.app_id}/token", {})
    fresh = Tenant(cluster, tenant.app_id, answer.json()["data"]["token"])
    fresh.set_limits(max_labels=64)
    for role in cluster.distributors:
        within_change(lambda role=role: process_as(role, tenant).write(some_samples()), 401)
        within_change(lambda role=role: process_as(role, fresh).write(some_samples()), 204)
    for role in cluster.queriers:
        within_change(lambda role=role: process_as(role, tenant).get("/api/v1/query", query="1"), 401)
        within_change(lambda role=role: process_as(role, fresh).get("/api/v1/query", query="1"), 200)


def test_the_limit_of_series_refuses_new_ones_and_no_others(cluster: Cluster) -> None:
    tenant = cluster.create(f"small-{secrets.token_hex(4)}", max_series=100)
    at_ms = now_ms()
    first, second = (process_as(role, tenant) for role in cluster.distributors)
    refused = first.write(numbered("m", 0, 200, at_ms))
    assert refused.status == 400
    assert b"refused 100, stored 100 samples; 100 series_limit" in refused.body
    held = [row["metric"]["n"] for row in tenant.query("m", time=at_ms / 1000)]
    assert len(held) == 100
    known = body([({"__name__": "m", "n": n}, [(at_ms + 1, 1.0)]) for n in held])
    for api in (first, second):
        refused = api.write(numbered("m", 1000, 50, at_ms + 1))
        assert refused.status == 400
        assert b"refused 50, stored 0 samples; 50 series_limit" in refused.body
        assert api.write(known).status == 204
        assert b'"series_limit"' in api.get("/api/v1/status/rejections").body
    assert {row["metric"]["n"] for row in tenant.query("m", time=at_ms / 1000 + 1)} == set(held)
    tenant.set_limits(max_series=200)
    within_change(lambda: first.write(numbered("m", 1000, 50, at_ms + 2)), 204)


def test_every_distributor_tells_what_any_of_them_refused(cluster: Cluster, tenant: Tenant) -> None:
    writing = [process_as(role, tenant) for role in cluster.distributors]
    nameless = body([({"job": "x"}, [(now_ms(), 1.0)])])
    for times, api in enumerate(writing, 1):
        for _ in range(times):
            assert api.write(nameless).status == 400

    def told(api: Api) -> list[tuple[str, int]]:
        rows = api.get("/api/v1/status/rejections").json()["data"]
        return [(row["reason"], row["samples"]) for row in rows]

    end = time.monotonic() + CHANGE_S
    expected = [("missing_name", sum(range(len(writing) + 1)))]
    while any(told(api) != expected for api in writing):
        assert time.monotonic() < end, [told(api) for api in writing]
        time.sleep(0.05)
    assert told(process_as(cluster.distributors[0], cluster.fresh())) == []


# ---- processes that end ----


def test_one_zone_answers_for_the_other(cluster: Cluster, tenant: Tenant) -> None:
    assert tenant.write(some_samples()).status == 204
    before = tenant.query("up")
    assert len(before) == 3
    at = before[0]["value"][0]
    for zone in ("a", "b"):
        for role in cluster.of_zone(zone):
            role.kill()
        within_change(lambda: tenant.get("/api/v1/query", query="up", time=at), 200)
        assert tenant.query("up", time=at) == before
        assert tenant.write(some_samples(5)).status == 204
        assert len(tenant.query("up")) == 5
        cluster.start()
        cluster.wait_ready()


def test_without_ingesters_a_query_fails_and_names_what_is_missing(cluster: Cluster, tenant: Tenant) -> None:
    assert tenant.write(some_samples()).status == 204
    at = tenant.query("up")[0]["value"][0]
    for role in cluster.ingesters:
        role.kill()
    try:
        [querier] = cluster.queriers
        answer = process_as(querier, tenant).get("/api/v1/query", query="up", time=at)
        assert answer.status == 503
        assert b"partition" in answer.body
        partial = process_as(querier, tenant).get("/api/v1/query", query="up", time=at, partial_response="true")
        assert partial.status == 200
        assert any("partition" in warning for warning in partial.json()["warnings"])
    finally:
        cluster.start()
        cluster.wait_ready()
    assert len(tenant.query("up", time=at)) == 3


@pytest.mark.parametrize("kind", ["distributor", "querier", "ingester"])
def test_sigterm_ends_every_role_in_order(cluster: Cluster, tenant: Tenant, kind: str) -> None:
    assert tenant.write(some_samples()).status == 204
    role = next(role for role in cluster.roles if role.role == kind)
    try:
        assert role.stop(timeout=90) == 0
        assert "Traceback" not in role.output()
        assert '"event": "stopped"' in role.output()
    finally:
        cluster.start()
        cluster.wait_ready()
    assert len(tenant.query("up")) == 3


def test_an_ingester_ends_although_log_and_store_are_gone(
    kafka: Kafka, redis: RedisServer, cluster: Cluster, tmp_path: Path
) -> None:
    """Its drain is given up after `drain_s`, and nothing after it waits for long."""
    redis.start()
    env = {**cluster.env, "HEADRACE_REDIS__URL": redis.url, "HEADRACE_KAFKA__TOPIC": topic_name()}
    env |= {"HEADRACE_INGESTER__CANARY_S": "1", "HEADRACE_DRAIN_S": "1"}
    role = Role("ingester", "i", tmp_path, env, "--grpc-listen", f"127.0.0.1:{free_port()}")
    role.start()
    try:
        role.wait_ready()
        with kafka.brokers[0].paused(), redis.paused():
            assert role.stop(timeout=START_S) == 0
    finally:
        role.kill()
    assert '"event": "drain_incomplete"' in role.output()
    assert '"event": "stop_took_too_long"' not in role.output()


# ---- what is refused at the start ----


def ended(role: Role, *, timeout: float = START_S) -> tuple[int, str]:
    """Exit code and output of a process that ends by itself."""
    role.start()
    assert role.child is not None
    try:
        return role.child.wait(timeout), role.output()
    except subprocess.TimeoutExpired:
        raise AssertionError(f"it goes on: {role.missing()}\n{role.output()[-3000:]}") from None
    finally:
        role.kill()


def test_two_ingesters_of_one_name(cluster: Cluster) -> None:
    original = cluster.ingesters[0]
    double = Role(
        "ingester", original.name, cluster.folder / "double", cluster.env, "--grpc-listen", f"127.0.0.1:{free_port()}"
    )
    code, output = ended(double)
    assert code == 2
    assert f"the name {original.name} is taken by the process at" in output
    assert "give this one another name" in output
    assert original.is_running


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    try:
        yield server
    finally:
        server.kill()


def test_an_ingester_writes_canaries_and_stops_in_order(redis: RedisServer, cluster: Cluster, tmp_path: Path) -> None:
    redis.start()
    env = {**cluster.env, "HEADRACE_REDIS__URL": redis.url, "HEADRACE_KAFKA__TOPIC": topic_name()}
    env["HEADRACE_INGESTER__CANARY_S"] = "1"
    role = Role("ingester", "i", tmp_path, env, "--grpc-listen", f"127.0.0.1:{free_port()}")
    role.start()
    try:
        role.wait_ready()
        end = time.monotonic() + START_S
        while len(delays := points_of(role.base, "headrace_canary_delay_seconds")) < 16:
            assert time.monotonic() < end, delays
            time.sleep(0.05)
        assert delays.keys() == {f'{{partition="{number}"}}' for number in range(16)}
        assert role.metric("headrace_conflicting_samples_total") == 0
        assert role.stop(timeout=60) == 0
    finally:
        role.kill()
    assert "drain_incomplete" not in role.output()
    assert "Traceback" not in role.output()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"maxmemory-policy": "allkeys-lru"}, "CONFIG SET maxmemory-policy noeviction"),
        ({"appendonly": "no"}, "redis.allow_unpersisted_store"),
    ],
)
def test_a_redis_that_would_lose_blocks(
    cluster: Cluster, options: dict[str, str], message: str, tmp_path: Path
) -> None:
    server = RedisServer(tmp_path / "redis", options=options)
    try:
        server.start()
        env = {**cluster.env, "HEADRACE_REDIS__URL": server.url}
        code, output = ended(Role("querier", "q", tmp_path, env))
    finally:
        server.kill()
    assert code == 2
    assert message in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("partitions", "configs", "message"),
    [
        (3, {}, "partitions"),
        (16, {"cleanup.policy": "compact"}, "cleanup.policy"),
        (16, {"retention.ms": "60000"}, "retention"),
    ],
)
def test_a_topic_that_is_mis_set(
    kafka: Kafka,
    redis: RedisServer,
    cluster: Cluster,
    tmp_path: Path,
    partitions: int,
    configs: dict[str, str],
    message: str,
) -> None:
    topic = topic_name()
    kafka.create_topic(topic, partitions=partitions, configs=configs)
    redis.start()
    env = {**cluster.env, "HEADRACE_REDIS__URL": redis.url, "HEADRACE_KAFKA__TOPIC": topic}
    code, output = ended(Role("distributor", "d", tmp_path, env))
    assert code == 2
    assert message in output
    assert topic in output
    assert "Traceback" not in output


def test_a_log_without_copies_has_to_be_allowed(redis: RedisServer, cluster: Cluster, tmp_path: Path) -> None:
    redis.start()
    env = {**cluster.env, "HEADRACE_REDIS__URL": redis.url, "HEADRACE_KAFKA__TOPIC": topic_name()}
    env["HEADRACE_KAFKA__ALLOW_UNREPLICATED_LOG"] = "false"
    code, output = ended(Role("ingester", "i", tmp_path, env, "--grpc-listen", f"127.0.0.1:{free_port()}"))
    assert code == 2
    assert "allow_unreplicated_log" in output


def test_a_store_that_knows_nothing_of_what_the_log_holds(
    redis: RedisServer, cluster: Cluster, tenant: Tenant, tmp_path: Path
) -> None:
    """Instances of another cluster have written it: their samples could be neither read nor removed."""
    assert tenant.write(some_samples()).status == 204
    redis.start()
    code, output = ended(Role("distributor", "d", tmp_path, {**cluster.env, "HEADRACE_REDIS__URL": redis.url}))
    assert code == 2
    assert f"the topic {cluster.topic} holds records, and Redis knows of none" in output
    assert "Traceback" not in output


def test_another_topic_than_the_one_that_the_store_speaks_of(cluster: Cluster, tmp_path: Path) -> None:
    env = {**cluster.env, "HEADRACE_KAFKA__TOPIC": topic_name()}
    code, output = ended(Role("querier", "q", tmp_path, env))
    assert code == 2
    assert "is not the one that was the log of this cluster" in output
    assert "Traceback" not in output
