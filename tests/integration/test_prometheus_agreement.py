"""A real Prometheus scrapes itself and a node-exporter and writes here; both must then answer alike.

It writes into a standalone server and into a cluster at once, and both are killed and started again in the middle, the
cluster with every process of it. Debian's Prometheus is 2.42, so two things are arranged: its range
windows are closed on the left where 3.x's are open, so queries are asked at times at which no window edge meets a
sample; and its `sum` and `avg` are not compensated, so values may differ in the last bits.
"""

import json
import math
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from prometheus_api_client import PrometheusConnect

from tests.support.cluster import Cluster
from tests.support.processes import Answer, Api, Headrace, Process, fetch, free_port
from tests.support.tools import tool

SCRAPED_S = 36
"""Long enough for 20 s windows on both sides of the kill."""

INSTANT = [
    "up",
    "count({__name__=~'.+'})",
    "count by (__name__) ({job='node'})",
    "sum by (mode) (rate(node_cpu_seconds_total[20s]))",
    "rate(prometheus_http_requests_total[20s])",
    "increase(node_cpu_seconds_total[20s])",
    "irate(node_cpu_seconds_total[20s])",
    "delta(go_goroutines[20s])",
    "deriv(process_resident_memory_bytes[20s])",
    "predict_linear(process_resident_memory_bytes[20s], 60)",
    "avg_over_time(go_memstats_alloc_bytes[20s])",
    "max_over_time(go_goroutines[20s]) - min_over_time(go_goroutines[20s])",
    "quantile_over_time(0.9, go_goroutines[20s])",
    "stddev_over_time(go_memstats_alloc_bytes[20s])",
    "changes(process_cpu_seconds_total[20s])",
    "resets(go_goroutines[20s])",
    "histogram_quantile(0.9, sum by (le) (rate(prometheus_http_request_duration_seconds_bucket[20s])))",
    "histogram_quantile(0.5, prometheus_http_request_duration_seconds_bucket)",
    "topk(3, go_memstats_alloc_bytes)",
    "bottomk(2, node_filesystem_avail_bytes)",
    "node_filesystem_avail_bytes / on (device, mountpoint, fstype, instance, job) node_filesystem_size_bytes",
    "rate(node_network_receive_bytes_total[20s]) * on (instance, job, device) group_left (operstate) node_network_info",
    "sum without (cpu) (rate(node_cpu_seconds_total[20s])) > 0.001",
    "up and on (job) go_info",
    "up unless on (job) node_uname_info",
    "max_over_time(sum by (job) (rate(process_cpu_seconds_total[10s]))[15s:1s])",
    "absent(no_such_metric{job='x'})",
    "label_replace(up, 'host', '$1', 'instance', '(.*):.*')",
    "sort_desc(sum by (job) (scrape_samples_scraped))",
    "scalar(sum(up)) + vector(time())",
    "clamp_max(node_load1, 0.01) * 100 % 7 ^ 2",
    "stddev by (job) (scrape_duration_seconds)",
    "quantile by (job) (0.5, scrape_duration_seconds)",
    "count_values('v', up)",
    "timestamp(up) - time()",
    "node_load1 offset 5s",
]
RANGE = [
    "up",
    "sum by (job) (scrape_samples_scraped)",
    "sum by (mode) (rate(node_cpu_seconds_total[10s]))",
    "histogram_quantile(0.9, sum by (le, handler) (rate(prometheus_http_request_duration_seconds_bucket[10s])))",
    "avg_over_time(node_load1[10s])",
    "topk(2, scrape_duration_seconds)",
    "go_goroutines > 10",
    "rate(node_cpu_seconds_total{mode='idle'}[10s]) / on (cpu, instance, job) group_left sum by (cpu, instance, job) "
    "(rate(node_cpu_seconds_total[10s]))",
]


@dataclass
class Pair:
    headrace: Api
    prometheus: str
    start: float  # of the comparable span, seconds
    end: float

    def both(self, path: str, **parameters: object) -> tuple[Any, Any]:
        query = urlencode(parameters, doseq=True)
        ours = fetch(f"{self.headrace.base}/api/v1/{path}?{query}", headers=self.headrace.basic)
        theirs = fetch(f"{self.prometheus}/api/v1/{path}?{query}")
        assert theirs.status == 200, theirs.body
        assert ours.status == 200, (path, parameters, ours.body)
        return ours.json()["data"], theirs.json()["data"]


