"""Exemplars: taken from both versions of remote write, bounded, checked, and found again."""

import struct
import time
from typing import Any

import pytest

from tests.support import remote_write_v2 as v2
from tests.support.remote_write import field, snappy, varint
from tests.support.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATH = "/api/v1/query_exemplars"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def exemplar(time_ms: int, value: float = 1.0, **labels: str) -> v2.Exemplar:
    return v2.Exemplar(labels, value, time_ms)


async def write(server: Server, *series: v2.Series) -> tuple[int, str | None]:
    """Status, and how many exemplars were written."""
    answer = await server.post_body(v2.body(series), v2.HEADERS)
    return answer.status_code, answer.headers.get("x-prometheus-remote-write-exemplars-written")


async def found(server: Server, query: str, **params: Any) -> Any:
    answer = await server.get(PATH, query=query, **params)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def v1_body(name: str, time_ms: int, *labels: tuple[str, str]) -> bytes:
    """A series without samples, as Prometheus sends exemplars."""
    pairs = b"".join(field(1, field(1, name.encode()) + field(2, value.encode())) for name, value in labels)
    series = field(1, field(1, b"__name__") + field(2, name.encode()))
    value = varint(2 << 3 | 1) + struct.pack("<d", 6.5) + varint(3 << 3) + varint(time_ms)
    return snappy(field(1, series + field(3, pairs + value)))


async def test_of_both_versions_sorted_by_series_and_time(server: Server) -> None:
    at = now_ms()
    exemplars = [exemplar(at, 0.25, trace_id="b"), exemplar(at - 1000, 2.0, trace_id="a", span="ü")]
    labels = {"__name__": "lat", "zone": "2"}
    assert await write(server, v2.Series(labels, [(at, 1.0)], exemplars=exemplars)) == (204, "2")
    # By itself, as Prometheus sends them, and late.
    alone = v2.Series({"__name__": "lat", "zone": "1"}, exemplars=[exemplar(at - 5000)])
    assert await write(server, alone) == (204, "1")
    assert (await server.post_body(v1_body("other", at, ("id", "x")))).status_code == 204
    everything = await found(server, 'lat + on() group_left() sum(rate(other{job!="x"}[5m]))')
    assert everything == [
        {
            "seriesLabels": {"__name__": "lat", "zone": "1"},
            "exemplars": [{"labels": {}, "value": "1", "timestamp": (at - 5000) / 1000}],
        },
        {
            "seriesLabels": labels,
            "exemplars": [
                {"labels": {"span": "ü", "trace_id": "a"}, "value": "2", "timestamp": (at - 1000) / 1000},
                {"labels": {"trace_id": "b"}, "value": "0.25", "timestamp": at / 1000},
            ],
        },
        {
            "seriesLabels": {"__name__": "other"},
            "exemplars": [{"labels": {"id": "x"}, "value": "6.5", "timestamp": at / 1000}],
        },
    ]
    assert await found(server, 'lat{zone=~"1|3"}') == everything[:1]
    assert await found(server, "lat", start=(at - 1000) / 1000, end=(at - 1) / 1000) == [
        {"seriesLabels": labels, "exemplars": everything[1]["exemplars"][:1]}
    ]
    assert await found(server, "nothing") == []
    answer = await server.client.post(PATH, data={"query": "other"}, headers=server.bearer)
    assert answer.json()["data"] == everything[2:]
    assert await found(await server.fresh(), "lat") == []


async def test_equal_ones_are_one(server: Server) -> None:
    at = now_ms()
    series = v2.Series({"__name__": "up"}, [(at, 1.0)], exemplars=[exemplar(at, trace_id="x")] * 2)
    for _ in range(2):
        assert await write(server, series) == (204, "2")
    assert len((await found(server, "up"))[0]["exemplars"]) == 1


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (exemplar(now_ms(), trace_id="é" * 121), "have 129 characters, at most 128 are taken"),
        (exemplar(now_ms() + 10_000_000), "its time "),
        (exemplar(now_ms(), **{"": "x"}), "one of its labels has no name"),
    ],
)
async def test_bad_ones_are_refused_and_their_samples_kept(bad: v2.Exemplar, message: str, server: Server) -> None:
    at = now_ms()
    good = exemplar(at, trace_id="é" * 120)
    answer = await server.post_body(
        v2.body([v2.Series({"__name__": "up"}, [(at, 1.0)], exemplars=[good, bad])]), v2.HEADERS
    )
    assert answer.status_code == 400
    assert answer.headers["x-prometheus-remote-write-exemplars-written"] == "1"
    assert answer.headers["x-prometheus-remote-write-samples-written"] == "1"
    assert message in answer.json()["error"]
    assert len(await server.query("up")) == 1
    assert len((await found(server, "up"))[0]["exemplars"]) == 1
    [row] = (await server.get("/api/v1/status/rejections")).json()["data"]
    assert (row["reason"], row["samples"]) == ("invalid_exemplar", 1)


async def test_references_that_lead_nowhere_and_no_timestamp(server: Server) -> None:
    at = now_ms()
    for refs, time_ms, message in (([1, 99], at, "labelRefs 1 (name) = 99"), ([1, 2], 0, "it has no timestamp")):
        request = v2.message([v2.Series({"__name__": "up"}, [(at, 1.0)])])
        request.timeseries[0].exemplars.add(labels_refs=refs, value=1, timestamp=time_ms)
        answer = await server.post_body(v2.compressed(request), v2.HEADERS)
        assert (answer.status_code, answer.headers["x-prometheus-remote-write-samples-written"]) == (400, "1")
        assert message in answer.json()["error"]


async def test_version_1_never_fails_for_an_exemplar(server: Server) -> None:
    assert (await server.post_body(v1_body("up", now_ms(), ("id", "x" * 127)))).status_code == 204
    assert await found(server, "up") == []
    [row] = (await server.get("/api/v1/status/rejections")).json()["data"]
    assert (row["reason"], row["samples"]) == ("invalid_exemplar", 1)
    assert row["example"].endswith(": up")


async def test_those_of_a_refused_series_go_with_it(server: Server) -> None:
    at = now_ms()
    bad = v2.Series({"job": "no name"}, [(at, 1.0)], exemplars=[exemplar(at)])
    assert await write(server, bad, v2.Series({"__name__": "up"}, exemplars=[exemplar(at)])) == (400, "1")
    assert len(await found(server, '{__name__!=""}')) == 1


async def test_an_expression_without_selectors_has_no_content(server: Server) -> None:
    answer = await server.get(PATH, query="1 + 1")
    assert (answer.status_code, answer.content) == (204, b"")
