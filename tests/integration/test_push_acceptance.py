"""What a Pushgateway's users rely on, one by one, standalone and in a cluster alike: from the sections of its public
README on the URL, on PUT, POST and DELETE, on compression, on timestamps and on protobuf; and what pushes and imports
carry besides samples.
"""

import gzip
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import cramjam
import pytest

from tests.support import client_model
from tests.support.client_model import delimited, family
from tests.support.processes import Answer, Process, fetch, free_port
from tests.support.served import Served
from tests.support.tools import tool

Groups = dict[str, Any]
"""Labels of a group, as `name=value` joined by commas -> the group as the API shows it."""

OPEN_METRICS = {"Content-Type": "application/openmetrics-text; version=1.0.0; charset=utf-8"}
PROTOBUF = {"Content-Type": client_model.CONTENT_TYPE}


def send(world: Served, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    every = {**world.bearer, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return fetch(world.base + "/metrics/" + path, method=method, data=body, headers=every)


def push(world: Served, path: str, body: bytes, method: str = "PUT", headers: dict[str, str] | None = None) -> None:
    answer = send(world, method, path, body, **(headers or {}))
    assert (answer.status, answer.body) == (200, b"")


def groups(world: Served, job: str) -> Groups:
    found = world.get("/api/v1/push/groups").json()["data"]
    return {
        ",".join(f"{name}={value}" for name, value in sorted(group["labels"].items())): group
        for group in found
        if group["labels"]["job"] == job
    }


def families(world: Served, job: str) -> set[str]:
    """Of the job's only group, without the stamps."""
    [group] = groups(world, job).values()
    return set(group) - {"labels", "last_push_successful", "push_time_seconds", "push_failure_time_seconds"}


def stamps(world: Served, job: str) -> tuple[float, float]:
    [group] = groups(world, job).values()
    names = ("push_time_seconds", "push_failure_time_seconds")
    success, failure = (float(group[name]["metrics"][0]["value"]) for name in names)
    assert group["last_push_successful"] is (failure <= success)
    return success, failure


def stored(world: Served, selector: str) -> dict[str, str]:
    """Series, without job, as text -> value, of a native histogram its count."""
    found = {}
    for series in world.query(selector):
        labels = series["metric"]
        name = labels.pop("__name__")
        labels.pop("job")
        text = name + "".join(f",{label}={value}" for label, value in sorted(labels.items()))
        found[text] = series["value"][1] if "value" in series else series["histogram"][1]["count"]
    return found


def settles(world: Served, selector: str, expected: dict[str, str]) -> None:
    """Markers of what has gone come with the next emission."""
    end = time.monotonic() + 60
    while (found := stored(world, selector)) != expected:
        assert time.monotonic() < end, found
        time.sleep(0.1)


def test_put_replaces_all_families_and_post_those_of_its_names(world: Served) -> None:
    push(world, "job/replace", b"a 1\nb 1\n")
    push(world, "job/replace", b"b 2\n")
    assert families(world, "replace") == {"b"}
    push(world, "job/replace", b"c 3\n", "POST")
    assert families(world, "replace") == {"b", "c"}
    settles(world, '{job="replace",__name__=~"[abc]"}', {"b": "2", "c": "3"})


def test_post_of_one_label_set_removes_the_others_of_its_family(world: Served) -> None:
    push(world, "job/sets", b'x{n="1"} 1\nx{n="2"} 2\ny 1\n')
    push(world, "job/sets", b'x{n="3"} 3\n', "POST")
    settles(world, '{job="sets",__name__=~"[xy]"}', {"x,n=3": "3", "y": "1"})


def test_deleting_what_is_not_there_is_accepted(world: Served) -> None:
    answer = send(world, "DELETE", "job/nothing/instance/here")
    assert (answer.status, answer.body) == (202, b"")
    push(world, "job/deleted", b"x 1\n")
    assert send(world, "DELETE", "job/deleted/instance/other").status == 202
    assert list(groups(world, "deleted")) == ["job=deleted"]
    assert send(world, "DELETE", "job/deleted").status == 202
    assert groups(world, "deleted") == {}


@pytest.mark.parametrize(
    ("paths", "labels"),
    [
        (["job/pl%C3%A4n", "job@base64/cGzDpG4=", "job@base64/cGzDpG4"], {"job": "plän"}),
        (["job/p/dir@base64/L3Nydi9hYg", "job/p/dir@base64/L3Nydi9hYg=="], {"job": "p", "dir": "/srv/ab"}),
        (["job/e/first@base64/=/second/b", "job/e/second/b/first@base64/="], {"job": "e", "first": "", "second": "b"}),
        (["job/twice/a/1/a/2", "job/twice/a/2/job/other"], {"job": "twice", "a": "2"}),
        (["job/slash/"], {"job": "slash"}),
    ],
    ids=["utf-8", "slash-in-a-value", "empty-value", "the-last-of-a-label", "slash-at-the-end"],
)
def test_paths_that_name_the_same_group(paths: list[str], labels: dict[str, str], world: Served) -> None:
    for number, path in enumerate(paths):
        push(world, path, b"f%d 1\n" % number, "POST")
    [group] = groups(world, labels["job"]).values()
    assert group["labels"] == labels
    assert {f"f{number}" for number in range(len(paths))} <= set(group)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("job/odd/instance", 'odd number of components in label string "/instance"'),
        ("job/name/9x/1", 'improper label name "9x"'),
        ("job/name/__a/1", 'improper label name "__a"'),
        (
            "job/base/path@base64/a*",
            'invalid base64 encoding for label path="a*": illegal base64 data at input byte 1',
        ),
        ("job@base64/*", 'invalid base64 encoding in job name "": illegal base64 data at input byte 0'),
        ("job@base64/=", "job name is required"),
    ],
    ids=["odd", "digit", "reserved", "base64-of-a-value", "base64-of-the-job", "no-job"],
)
def test_paths_that_are_wrong(path: str, error: str, world: Served) -> None:
    before = world.get("/api/v1/push/groups").json()["data"]
    for method in ("PUT", "POST", "DELETE"):
        answer = send(world, method, path, b"x 1\n")
        assert (answer.status, answer.body.decode()) == (400, error + "\n")
    assert len(world.get("/api/v1/push/groups").json()["data"]) == len(before)


