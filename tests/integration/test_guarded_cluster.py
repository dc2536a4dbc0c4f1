"""A cluster of which every connection is encrypted and every server asks for a password; its ingester has workers."""

import time
from collections.abc import Iterator

import pytest

from tests.support.cluster import START_S, Cluster, Role
from tests.support.kafka import PASSWORD, USER, Kafka
from tests.support.processes import fetch, points_of
from tests.support.redis import RedisServer
from tests.support.remote_write import some_samples

REDIS_PASSWORD = "redis-password-of-tests"


@pytest.fixture(scope="module")
def guarded(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("guarded")
    made = kafka.certificates  # of 127.0.0.1: every server can show them
    redis = RedisServer(folder / "redis", certificates=made, options={"requirepass": REDIS_PASSWORD})
    authority = str(made.authority)
    env = {
        "HEADRACE_KAFKA__BROKERS": kafka.secure_bootstrap,
        "HEADRACE_KAFKA__TLS": "true",
        "HEADRACE_KAFKA__CA_FILE": authority,
        "HEADRACE_KAFKA__SASL_MECHANISM": "PLAIN",
        "HEADRACE_KAFKA__SASL_USER": USER,
        "HEADRACE_KAFKA__SASL_PASSWORD": PASSWORD,
        "HEADRACE_REDIS__CA_FILE": authority,
        "HEADRACE_REDIS__PASSWORD": REDIS_PASSWORD,
        "HEADRACE_GRPC__CA_FILE": authority,
        "HEADRACE_GRPC__CERT_FILE": str(made.certificate),
        "HEADRACE_GRPC__KEY_FILE": str(made.key),
        "HEADRACE_INGESTER__CANARY_S": "1",
    }
    cluster = Cluster(folder, kafka, redis, zones=("a",), env=env)
    [ingester] = cluster.ingesters
    ingester.env = {**ingester.env, "HEADRACE_WORKERS": "2"}
    with cluster.running(redis):
        yield cluster


def test_what_is_written_is_read_from_heads_and_from_blocks(guarded: Cluster) -> None:
    tenant = guarded.fresh()
    assert tenant.write(some_samples()).status == 204
    before = tenant.query("up")
    assert len(before) == 3
    guarded.flush()
    assert tenant.query("up", time=before[0]["value"][0]) == before


def test_the_workers_of_an_ingester_share_the_partitions_and_write_the_canaries_of_theirs(guarded: Cluster) -> None:
    [ingester] = guarded.ingesters
    assert eventually(ingester, "headrace_ingester_partitions", 2) == {'{worker="0"}': 8, '{worker="1"}': 8}
    delays = eventually(ingester, "headrace_canary_delay_seconds", 16)
    workers = [labels.split('"')[1] for labels in delays]
    assert (workers.count("0"), workers.count("1")) == (8, 8)
    assert len({labels.split('"')[3] for labels in delays}) == 16


def test_nobody_shows_a_password(guarded: Cluster) -> None:
    for role in guarded.roles:
        page = fetch(role.base + "/config", headers={"X-Headrace-Admin": guarded.env["HEADRACE_ADMIN_TOKEN"]})
        for secret in (PASSWORD, REDIS_PASSWORD):
            assert secret not in role.output()
            assert secret not in page.body.decode()


def eventually(role: Role, metric: str, count: int) -> dict[str, float]:
    """The metric's points, once there are so many of them that are above 0."""
    end = time.monotonic() + START_S
    points: dict[str, float] = {}
    while len(points) != count or not all(points.values()):
        assert time.monotonic() < end, f"{metric}: {points}\n{role.output()[-3000:]}"
        time.sleep(0.1)
        points = points_of(role.base, metric)
    return points
