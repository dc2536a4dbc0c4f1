"""Debian's Pushgateway beside us: the same pushes to both, then their groups and what a scrape gets of them compared.

It is 1.5.1: it checks a push against all that it holds, so the pushes here give each family one type, and none of their
own labels the name of a grouping label of others.
"""

import gzip
import json
import random
import subprocess
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import (
    CollectorRegistry,
    Gauge,
    Histogram,
    delete_from_gateway,
    push_to_gateway,
    pushadd_to_gateway,
)
from prometheus_client.exposition import basic_auth_handler
from prometheus_client.parser import text_string_to_metric_families

from tests.support.cluster import Cluster
from tests.support.java_client import JavaClient
from tests.support.processes import APP_ID, TOKEN, Answer, Api, Headrace, Process, fetch, free_port
from tests.support.served import Served
from tests.support.tools import tool

PUSHES = 400
SEED = 20260

OWN = ("go_", "process_", "promhttp_", "pushgateway_", "push_time_seconds", "push_failure_time_seconds")

Samples = dict[tuple[tuple[str, str], ...], float]


class Gateway(Process):
    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        super().__init__([tool("prometheus-pushgateway"), f"--web.listen-address=127.0.0.1:{self.port}"], folder)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    process = Gateway(tmp_path_factory.mktemp("gateway"))
    try:
        process.start()
        process.wait_until(process.base + "/-/ready")
        yield process
    finally:
        process.kill()


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headrace]:
    process = Headrace(tmp_path_factory.mktemp("headrace"), env={"HEADRACE_PUSH__INTERVAL_S": "1"})
    try:
        process.start()
        process.wait_ready()
        yield process
    finally:
        process.kill()