def test_other_methods_are_refused(world: Served) -> None:
    assert [send(world, method, "job/method").status for method in ("GET", "PATCH")] == [405, 405]


def test_timestamps_are_refused_and_stamped(world: Served) -> None:
    answer = send(world, "PUT", "job/stamped", b"x 1 1000\n")
    assert (answer.status, answer.body.decode()) == (
        400,
        "pushed metrics are invalid or inconsistent with existing metrics: pushed metrics must not have timestamps\n",
    )
    success, failure = stamps(world, "stamped")
    assert success == 0
    assert abs(failure - time.time()) < 60
    push(world, "job/stamped", b"x 1\n")
    assert stamps(world, "stamped")[0] >= failure
    assert stamps(world, "stamped")[1] == failure
    push(world, "job/stamped", b"push_time_seconds 5\npush_failure_time_seconds 6\nx 2\n")
    assert stamps(world, "stamped")[1] == failure
    assert families(world, "stamped") == {"x"}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'x{a="1"} 1\nx{a="1"} 2\n', "was collected before with the same name and label values"),
        (b'x{job="1"} 1\nx{job="2"} 1\n', "was collected before with the same name and label values"),
        (b"# TYPE h histogram\nh_sum 1\nh_count 1\n# TYPE h_bucket gauge\nh_bucket 1\n", "collides with"),
        (b"# TYPE s summary\ns_sum 1\ns_count 1\n# TYPE s_count gauge\ns_count 1\n", "collides with"),
    ],
    ids=["twice", "twice-by-a-grouping-label", "histogram-and-its-part", "summary-and-its-part"],
)
def test_pushes_that_are_inconsistent_are_stamped_as_failures(body: bytes, error: str, world: Served) -> None:
    assert send(world, "DELETE", "job/inconsistent").status == 202
    answer = send(world, "POST", "job/inconsistent", body)
    assert answer.status == 400
    assert answer.body.startswith(
        b"pushed metrics are invalid or inconsistent with existing metrics: collected metric "
    )
    assert error in answer.body.decode()
    assert stamps(world, "inconsistent")[0] == 0
    assert families(world, "inconsistent") == set()


