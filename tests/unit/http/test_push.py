"""The Pushgateway's push API: what a push does to its group, and how what is wrong is said."""

import base64
import gzip
import time
from collections.abc import Mapping
from typing import Any

import cramjam
import httpx
import pytest
from prometheus_client import Counter, Gauge, Histogram, Summary, generate_latest
from prometheus_client.core import CollectorRegistry

from tests.support.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")

JOB = "/metrics/job/batch"
PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"


async def push(
    server: Server,
    body: bytes | str,
    path: str = JOB,
    *,
    method: str = "PUT",
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    content = body.encode() if isinstance(body, str) else body
    return await server.client.request(method, path, content=content, headers={**server.bearer, **(headers or {})})


async def groups(server: Server) -> dict[str, dict[str, Any]]:
    """By grouping labels."""
    answer = await server.get("/api/v1/push/groups")
    assert answer.status_code == 200, answer.text
    found = answer.json()["data"]
    return {",".join(f"{name}={value}" for name, value in sorted(group["labels"].items())): group for group in found}


async def values(server: Server, expression: str) -> list[str]:
    return [series["value"][1] for series in await server.query(expression)]


async def is_refused(server: Server, body: bytes | str, why: str, path: str = JOB, **headers: str) -> None:
    answer = await push(server, body, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    assert (answer.status_code, answer.text) == (400, why + "\n")
    assert answer.headers["content-type"].startswith("text/plain")


async def test_put_replaces_a_group_and_post_its_families(server: Server) -> None:
    answer = await push(server, 'a 1\nb{n="1"} 1\nb{n="2"} 2\n')
    assert (answer.status_code, answer.content) == (200, b"")
    assert await values(server, 'sum(b{job="batch"})') == ["3"]
    assert (await push(server, 'b{n="3"} 3\n', method="POST")).status_code == 200
    [group] = (await groups(server)).values()
    assert set(group) == {"labels", "last_push_successful", "a", "b", "push_time_seconds", "push_failure_time_seconds"}
    assert [metric["labels"] for metric in group["b"]["metrics"]] == [{"instance": "", "job": "batch", "n": "3"}]
    assert (await push(server, "a 2\n")).status_code == 200
    [group] = (await groups(server)).values()
    assert "b" not in group
    assert group["a"]["metrics"] == [{"labels": {"instance": "", "job": "batch"}, "value": "2"}]


async def test_an_empty_push_leaves_the_stamps_only(server: Server) -> None:
    await push(server, "a 1\n")
    before_s = time.time()
    assert (await push(server, "")).status_code == 200
    [group] = (await groups(server)).values()
    assert set(group) == {"labels", "last_push_successful", "push_time_seconds", "push_failure_time_seconds"}
    stamp = group["push_time_seconds"]
    assert stamp["help"] == "Last Unix time when changing this group in the Pushgateway succeeded."
    assert before_s - 0.01 <= float(stamp["metrics"][0]["value"]) <= time.time()
    assert group["push_failure_time_seconds"]["metrics"][0]["value"] == "0"
    assert (await push(server, "", method="POST")).status_code == 200


async def test_delete_is_202_whether_there_was_a_group_or_not(server: Server) -> None:
    await push(server, "a 1\n")
    for _ in range(2):
        answer = await push(server, b"", method="DELETE")
        assert (answer.status_code, answer.content) == (202, b"")
        assert await groups(server) == {}


async def test_every_spelling_of_a_path_is_one_group(server: Server) -> None:
    def encoded(text: str) -> str:
        return base64.urlsafe_b64encode(text.encode()).decode()

    await push(server, "a 1\n", "/metrics/job/x/path/%C3%A9")
    await push(server, "a 2\n", f"/metrics/job@base64/{encoded('x')}/path@base64/{encoded('é')}")
    await push(server, "a 3\n", f"/metrics/job/x/path@base64/{encoded('é').rstrip('=')}")
    await push(server, "b 1\n", f"/metrics/job/x/path@base64/{encoded('/srv/data')}")
    await push(server, "b 2\n", "/metrics/job/x/path@base64/L3Nydi9kYXRh")
    await push(server, "c 1\n", "/metrics/job/x/first@base64/=/second/b")
    await push(server, "d 1\n", "/metrics/job/x/b/1/a/2")
    await push(server, "d 2\n", "/metrics/job/x/a/3/a/2/b/1/job/other")
    found = await groups(server)
    assert set(found) == {"job=x,path=é", "job=x,path=/srv/data", "first=,job=x,second=b", "a=2,b=1,job=x"}
    assert found["job=x,path=é"]["a"]["metrics"][0]["value"] == "3"
    assert found["a=2,b=1,job=x"]["d"]["metrics"][0]["value"] == "2"
    assert found["job=x,path=/srv/data"]["b"]["metrics"][0]["value"] == "2"
    assert (await push(server, "a 1\n", "/metrics/job/x/")).status_code == 200


async def test_groups_that_share_labels_are_strangers(server: Server) -> None:
    await push(server, "a 1\n", "/metrics/job/x")
    await push(server, "a 2\n", "/metrics/job/x/instance/y")
    await push(server, b"", "/metrics/job/x", method="DELETE")
    assert set(await groups(server)) == {"instance=y,job=x"}
    await push(server, b"", "/metrics/job/x/instance/y", method="DELETE")
    assert await groups(server) == {}


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/metrics/job/x/instance", 'odd number of components in label string "/instance"'),
        ("/metrics/job/x/a/b/", 'odd number of components in label string "/a/b/"'),
        ("/metrics/job/x/9x/1", 'improper label name "9x"'),
        ("/metrics/job/x/__a/1", 'improper label name "__a"'),
        (
            "/metrics/job/x/path@base64/a*",
            'invalid base64 encoding for label path="a*": illegal base64 data at input byte 1',
        ),
        (
            "/metrics/job@base64/*/a/b",
            'invalid base64 encoding in job name "": illegal base64 data at input byte 0',
        ),
        ("/metrics/job@base64/=", "job name is required"),
        ("/metrics/job/x%2Fy", 'odd number of components in label string "/y"'),
    ],
)
async def test_a_wrong_path_leaves_no_trace(path: str, why: str, server: Server) -> None:
    await is_refused(server, "a 1\n", why, path)
    answer = await push(server, b"", path, method="DELETE")
    assert (answer.status_code, answer.text) == (400, why + "\n")
    assert await groups(server) == {}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("a 1", "unexpected end of input stream"),
        ("a b 1\n", 'expected float as value, got "b"'),
        ("# TYPE a unknown\n", 'unknown metric type "unknown"'),
        ('a 1 # {b="c"} 1\n', 'expected integer as timestamp, got "#"'),
        ("9a 1\n", "invalid metric name"),
        ('a{__name__="b"} 1\n', 'label name "__name__" is reserved'),
        ('a{b="1",b="2"} 1\n', 'duplicate label names for metric "a"'),
        ("a 1 2.5\n", 'expected integer as timestamp, got "2.5"'),
    ],
)
async def test_a_body_that_cannot_be_read_leaves_no_trace(body: str, why: str, server: Server) -> None:
    await is_refused(server, body, f"text format parsing error in line 1: {why}")
    assert await groups(server) == {}