class Pushes:
    """Pushes as batch jobs might send them, some of them wrong."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def path(self) -> str:
        choose = self._random.choice
        path = choose(["/metrics/job/", "/metrics/job/", "/metrics/job@base64/"])
        path += choose({"/metrics/job/": ["a", "b", "c%20d"]}.get(path, ["YQ==", "YQ", "Yg"]))
        if self._random.random() < 0.5:
            path += choose(
                ["/instance/x", "/instance@base64/eA", "/instance/y", "/path@base64/L3Zhci90bXA=", "/zone/%C3%A9"]
            )
        if self._random.random() < 0.04:
            path += choose(["/odd", "/9x/1", "/__a/1", "/a@base64/*"])
        return path

    def body(self) -> bytes:
        lines = [
            line
            for family in self._random.sample(range(6), self._random.randint(0, 4))
            for line in self._family(family)
        ]
        if self._random.random() < 0.1:
            wrong = [
                "bad",
                "bad x",
                'bad{a="b"',
                "bad 1 1000",
                "9bad 1",
                'bad{a="1",a="2"} 1',
                "twice 1\ntwice 1",
                "# TYPE bad none",
            ]
            lines.append(self._random.choice(wrong))
        return "".join(f"{line}\n" for line in lines).encode()

    def _family(self, number: int) -> list[str]:
        value = lambda: self._random.choice(["0", "1", "-2.5", "1e6", "123456789", "+Inf", "1e-7", "0.1"])  # noqa: E731
        rows = self._random.sample(["1", "2", 'a\\"b\\\\c', "é"], self._random.randint(1, 3))
        match number:
            case 0:
                return ["# HELP gauge A gauge.", "# TYPE gauge gauge", *(f'gauge{{n="{n}"}} {value()}' for n in rows)]
            case 1:
                return ["# TYPE count_total counter", f"count_total {abs(float(value()))}".replace("inf", "+Inf")]
            case 2:
                return [f'plain{{n="{n}",job="mine"}} {value()}' for n in rows]
            case 3:
                heads = ["# HELP latency With \\\\ and \\n in it.", "# TYPE latency histogram"]
                return heads + [
                    line
                    for n in rows
                    for line in (
                        f'latency_bucket{{n="{n}",le="0.5"}} 1',
                        f'latency_bucket{{n="{n}",le="1"}} 2',
                        f'latency_bucket{{n="{n}",le="1000000"}} 3000000',
                        *([f'latency_bucket{{n="{n}",le="+Inf"}} 4000000'] if self._random.random() < 0.7 else []),
                        f'latency_sum{{n="{n}"}} 5.5',
                        f'latency_count{{n="{n}"}} 4000000',
                    )
                ]
            case 4:
                return [
                    "# TYPE size summary",
                    'size{quantile="0.5"} 3',
                    'size{quantile="0.99"} 9',
                    "size_sum 12",
                    "size_count 4",
                ]
            case _:
                return ["# TYPE nan gauge", "nan NaN"]

    def method(self) -> str:
        return self._random.choices(["PUT", "POST", "DELETE"], [5, 4, 1])[0]

    def is_packed(self) -> bool:
        return self._random.random() < 0.2


def test_several_hundred_pushes_leave_the_same_groups(gateway: Gateway, standalone: Headrace) -> None:
    pushes = Pushes(SEED)
    statuses: dict[int, int] = {}
    for number in range(PUSHES):
        method, path = pushes.method(), pushes.path()
        body = b"" if method == "DELETE" else pushes.body()
        packed = {"Content-Encoding": "gzip"} if body and pushes.is_packed() else {}
        data = gzip.compress(body) if packed else body
        ours = fetch(standalone.base + path, method=method, data=data, headers={**standalone.bearer, **packed})
        theirs = fetch(gateway.base + path, method=method, data=data, headers=packed)
        what = f"seed {SEED}, push {number}: {method} {path} {body!r}"
        assert ours.status == theirs.status, (what, ours.body, theirs.body)
        if theirs.body.startswith(b"text format parsing error"):
            assert ours.body == theirs.body, what
        statuses[ours.status] = statuses.get(ours.status, 0) + 1
        if number % 50 == 49:
            assert groups_of(standalone) == groups_of(gateway), what
    assert min(statuses[200], statuses[202], statuses[400]) >= 10, statuses
    assert exposition(fetch(standalone.base + "/api/v1/push/metrics", headers=standalone.bearer)) == exposition(
        fetch(gateway.base + "/metrics")
    )
    expected, end = exposed(gateway), time.monotonic() + 30
    while (found := scraped(standalone)) != expected and time.monotonic() < end:
        time.sleep(0.2)  # markers of what has gone come with the next emission
    assert found == expected


def groups_of(server: Gateway | Headrace) -> list[Any]:
    """Without times, sorted by their labels."""
    if isinstance(server, Gateway):
        answer = fetch(server.base + "/api/v1/metrics")
    else:
        answer = server.get("/api/v1/push/groups")
    assert answer.status == 200, answer.body
    groups = answer.json()["data"]
    for group in groups:
        for name, family in group.items():
            if name in {"labels", "last_push_successful"}:
                continue
            del family["time_stamp"]
            family["metrics"].sort(key=lambda metric: sorted(metric["labels"].items()))
            for metric in family["metrics"]:
                if name.startswith("push_") and metric["value"] != "0":
                    metric["value"] = "some time"
    return sorted(groups, key=lambda group: sorted(group["labels"].items()))


def exposition(answer: Answer) -> list[str]:
    """Lines, except of families that a gateway has itself."""
    lines = answer.body.decode().splitlines()
    return sorted(line for line in lines if not line.split("# HELP ")[-1].split("# TYPE ")[-1].startswith(OWN))


def exposed(gateway: Gateway) -> dict[str, Samples]:
    """What a scrape with honor_labels stores, by metric name."""
    found: dict[str, Samples] = {}
    text = fetch(gateway.base + "/metrics").body.decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.name.startswith(OWN):
                found.setdefault(sample.name, {})[labels_of(sample.labels)] = sample.value
    return comparable(found)


def scraped(server: Api) -> dict[str, Samples]:
    found: dict[str, Samples] = {}
    for series in server.query('{__name__=~".+",job=~".+"}'):
        name = series["metric"].pop("__name__")
        if not name.startswith(OWN):
            found.setdefault(name, {})[labels_of(series["metric"])] = float(series["value"][1])
    return comparable(found)


def labels_of(labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """As a scraper normalises them."""
    numbers = {"le", "quantile"}
    present = {name: str(float(value)) if name in numbers else value for name, value in labels.items() if value}
    return tuple(sorted(present.items()))


def comparable(found: dict[str, Samples]) -> dict[str, Samples]:
    """With NaN equal to itself."""
    return {name: {labels: -1e300 if v != v else v for labels, v in rows.items()} for name, rows in found.items()}


def push(server: Api, path: str, body: bytes, method: str = "PUT") -> Answer:
    return fetch(server.base + path, method=method, data=body, headers=server.bearer)


def basic_handler(user: str, password: str) -> Any:
    def handle(url: str, method: str, timeout: float | None, headers: Any, data: bytes) -> Any:
        return basic_auth_handler(url, method, timeout, headers, data, user, password)

    return handle


def test_the_python_client_pushes(server: Served) -> None:
    registry = CollectorRegistry()
    Gauge("job_last_success", "When it did.", registry=registry).set(7)
    Histogram("job_seconds", "How long.", registry=registry).observe(0.3)
    handler = basic_handler(server.app_id, server.token)
    address = server.base
    keys = {"instance": "i/1", "zone": ""}
    push_to_gateway(address, job="nightly", registry=registry, grouping_key=keys, handler=handler)
    [series] = server.query("job_last_success")
    assert (series["metric"], series["value"][1]) == (
        {"__name__": "job_last_success", "job": "nightly", "instance": "i/1"},
        "7",
    )
    other = CollectorRegistry()
    Gauge("job_rows", "How many.", registry=other).set(5)
    pushadd_to_gateway(address, job="nightly", registry=other, grouping_key=keys, handler=handler)
    [group] = server.get("/api/v1/push/groups").json()["data"]
    assert group["labels"] == {"instance": "i/1", "job": "nightly", "zone": ""}
    assert {"job_last_success", "job_seconds", "job_rows"} <= set(group)
    push_to_gateway(address, job="nightly", registry=other, grouping_key=keys, handler=handler)
    delete_from_gateway(address, job="nightly", grouping_key=keys, handler=handler)
    assert server.get("/api/v1/push/groups").json()["data"] == []
    with pytest.raises(OSError, match=r"401"):
        push_to_gateway(address, job="x", registry=registry, handler=basic_handler(server.app_id, "wrong"))


def test_the_java_client_pushes(server: Served) -> None:
    group = {"instance": "i/1", "job": "nightly", "zone": "é"}
    with JavaClient(server.base.removeprefix("http://"), server.app_id) as client:
        assert client.run("push", token=server.token) == "ok"
        [series] = server.query("java_last_success")
        assert (series["metric"], series["value"][1]) == ({"__name__": "java_last_success", **group}, "7")
        [series] = server.query("java_rows_total")
        assert (series["metric"]["table"], series["value"][1]) == ('a"b\\c', "3")
        buckets = {s["metric"]["le"]: s["value"][1] for s in server.query("java_run_seconds_bucket")}
        assert (buckets["0.25"], buckets["0.5"], buckets["+Inf"]) == ("0", "1", "2")
        assert client.run("pushAdd", token=server.token, form="text") == "ok"
        assert pushed_by(server, group) == {"java_last_success", "java_rows_total", "java_run_seconds", "java_more"}
        assert client.run("push", token=server.token, form="text") == "ok"
        assert pushed_by(server, group) == {"java_last_success", "java_rows_total", "java_run_seconds"}
        assert client.run("delete", token=server.token) == "ok"
        assert pushed_by(server, group) == set()
        assert "401" in client.run("push", token="wrong")
        assert pushed_by(server, group) == set()


def pushed_by(server: Served, labels: dict[str, str]) -> set[str]:
    """The metrics of one group."""
    groups = server.get("/api/v1/push/groups").json()["data"]
    names = {name for group in groups if group["labels"] == labels for name in group}
    return names - {"labels", "last_push_successful", "push_time_seconds", "push_failure_time_seconds"}


def test_curl_pushes(standalone: Headrace) -> None:
    command = [tool("curl"), "--silent", "--show-error", "--fail", "--user", f"{APP_ID}:{TOKEN}", "--data-binary", "@-"]
    url = f"{standalone.base}/metrics/job/curl/instance/here"
    subprocess.run([*command, url], input=b"curled 1\n", check=True, timeout=30)
    [series] = standalone.query('curled{job="curl"}')
    assert series["value"][1] == "1"
    assert push(standalone, "/metrics/job/curl/instance/here", b"", "DELETE").status == 202


def times_of(server: Api, expression: str, begin_s: float, end_s: float) -> list[float]:
    """Of the samples between two times."""
    seconds = int(end_s - begin_s) + 1
    found = server.query(f"{expression}[{seconds}s]", time=end_s)
    return [at for at, _ in found[0]["values"]] if found else []


def awaited(server: Api, expression: str, count: int) -> None:
    """Returns once a query gives so many series."""
    end = time.monotonic() + 60
    while len(found := server.query(expression)) != count:
        assert time.monotonic() < end, found
        time.sleep(0.1)


def test_a_group_is_emitted_until_it_goes_and_survives_what_happens(tmp_path: Path) -> None:
    server = Headrace(tmp_path, env={"HEADRACE_PUSH__INTERVAL_S": "1"})
    try:
        server.start()
        server.wait_ready()
        began = time.time()
        assert push(server, "/metrics/job/kept", b"kept 1\n").status == 200
        assert push(server, "/metrics/job/gone", b"gone 1\n").status == 200
        awaited(server, "count_over_time(kept[1h]) > 3", 1)
        server.kill()
        server.start()
        server.wait_ready()
        assert push(server, "/metrics/job/gone", b"", "DELETE").status == 202
        awaited(server, "gone", 0)
        server.flush()  # what is stored takes the groups along
        assert server.stop() == 0
        server.start()
        server.wait_ready()
        [group] = server.get("/api/v1/push/groups").json()["data"]
        assert (group["labels"], group["kept"]["metrics"][0]["value"]) == ({"job": "kept"}, "1")
        restarted = time.time()
        awaited(server, f"kept and timestamp(kept) > {restarted + 2}", 1)
        times = times_of(server, "kept", began - 1, time.time())
        gaps = [later - earlier for earlier, later in pairwise(times[1:])]
        assert gaps, times
        assert max(gaps) < 1.01, "emission goes on where it was, at its own times"
        assert server.query("gone") == []
    finally:
        server.kill()


def test_pushes_and_emission_go_on_while_processes_of_a_cluster_die(cluster: Cluster) -> None:
    tenant = cluster.fresh()
    jobs = [f"j{number}" for number in range(6)]
    distributor, ingester = cluster.distributors[0], cluster.ingesters[0]
    try:
        began = time.time()
        for number, job in enumerate(jobs):
            if number == 3:
                distributor.kill()
            assert push(tenant, f"/metrics/job/{job}", b"alive 1\n").status == 200
        assert {group["labels"]["job"] for group in tenant.get("/api/v1/push/groups").json()["data"]} == set(jobs)
        distributor.start()
        awaited(tenant, "count_over_time(alive[1h]) > 3", len(jobs))
        ingester.kill()
        killed = time.time()
        assert push(tenant, "/metrics/job/j0", b"alive 2\n", "POST").status == 200
        awaited(tenant, f"alive and timestamp(alive) > {killed + 3}", len(jobs))
        assert tenant.query('alive{job="j0"}')[0]["value"][1] == "2"
        for job in jobs[1:]:
            times = times_of(tenant, f'alive{{job="{job}"}}', began - 1, time.time())
            gaps = [later - earlier for earlier, later in pairwise(times[1:])]
            assert max(gaps) < 1.01, (job, times)
        assert push(tenant, "/metrics/job/j1", b"", "DELETE").status == 202
        awaited(tenant, "alive", len(jobs) - 1)
    finally:
        for role in (distributor, ingester):
            if not role.is_running:
                role.start()
            role.wait_ready()
    assert fetch(tenant.base + "/api/v1/push/wipe", method="PUT", headers=tenant.bearer).status == 202
    awaited(tenant, "alive", 0)


def test_json_names_what_is_there(standalone: Headrace) -> None:
    assert push(standalone, "/metrics/job/json", b"# HELP j Help.\n# TYPE j gauge\nj 1.5\n").status == 200
    answer = standalone.get("/api/v1/push/groups")
    group = next(group for group in json.loads(answer.body)["data"] if group["labels"] == {"job": "json"})
    assert group["last_push_successful"] is True
    assert group["j"]["type"] == "GAUGE"
    assert group["j"]["help"] == "Help."
    assert group["j"]["metrics"] == [{"labels": {"instance": "", "job": "json"}, "value": "1.5"}]
    assert push(standalone, "/metrics/job/json", b"", "DELETE").status == 202