def test_grouping_labels_stand_over_those_of_the_body(world: Served) -> None:
    push(world, "job/over/zone/z", b'x{job="mine",zone="y",instance="i",a="b"} 1\n')
    assert stored(world, '{job="over",__name__="x"}') == {"x,a=b,instance=i,zone=z": "1"}
    [group] = groups(world, "over").values()
    assert group["x"]["metrics"] == [
        {"labels": {"a": "b", "instance": "i", "job": "over", "zone": "z"}, "value": "1"},
    ]


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("snappy", lambda body: bytes(cramjam.snappy.compress(body))),
        ("zstd", lambda body: bytes(cramjam.zstd.compress(body))),
    ],
)
def test_compressed_bodies(encoding: str, packed: Callable[[bytes], bytes], world: Served) -> None:
    push(world, "job/packed", packed(b"x 1\n"), headers={"Content_Encoding": encoding})
    assert families(world, "packed") == {"x"}
    damaged = send(world, "PUT", "job/packed", b"x 2\n", Content_Encoding=encoding)
    assert (damaged.status, damaged.body[:7]) == (400, b"damaged")
    assert stamps(world, "packed")[1] == 0
    push(world, "job/packed", b"")


def test_an_encoding_that_nobody_reads_is_said(world: Served) -> None:
    answer = send(world, "PUT", "job/deflated", zlib.compress(b"x 1\n"), Content_Encoding="deflate")
    assert answer.status == 415
    assert groups(world, "deflated") == {}


def test_delimited_protobuf(world: Served) -> None:
    pushed = [
        family(
            "g", client_model.GAUGE, {"gauge": {"value": 0.5}, "label": [{"name": "a", "value": "ä"}]}, text="Help."
        ),
        family("c", client_model.COUNTER, {"counter": {"value": 7}}),
        family(
            "s", client_model.SUMMARY, {"summary": {"sample_count": 2, "quantile": [{"quantile": 0.5, "value": 3}]}}
        ),
        family(
            "h",
            client_model.HISTOGRAM,
            {"histogram": {"sample_count": 1_000_000, "bucket": [{"upper_bound": 1, "cumulative_count": 900_000}]}},
        ),
        family("g", client_model.UNTYPED, {"untyped": {"value": 9}}),
    ]
    push(world, "job/proto", delimited(pushed), headers=PROTOBUF)
    assert stored(world, '{job="proto",__name__!~"push_.*"}') == {
        "g": "9",  # of two families of a name the later stands
        "c": "7",
        "s,quantile=0.5": "3",
        "s_sum": "0",
        "s_count": "2",
        "h_bucket,le=1.0": "900000",
        "h_bucket,le=+Inf": "1000000",
        "h_sum": "0",
        "h_count": "1000000",
    }
    [group] = groups(world, "proto").values()
    [shown] = group["h"]["metrics"]
    assert (shown["buckets"], shown["count"], shown["sum"]) == ({"1": "900000"}, "1000000", "0")
    assert send(world, "PUT", "job/proto", delimited(pushed)[:-1], **PROTOBUF).status == 400
    assert stamps(world, "proto")[1] == 0


def test_a_missing_last_newline_is_refused(world: Served) -> None:
    answer = send(world, "PUT", "job/newline", b"x 1")
    assert (answer.status, answer.body) == (
        400,
        b"text format parsing error in line 1: unexpected end of input stream\n",
    )
    assert groups(world, "newline") == {}


def test_an_empty_body_leaves_the_stamps_of_put_and_all_of_post(world: Served) -> None:
    push(world, "job/empty", b"x 1\n")
    before = stamps(world, "empty")
    push(world, "job/empty", b"", "POST")
    assert families(world, "empty") == {"x"}
    push(world, "job/empty", b"")
    assert families(world, "empty") == set()
    assert stamps(world, "empty") >= before
    settles(world, '{job="empty",__name__!~"push_.*"}', {})
    settles(world, '{job="empty",__name__="push_failure_time_seconds"}', {"push_failure_time_seconds": "0"})
    assert set(stored(world, '{job="empty"}')) == {"push_time_seconds", "push_failure_time_seconds"}