def quiet_fraction(timestamps: list[float]) -> float:
    """A fraction of a second far from that of every sample, so that no window edge (whole seconds away) meets one."""
    taken = sorted({round(t % 1, 3) for t in timestamps})
    gaps = [(b - a, a) for a, b in zip(taken, [*taken[1:], taken[0] + 1], strict=True)]
    width, at = max(gaps)
    assert width > 0.02, f"samples everywhere: {taken}"
    return round((at + width / 2) % 1, 3)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Iterator[dict[str, Pair]]:
    folder = tmp_path_factory.mktemp("agreement")
    standalone, tenant = Headrace(folder / "headrace"), cluster.fresh()
    node_port, prometheus_port = free_port(), free_port()
    node = Process([tool("prometheus-node-exporter"), f"--web.listen-address=127.0.0.1:{node_port}"], folder / "node")
    (folder / "prometheus.yml").write_text(f"""
global: {{scrape_interval: 1s}}
scrape_configs:
  - {{job_name: prometheus, static_configs: [{{targets: ["127.0.0.1:{prometheus_port}"]}}]}}
  - {{job_name: node, static_configs: [{{targets: ["127.0.0.1:{node_port}"]}}]}}
remote_write:
{_remote_write(standalone)}{_remote_write(tenant)}""")
    prometheus = Process(
        [
            tool("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{prometheus_port}",
        ],
        folder / "prometheus",
    )
    base = f"http://127.0.0.1:{prometheus_port}"
    processes: list[Process] = [standalone, node, prometheus]
    try:
        for process in processes:
            process.start()
        standalone.wait_ready()
        prometheus.wait_until(base + "/-/ready")
        time.sleep(SCRAPED_S / 2)
        standalone.kill()
        cluster.kill()
        time.sleep(1.5)
        standalone.start()
        cluster.start()
        standalone.wait_ready()
        time.sleep(SCRAPED_S / 2)
        cluster.wait_ready()
        yield {"standalone": _comparable(standalone, base), "cluster": _comparable(tenant, base)}
    finally:
        for process in processes:
            process.kill()
        cluster.start()


@pytest.fixture(params=["standalone", "cluster"])
def pair(request: pytest.FixtureRequest, pairs: dict[str, Pair]) -> Pair:
    return pairs[request.param]


def _remote_write(server: Api) -> str:
    """An entry of Prometheus's configuration."""
    return f"""  - url: {server.base}/api/v1/prom/write
    basic_auth: {{username: "{server.app_id}", password: "{server.token}"}}
    queue_config: {{batch_send_deadline: 500ms, max_backoff: 500ms}}
"""


def _comparable(headrace: Api, prometheus: str) -> Pair:
    now = time.time()
    answer = fetch(f"{prometheus}/api/v1/query?" + urlencode({"query": "up[10m]", "time": now})).json()
    stamps = [t for series in answer["data"]["result"] for t, _ in series["values"]]
    fraction = quiet_fraction(stamps)
    end = math.floor(max(stamps)) - 3 + fraction
    _wait_for_samples_at(headrace, end)
    return Pair(headrace, prometheus, math.ceil(min(stamps)) + 1 + fraction, end)


def _wait_for_samples_at(headrace: Api, when: float) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        newest = headrace.query("min(timestamp(up))")
        if newest and float(newest[0]["value"][1]) > when + 1:
            return
        time.sleep(0.2)
    raise AssertionError("Prometheus did not catch up with writing after the restart")


def canonical(data: Any) -> dict[tuple[tuple[str, str], ...], list[tuple[float, float]]]:
    if data["resultType"] == "scalar":
        return {(): [(data["result"][0], float(data["result"][1]))]}
    return {
        tuple(sorted(s["metric"].items())): [(t, float(v)) for t, v in (s.get("values") or [s["value"]])]
        for s in data["result"]
    }


def same(a: float, b: float, relative: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=relative, abs_tol=1e-12)


def assert_agree(ours: Any, theirs: Any, *, relative: float) -> None:
    a, b = canonical(ours), canonical(theirs)
    assert a.keys() == b.keys(), f"missing {list(b.keys() - a.keys())[:3]}, extra {list(a.keys() - b.keys())[:3]}"
    for labels, points in a.items():
        assert [t for t, _ in points] == [t for t, _ in b[labels]], labels
        for (t, x), (_, y) in zip(points, b[labels], strict=True):
            assert same(x, y, relative), (labels, t, x, y)


def test_every_metric_by_name_is_bit_for_bit_the_same(pair: Pair) -> None:
    span = math.floor(pair.end - pair.start)
    names, theirs = pair.both("label/__name__/values", start=pair.start, end=pair.end)
    assert names == theirs
    assert len(names) > 200
    for name in names:
        ours, theirs = pair.both("query", query=f"{{__name__={json.dumps(name)}}}[{span}s]", time=pair.end)
        assert_agree(ours, theirs, relative=0)


def test_no_hole_where_headrace_was_killed(pair: Pair) -> None:
    span = math.floor(pair.end - pair.start)
    ours, _ = pair.both("query", query=f"count_over_time(up[{span}s])", time=pair.end)
    assert all(float(s["value"][1]) >= span - 1 for s in ours["result"]), ours


@pytest.mark.parametrize("expression", INSTANT)
def test_instant(pair: Pair, expression: str) -> None:
    assert_agree(*pair.both("query", query=expression, time=pair.end), relative=1e-9)


@pytest.mark.parametrize("expression", RANGE)
def test_range(pair: Pair, expression: str) -> None:
    # The first windows reach back 10 s and the grid is whole seconds, so no edge meets a sample.
    parameters = {"query": expression, "start": pair.start + 12, "end": pair.end, "step": 2}
    assert_agree(*pair.both("query_range", **parameters), relative=1e-9)


def test_known_difference_windows_are_open_on_the_left(pair: Pair) -> None:
    """3.x leaves out the sample that lies exactly at the left edge of a window; 2.42 counts it."""
    data, _ = pair.both("query", query="up{job='node'}[15s]", time=pair.end)
    times = {round(t * 1000) for t, _ in data["result"][0]["values"]}
    edges = [t for t in times if t - 5000 in times]
    assert edges, "no two scrapes exactly 5 s apart"
    ours, theirs = pair.both("query", query="count_over_time(up{job='node'}[5s])", time=edges[0] / 1000)
    assert int(ours["result"][0]["value"][1]) == int(theirs["result"][0]["value"][1]) - 1


def test_known_difference_a_subquery_leaves_out_its_left_edge(pair: Pair) -> None:
    """Inner steps are multiples of the step; asked at such a multiple, 2.42 takes the one at the left edge too."""
    at = math.floor(pair.end) - 2
    ours, theirs = pair.both("query", query="count_over_time(vector(1)[4s:1s])", time=at)
    assert (ours["result"][0]["value"][1], theirs["result"][0]["value"][1]) == ("4", "5")


def test_series_and_labels(pair: Pair) -> None:
    at = {"start": pair.start, "end": pair.end}
    ours, theirs = pair.both("series", **{"match[]": ["up", "{job='node',__name__=~'node_network.*'}"]}, **at)
    assert sorted(sorted(labels.items()) for labels in ours) == sorted(sorted(labels.items()) for labels in theirs)
    ours, theirs = pair.both("labels", **at)
    assert ours == theirs
    ours, theirs = pair.both("label/instance/values", **{"match[]": "up"}, **at)
    assert ours == theirs


def test_metadata_of_scraped_metrics_arrives(pair: Pair) -> None:
    answer: Answer = pair.headrace.get("/api/v1/metadata", metric="node_cpu_seconds_total")
    entries = answer.json()["data"].get("node_cpu_seconds_total")
    # Prometheus sends metadata once a minute, so it may not have come yet; what came must be right.
    assert entries in (None, [{"type": "counter", "help": "Seconds the CPUs spent in each mode.", "unit": ""}])


def test_promtool_works_against_us(pair: Pair, tmp_path: Path) -> None:
    url = pair.headrace.base.replace("://", f"://{pair.headrace.app_id}:{pair.headrace.token}@")
    start, end = f"{pair.start:.3f}", f"{pair.end:.3f}"

    def promtool(*arguments: str) -> str:
        done = subprocess.run(
            [tool("promtool"), "query", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert '{__name__="up"' in promtool("instant", f"--time={end}", url, "up").replace("up{", '{__name__="up", ')
    assert "=>" in promtool("range", f"--start={start}", f"--end={end}", "--step=5s", url, "up")
    assert "node_load1" in promtool("series", "--match=node_load1", f"--start={start}", f"--end={end}", url)
    assert "node" in promtool("labels", f"--start={start}", f"--end={end}", url, "job")


def test_the_python_client_works_against_us(pair: Pair) -> None:
    client = PrometheusConnect(url=pair.headrace.base, headers=pair.headrace.bearer)
    assert client.check_prometheus_connection()
    assert "node_load1" in client.all_metrics()
    assert client.custom_query("up", params={"time": pair.end})
    assert client.get_current_metric_value("up")