async def test_timestamps_are_refused_stamped_and_forgiven(server: Server) -> None:
    why = "pushed metrics are invalid or inconsistent with existing metrics: pushed metrics must not have timestamps"
    await is_refused(server, "a 1 1000\n", why)
    [group] = (await groups(server)).values()
    assert group["last_push_successful"] is False
    assert group["push_time_seconds"]["metrics"][0]["value"] == "0"
    failed = float(group["push_failure_time_seconds"]["metrics"][0]["value"])
    assert abs(failed - time.time()) < 60
    assert await values(server, 'push_failure_time_seconds{job="batch"}') != []
    assert (await push(server, "a 1\n")).status_code == 200
    [group] = (await groups(server)).values()
    assert group["last_push_successful"] is True
    assert float(group["push_failure_time_seconds"]["metrics"][0]["value"]) == failed
    assert float(group["push_time_seconds"]["metrics"][0]["value"]) >= failed


async def test_grouping_labels_win_over_those_of_the_body(server: Server) -> None:
    await push(server, 'a{job="foo",x="1"} 1\n', "/metrics/job/bar")
    [series] = await server.query("a")
    assert series["metric"] == {"__name__": "a", "job": "bar", "x": "1"}
    prefix = "pushed metrics are invalid or inconsistent with existing metrics: "
    answer = await push(server, 'a{job="1"} 1\na{job="2"} 2\n', "/metrics/job/bar")
    assert answer.status_code == 400
    assert answer.text.startswith(
        f'{prefix}collected metric "a" {{ label:{{name:"job" value:"bar"}} untyped:{{value:2}}}}'
    )
    assert answer.text.endswith("was collected before with the same name and label values\n")
    assert await values(server, "a") == ["1"]