def test_a_job_and_its_instances_live_independently(world: Served) -> None:
    push(world, "job/apart", b"x 1\n")
    push(world, "job/apart/instance/y", b"x 2\n")
    push(world, "job/apart", b"z 1\n")
    settles(world, '{job="apart",__name__=~"[xz]"}', {"x,instance=y": "2", "z": "1"})
    assert send(world, "DELETE", "job/apart").status == 202
    assert list(groups(world, "apart")) == ["instance=y,job=apart"]


NATIVE = {
    "sample_count": 9,
    "sample_sum": 12.5,
    "schema": 0,
    "zero_threshold": 0.001,
    "zero_count": 2,
    "positive_span": [{"offset": 1, "length": 2}],
    "positive_delta": [3, 1],
}
SHOWN = [[3, "-0.001", "0.001", "2"], [0, "1", "2", "3"], [0, "2", "4", "4"]]
"""As the query API numbers the rules: both bounds belong to the zero bucket, the upper to the others."""


def test_native_histograms_are_stored_shown_and_emitted(world: Served) -> None:
    pushed = [
        family("alone", client_model.HISTOGRAM, {"histogram": NATIVE}),
        family(
            "beside",
            client_model.HISTOGRAM,
            {"histogram": {**NATIVE, "bucket": [{"upper_bound": 2, "cumulative_count": 5}]}},
        ),
        family(
            "fractions",
            client_model.GAUGE_HISTOGRAM,
            {
                "histogram": {
                    "sample_count_float": 2.5,
                    "negative_span": [{"offset": 0, "length": 1}],
                    "negative_count": [2.5],
                }
            },
        ),
    ]
    push(world, "job/native", delimited(pushed), headers=PROTOBUF)
    [group] = groups(world, "native").values()
    for name in ("alone", "beside"):
        [shown] = group[name]["metrics"]
        assert (shown["buckets"], shown["count"], shown["sum"]) == (SHOWN, "9", "12.5")
    found = {series["metric"]["__name__"]: series for series in world.query('{job="native"}')}
    assert set(found) - {"push_time_seconds", "push_failure_time_seconds"} == {
        "alone",
        "beside",
        "beside_bucket",
        "beside_sum",
        "beside_count",
        "fractions",
    }
    assert found["alone"]["histogram"][1] == {"count": "9", "sum": "12.5", "buckets": SHOWN}
    assert found["fractions"]["histogram"][1]["buckets"] == [[1, "-1", "-0.5", "2.5"]]
    end = time.monotonic() + 60
    while not world.query('count_over_time(alone{job="native"}[1h]) > 2'):
        assert time.monotonic() < end, "it is not emitted again"
        time.sleep(0.1)
    push(world, "job/native", b"")
    settles(world, '{job="native",__name__!~"push_.*"}', {})


def test_a_native_histogram_that_breaks_a_rule_fails_its_push(world: Served) -> None:
    wrong = family("wrong", client_model.HISTOGRAM, {"histogram": {**NATIVE, "sample_count": 8}})
    answer = send(world, "PUT", "job/wrong", delimited([wrong]), **PROTOBUF)
    assert answer.status == 400
    assert b"the observation count is not the number of observations" in answer.body
    assert families(world, "wrong") == set()
    assert stamps(world, "wrong")[0] == 0


def rejections(world: Served) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = world.get("/api/v1/status/rejections").json()["data"]
    return rows


def exemplars(world: Served, selector: str) -> list[tuple[str, dict[str, str], str]]:
    """Name of the series, labels and value of each."""
    answer = world.get("/api/v1/query_exemplars", query=selector)
    assert answer.status == 200, answer.body
    return sorted(
        (series["seriesLabels"]["__name__"], exemplar["labels"], exemplar["value"])
        for series in answer.json()["data"]
        for exemplar in series["exemplars"]
    )


def test_exemplars_come_with_pushes_in_protobuf(world: Served) -> None:
    now_s = int(time.time())
    timed = {"label": [{"name": "id", "value": "t"}], "value": 3, "timestamp": {"seconds": now_s, "nanos": 5_000_000}}
    bare = {"label": [{"name": "id", "value": "b"}], "value": 0.5}
    buckets = [{"upper_bound": 1, "cumulative_count": 5, "exemplar": bare}]
    pushed = [
        family("c_total", client_model.COUNTER, {"counter": {"value": 7, "exemplar": bare}}),
        family("h", client_model.HISTOGRAM, {"histogram": {**NATIVE, "bucket": buckets, "exemplars": [timed, bare]}}),
    ]
    push(world, "job/seen", delimited(pushed), headers=PROTOBUF)
    assert exemplars(world, '{job="seen"}') == [
        ("c_total", {"id": "b"}, "0.5"),
        ("h", {"id": "t"}, "3"),
        ("h_bucket", {"id": "b"}, "0.5"),
    ]


def test_exemplars_come_with_pushes_in_openmetrics_and_bad_ones_are_left_out(world: Served) -> None:
    text = (
        "# TYPE c counter\n"
        'c_total{a="1"} 1 # {id="x"} 0.25\n'
        f'c_total{{a="2"}} 1 # {{id="{"x" * 200}"}} 0.5\n'
        "# TYPE h histogram\n"
        'h_bucket{le="1"} 2 # {} 0.75\n'
        'h_bucket{le="+Inf"} 2\nh_count 2\nh_sum 1\n'
        "# EOF\n"
    )
    push(world, "job/open", text.encode(), headers=OPEN_METRICS)
    assert exemplars(world, '{job="open"}') == [("c_total", {"id": "x"}, "0.25"), ("h_bucket", {}, "0.75")]
    assert stored(world, '{job="open",__name__="c_total"}') == {"c_total,a=1": "1", "c_total,a=2": "1"}
    end = time.monotonic() + 60  # distributors tell one another
    while not (rows := [r for r in rejections(world) if r["reason"] == "invalid_exemplar"]):
        assert time.monotonic() < end, rejections(world)
        time.sleep(0.1)
    assert "at most 128" in rows[0]["example"]


def test_exemplars_come_with_imports(world: Served) -> None:
    now_s = int(time.time())
    text = (
        "# TYPE imported counter\n"
        f'imported_total 1 {now_s - 60} # {{id="own"}} 0.5 {now_s - 61}.5\n'
        f'imported_total 2 {now_s - 30} # {{id="sample"}} 1.5\n'
        "# EOF\n"
    )
    url = world.base + "/api/v1/import/prometheus"
    answer = fetch(url, data=text.encode(), headers={**world.bearer, **OPEN_METRICS}, method="POST")
    assert (answer.status, answer.json()["data"]) == (200, {"samples": 2, "exemplars": 2})
    [series] = world.get("/api/v1/query_exemplars", query="imported_total").json()["data"]
    assert series["exemplars"] == [
        {"labels": {"id": "own"}, "value": "0.5", "timestamp": now_s - 60.5},
        {"labels": {"id": "sample"}, "value": "1.5", "timestamp": now_s - 30},
    ]
    long = f'imported_total 3 {now_s} # {{id="{"x" * 200}"}} 1\n# EOF\n'
    answer = fetch(url, data=long.encode(), headers={**world.bearer, **OPEN_METRICS}, method="POST")
    assert answer.status == 400
    assert "stored 1 samples" in answer.json()["error"]
    assert "1 invalid_exemplar" in answer.json()["error"]