async def test_pushed_stamps_are_overwritten(server: Server) -> None:
    assert (await push(server, "push_time_seconds 7\npush_failure_time_seconds 7\n")).status_code == 200
    [group] = (await groups(server)).values()
    assert float(group["push_time_seconds"]["metrics"][0]["value"]) > 1e9
    assert group["push_failure_time_seconds"]["metrics"][0]["value"] == "0"


@pytest.mark.parametrize("encoding", ["gzip", "snappy", "zstd", "GZIP"])
async def test_encodings(encoding: str, server: Server) -> None:
    text = b"".join(b'a{n="%d"} %d\n' % (n, n) for n in range(2000))
    body = {
        "gzip": gzip.compress,
        "snappy": lambda plain: bytes(cramjam.snappy.compress(plain)),
        "zstd": lambda plain: bytes(cramjam.zstd.compress(plain)),
    }[encoding.lower()](text)
    assert (await push(server, body, headers={"Content-Encoding": encoding})).status_code == 200
    assert await values(server, 'count(a{job="batch"})') == ["2000"]


async def test_bad_encodings(server: Server) -> None:
    assert (await push(server, b"a 1\n", headers={"Content-Encoding": "gzip"})).status_code == 400
    assert (await push(server, b"a 1\n", headers={"Content-Encoding": "br"})).status_code == 415
    await server.set_limits(max_decoded_bytes=1000)
    answer = await push(server, gzip.compress(b"\n" * 2000), headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413
    assert await groups(server) == {}


async def test_limits_refuse_the_whole_push(server: Server) -> None:
    await server.set_limits(max_labels=3)
    answer = await push(server, 'good 1\nbad{a="1",b="2",c="3"} 1\n')
    assert answer.status_code == 400
    assert "too_many_labels" in answer.text
    assert await server.query("good") == []
    [group] = (await groups(server)).values()
    assert group["last_push_successful"] is False
    rejections = (await server.get("/api/v1/status/rejections")).json()["data"]
    assert [r["reason"] for r in rejections] == ["too_many_labels"]


async def test_a_push_that_contradicts_itself_is_in_the_ledger(server: Server) -> None:
    assert (await push(server, "twice 1\ntwice 1\n")).status_code == 400
    [told] = (await server.get("/api/v1/status/rejections")).json()["data"]
    assert (told["reason"], told["samples"]) == ("inconsistent_push", 1)
    assert "twice" in told["example"]


async def test_a_push_that_comes_too_fast_leaves_no_trace(server: Server) -> None:
    await server.set_limits(max_samples_per_second=1, max_burst_samples=2)
    assert (await push(server, "a 1\nb 1\n")).status_code == 200
    answer = await push(server, "a 2\nb 2\n")
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert "max_samples_per_second" in answer.json()["error"]
    assert await values(server, "a") == ["1"]


async def test_every_type_is_scraped_as_from_a_gateway(server: Server) -> None:
    registry = CollectorRegistry()
    Counter("c", "A counter.", registry=registry).inc(5)
    Gauge("g", "A gauge.", ["x"], registry=registry).labels("y").set(1.5)
    histogram = Histogram("h", "A histogram.", buckets=(0.5, 1, 10), registry=registry)
    histogram.observe(0.7)
    Summary("s", "A summary.", registry=registry).observe(2)
    assert (await push(server, generate_latest(registry))).status_code == 200
    assert await values(server, "c_total") == ["5"]
    assert await values(server, 'g{x="y"}') == ["1.5"]
    assert await values(server, 'h_bucket{le="1.0"}') == ["1"]
    assert await values(server, 'h_bucket{le="+Inf"}') == ["1"]
    assert await values(server, "s_sum") == ["2"]
    assert await values(server, "histogram_quantile(0.5, h_bucket)") == ["0.75"]
    [group] = (await groups(server)).values()
    assert group["h"]["type"] == "HISTOGRAM"
    assert group["h"]["metrics"][0] == {
        "labels": {"instance": "", "job": "batch"},
        "buckets": {"0.5": "0", "1": "1", "10": "1", "+Inf": "1"},
        "count": "1",
        "sum": "0.7",
    }
    assert group["s"]["metrics"][0]["count"] == "1"
    assert (await server.get("/api/v1/metadata", metric="h")).json()["data"]["h"][0]["type"] == "histogram"


async def test_delimited_protobuf(server: Server) -> None:
    def field(number: int, payload: bytes) -> bytes:
        return bytes([number << 3 | 2, len(payload)]) + payload

    gauge = field(2, b"\x09" + bytes(6) + b"\xf8\x3f")  # 1.5
    label = field(1, field(1, b"n") + field(2, b"v"))
    family = field(1, b"p") + field(2, b"Help.") + b"\x18\x01" + field(4, label + gauge)
    for form in (PROTOBUF, PROTOBUF.replace("; ", ";"), PROTOBUF.upper()):
        answer = await push(server, bytes([len(family)]) + family, headers={"Content-Type": form})
        assert answer.status_code == 200, answer.text
    assert await values(server, 'p{n="v",job="batch"}') == ["1.5"]
    answer = await push(server, family, headers={"Content-Type": PROTOBUF})
    assert answer.status_code == 400


async def test_open_metrics(server: Server) -> None:
    body = '# TYPE a counter\na_total 1 # {t="x"} 1\n# EOF\n'
    answer = await push(server, body, headers={"Content-Type": "application/openmetrics-text; version=1.0.0"})
    assert answer.status_code == 200, answer.text
    assert await values(server, "a_total") == ["1"]


@pytest.mark.parametrize("ttl", ["0.05", "50ms"])
@pytest.mark.parametrize("way", ["header", "parameter"])
async def test_a_time_to_live(ttl: str, way: str, server: Server) -> None:
    path, headers = (JOB, {"X-Headrace-Push-TTL": ttl}) if way == "header" else (f"{JOB}?ttl={ttl}", {})
    assert (await push(server, "a 1\n", path, headers=headers)).status_code == 200
    end = time.monotonic() + 10
    while await groups(server):
        assert time.monotonic() < end
    for wrong in ("soon", "-1", "1x", "200y", ""):
        assert (await push(server, "a 1\n", f"{JOB}?ttl={wrong}")).status_code == 400


async def test_a_wipe_takes_the_callers_groups_and_no_others(server: Server) -> None:
    other = await server.fresh()
    for one in (server, other):
        for job in ("a", "b"):
            await push(one, "x 1\n", f"/metrics/job/{job}")
    answer = await server.client.put("/api/v1/push/wipe", headers=server.bearer)
    assert answer.status_code == 202
    assert await groups(server) == {}
    assert set(await groups(other)) == {"job=a", "job=b"}


async def test_it_wants_a_credential_and_the_right_method(server: Server) -> None:
    for method in ("PUT", "POST", "DELETE"):
        answer = await server.client.request(method, JOB, content=b"a 1\n")
        assert answer.status_code == 401
        answer = await server.client.request(method, JOB, content=b"a 1\n", headers=server.basic)
        assert answer.status_code in {200, 202}
    assert (await server.client.get("/api/v1/push/groups")).status_code == 401
    assert (await server.client.put("/api/v1/push/wipe")).status_code == 401
    assert (await server.client.get(JOB, headers=server.bearer)).status_code == 405


async def test_doubled_slashes_are_sent_to_the_clean_path(server: Server) -> None:
    answer = await push(server, "a 1\n", "/metrics/job//x?ttl=5")
    assert (answer.status_code, answer.headers["location"]) == (307, "/metrics/job/x?ttl=5")


async def test_senders_of_remote_write_cannot_forge_a_push(server: Server) -> None:
    from tests.support.remote_write import snappy

    answer = await server.post_body(snappy(b"\xf2\x06\x04\x08\x05\x10\x00"))
    assert answer.status_code == 400
    assert "not for senders" in answer.json()["error"]