def test_a_scraper_gets_what_a_pushgateway_would_give(world: Served) -> None:
    push(world, "job/scraped", b'# HELP scraped A\\n b.\n# TYPE scraped gauge\nscraped{a="\\""} 1e6\n')
    push(world, "job/scraped/instance/i", b"# TYPE scraped gauge\nscraped 2\n")
    native = family("scraped_native", client_model.HISTOGRAM, {"histogram": NATIVE})
    push(world, "job/scraped/instance/i", delimited([native]), "POST", PROTOBUF)
    answer = scrape(world)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    lines = [line for line in answer.body.decode().splitlines() if "scraped" in line and not line.startswith("push_")]
    assert lines == [
        "# HELP scraped A\\n b.",
        "# TYPE scraped gauge",
        'scraped{a="\\"",instance="",job="scraped"} 1e+06',
        'scraped{instance="i",job="scraped"} 2',
        "# TYPE scraped_native histogram",
        'scraped_native_bucket{instance="i",job="scraped",le="+Inf"} 9',
        'scraped_native_sum{instance="i",job="scraped"} 12.5',
        'scraped_native_count{instance="i",job="scraped"} 9',
    ]
    assert b'push_failure_time_seconds{instance="i",job="scraped"} 0\n' in answer.body
    answer = scrape(world, Accept=client_model.CONTENT_TYPE + ";q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
    assert (answer.status, answer.headers["content-type"]) == (200, client_model.CONTENT_TYPE)
    found = {message.name: message for message in client_model.read_delimited(answer.body)}
    assert [len(found[name].metric) for name in ("scraped", "scraped_native")] == [2, 1]
    histogram = found["scraped_native"].metric[0].histogram
    assert (histogram.sample_count, list(histogram.positive_delta)) == (9, [3, 1])


def test_prometheus_scrapes_it_as_a_pushgateway(world: Served, tmp_path: Path) -> None:
    """Debian's Prometheus, which asks for delimited protobuf once it is to store native histograms."""
    push(world, "job/peer", b'# TYPE peer gauge\npeer{a="1"} 5\npeer{a="2",instance="own"} 6\n')
    push(world, "job/peer/instance/i", b'# TYPE peer_size summary\npeer_size{quantile="0.5"} 3\npeer_size_count 2\n')
    native = family("peer_native", client_model.HISTOGRAM, {"histogram": NATIVE})
    push(world, "job/peer/instance/i", delimited([native]), "POST", PROTOBUF)
    port = free_port()
    (tmp_path / "prometheus.yml").write_text(f"""
scrape_configs:
  - job_name: pushed
    scrape_interval: 1s
    honor_labels: true
    metrics_path: /api/v1/push/metrics
    basic_auth: {{username: "{world.app_id}", password: "{world.token}"}}
    static_configs: [{{targets: ["{world.base.removeprefix("http://")}"]}}]
""")
    prometheus = Process(
        [
            tool("prometheus"),
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--enable-feature=native-histograms",
        ],
        tmp_path / "prometheus",
    )
    query = "?" + urlencode({"query": '{__name__=~"peer.*"}'})
    try:
        prometheus.start()
        prometheus.wait_until(f"http://127.0.0.1:{port}/-/ready")
        end = time.monotonic() + 60
        while not (theirs := fetch(f"http://127.0.0.1:{port}/api/v1/query{query}").json()["data"]["result"]):
            assert time.monotonic() < end, prometheus.output()[-2000:]
            time.sleep(0.1)
    finally:
        prometheus.kill()
    ours = world.query('{__name__=~"peer.*"}')
    assert pointless(theirs) == pointless(ours)
    assert len(ours) == 6


def pointless(found: list[dict[str, Any]]) -> list[Any]:
    """Labels and values, of a native histogram number and sum."""
    rows = []
    for series in found:
        value = series["value"][1] if "value" in series else [series["histogram"][1][name] for name in ("count", "sum")]
        rows.append((sorted(series["metric"].items()), value))
    return sorted(rows, key=str)


def test_limits_hold_for_pushes(server: Served) -> None:
    def limited(*limits: str) -> None:
        assert server.instances("set-limit", server.app_id, *limits).returncode == 0

    limited("max_labels=3")
    body = b'good 1\nbad{a="1",b="2",c="3"} 1\n'
    end = time.monotonic() + 60
    while (answer := send(server, "PUT", "job/limited", body)).status == 200:
        assert time.monotonic() < end, "the limit does not come into force"
    assert (answer.status, b"1 too_many_labels" in answer.body) == (400, True)
    assert stamps(server, "limited")[1] > 0
    limited("max_labels=64", "max_samples_per_second=1", "max_burst_samples=2")
    end = time.monotonic() + 60
    # Each distributor of a cluster has a share of its own.
    while (answer := send(server, "PUT", job := f"job/fast{time.monotonic_ns()}", b"a 1\nb 1\n")).status != 429:
        assert time.monotonic() < end, "the limit does not come into force"
    assert int({name.lower(): value for name, value in answer.headers.items()}["retry-after"]) >= 1
    assert groups(server, job.removeprefix("job/")) == {}


def scrape(world: Served, **headers: str) -> Answer:
    answer = fetch(world.base + "/api/v1/push/metrics", headers={**world.bearer, **headers})
    return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.body)
