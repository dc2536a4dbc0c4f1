"""Remote write 2.0 through the write route: negotiation, statuses, and what the answer says was stored."""

import time
from collections.abc import Mapping

import httpx
import pytest

from shared.errors import HeadraceError, InternalError, LimitedError, UnavailableError
from shared.local.log import LocalLog
from tests.support import remote_write_v2 as v2
from tests.support.remote_write import body as body_v1
from tests.support.remote_write import field, snappy
from tests.support.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")

Written = tuple[int, int, int]
"""Samples, histograms, exemplars."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def up(value: float = 1.0, name: str = "up", **labels: str) -> v2.Series:
    return v2.Series({"__name__": name, **labels}, [(now_ms(), value)])


async def post(server: Server, body: bytes, headers: Mapping[str, str] = v2.HEADERS) -> httpx.Response:
    return await server.post_body(body, headers)


def written(answer: httpx.Response) -> Written | None:
    """None: not said."""
    found = [
        answer.headers.get(f"x-prometheus-remote-write-{what}-written")
        for what in ("samples", "histograms", "exemplars")
    ]
    if all(value is None for value in found):
        return None
    samples, histograms, exemplars = (int(value) for value in found)
    return samples, histograms, exemplars


async def test_a_good_request_is_204_says_what_was_stored_and_can_be_read_at_once(server: Server) -> None:
    at = now_ms()
    series = [
        v2.Series({"__name__": "up", "job": "a", "instance": "x:1"}, [(at, 1.0), (at - 1000, 2.0)]),
        v2.Series({"zone": "1", "__name__": "load", "job": "a"}, [(at, 0.0)]),  # not sorted
    ]
    answer = await post(server, v2.body(series))
    assert (answer.status_code, answer.content, written(answer)) == (204, b"", (3, 0, 0))
    [found] = await server.query("up")
    assert found["metric"] == {"__name__": "up", "job": "a", "instance": "x:1"}
    assert found["value"][1] == "1"
    assert len(await server.query('load{zone="1"}')) == 1


async def test_versions_name_the_same_series(server: Server) -> None:
    at = now_ms()
    labels = {"__name__": "both", "job": "a"}
    assert (await server.post_body(body_v1([(labels, [(at - 1000, 1.0)])]))).status_code == 204
    assert (await post(server, v2.body([v2.Series(labels, [(at, 2.0)])]))).status_code == 204
    [found] = await server.query("both[5m]")
    assert [value for _, value in found["values"]] == ["1", "2"]


@pytest.mark.parametrize(
    "content_type",
    [
        v2.CONTENT_TYPE,
        "Application/X-Protobuf; Proto=io.prometheus.write.v2.Request",
        'application/x-protobuf; charset=x; proto="io.prometheus.write.v2.Request"',
    ],
)
async def test_content_types_of_version_2(content_type: str, server: Server) -> None:
    answer = await post(server, v2.body([up()]), {**v2.HEADERS, "Content-Type": content_type})
    assert (answer.status_code, written(answer)) == (204, (1, 0, 0))


async def test_the_content_type_decides_and_not_the_version_header(server: Server) -> None:
    answer = await post(server, body_v1(), {"X-Prometheus-Remote-Write-Version": "2.0.0"})
    assert (answer.status_code, written(answer)) == (204, None)
    answer = await post(server, v2.body([up()]), {**v2.HEADERS, "X-Prometheus-Remote-Write-Version": "0.1.0"})
    assert (answer.status_code, written(answer)) == (204, (1, 0, 0))


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"Content-Encoding": "gzip"}, "gzip encoding (compression) is not accepted"),
        ({"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v3.Request"}, "unknown type"),
        ({"Content-Type": "application/json;proto=io.prometheus.write.v2.Request"}, "expected application/x-protobuf"),
    ],
)
async def test_what_fails_negotiation_is_415_and_counts_nothing(
    headers: Mapping[str, str], message: str, server: Server
) -> None:
    answer = await post(server, v2.body([up()]), {**v2.HEADERS, **headers})
    assert (answer.status_code, written(answer)) == (415, None)
    assert message in answer.json()["error"]
    assert (
        "prometheus.WriteRequest, io.prometheus.write.v2.Request" in answer.json()["error"] or "unknown" not in message
    )


async def test_a_message_of_version_1_in_the_name_of_2_stores_nothing_and_is_no_success(server: Server) -> None:
    # Field 1 is reserved in 2.0: to its decoder the request is empty.
    answer = await post(server, body_v1([({"__name__": "lost"}, [(now_ms(), 1.0)])]))
    assert (answer.status_code, written(answer)) == (204, (0, 0, 0))
    assert await server.query("lost") == []


REFUSED = {
    "an odd number of references": ([1, 2, 1], "parsing labels for series [1 2 1]: invalid labelRefs length 3"),
    "a reference outside of the table": (
        [1, 2, 1, 99],
        "parsing labels for series [1 2 1 99]: labelRefs 1 (name) = 99 (value) outside of symbols table (size 3)",
    ),
    "no metric name": ([2, 1], "a series has no metric name"),
    "an empty name": ([1, 2, 0, 1], "a label has no name"),
    "a name twice": ([1, 2, 1, 2], 'label "__name__" occurs twice'),
}


@pytest.mark.parametrize(("refs", "message"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_bad_series_is_400_and_its_neighbours_are_kept(refs: list[int], message: str, server: Server) -> None:
    request = v2.message([up()])
    assert list(request.symbols) == ["", "__name__", "up"]
    bad = request.timeseries.add(labels_refs=refs)
    bad.samples.add(timestamp=now_ms(), value=1)
    bad.samples.add(timestamp=now_ms() + 1, value=1)
    answer = await post(server, v2.compressed(request))
    assert (answer.status_code, written(answer)) == (400, (1, 0, 0))
    error = answer.json()["error"]
    assert error.startswith("refused 2, stored 1 samples; 2 ")
    assert message in error
    assert len(await server.query("up")) == 1
    [row] = (await server.get("/api/v1/status/rejections")).json()["data"]
    assert row["samples"] == 2
    assert message in row["example"]


async def test_metadata_that_points_nowhere_refuses_its_series(server: Server) -> None:
    request = v2.message([up(), up(name="other")])
    request.timeseries[1].metadata.unit_ref = 9
    answer = await post(server, v2.compressed(request))
    assert (answer.status_code, written(answer)) == (400, (1, 0, 0))
    assert "parsing metadata for series [1 3]: unit_ref 9 outside of symbols table (size 4)" in answer.json()["error"]


async def test_a_series_without_anything_is_400(server: Server) -> None:
    answer = await post(server, v2.body([up(), v2.Series({"__name__": "nothing"})]))
    assert (answer.status_code, written(answer)) == (400, (1, 0, 0))
    assert "TimeSeries must contain at least one sample or histogram" in answer.json()["error"]


async def test_samples_out_of_bounds_are_refused_alone(server: Server) -> None:
    at = now_ms()
    answer = await post(server, v2.body([v2.Series({"__name__": "up"}, [(at, 1.0), (at + 3_600_000, 2.0)])]))
    assert (answer.status_code, written(answer)) == (400, (1, 0, 0))
    assert "too_far_in_future" in answer.json()["error"]


async def test_the_same_series_may_come_twice_and_equal_samples_merge(server: Server) -> None:
    one = up(value=3)
    for _ in range(2):
        answer = await post(server, v2.body([one, one]))
        assert (answer.status_code, written(answer)) == (204, (2, 0, 0))
    [found] = await server.query("up[5m]")
    assert len(found["values"]) == 1


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"\xff\xff\xff", "snappy"),
        (snappy(b"\x22\x05ab"), "truncated protobuf"),
        (snappy(b"\x22\x02ab"), "symbols[0] of a remote write 2.0 request must be the empty string"),
        (snappy(b"\x22\x00" + field(5, b"\x12\x09\x09")), "truncated protobuf"),
        (snappy(b"\x28\x01"), "damaged protobuf"),
    ],
)
async def test_damaged_bodies_are_400_with_zeros(bad: bytes, message: str, server: Server) -> None:
    answer = await post(server, bad)
    assert (answer.status_code, written(answer)) == (400, (0, 0, 0))
    assert message in answer.json()["error"]


async def test_sizes_count_what_the_symbols_come_to(server: Server) -> None:
    await server.set_limits(max_body_bytes=2000, max_decoded_bytes=10_000)
    answer = await post(server, v2.body([up(filler=str(i) * 500) for i in range(8)]))
    assert (answer.status_code, written(answer)) == (204, (8, 0, 0))
    # A string of 500 bytes, named fifty times.
    answer = await post(server, v2.body([up(filler="x" * 500, i=str(i)) for i in range(50)]))
    assert (answer.status_code, written(answer)) == (413, (0, 0, 0))
    assert "10000 bytes once its symbols are put in" in answer.json()["error"]
    answer = await post(server, b"\xff" * 2001)
    assert (answer.status_code, written(answer)) == (413, (0, 0, 0))


@pytest.mark.parametrize(
    "error",
    [UnavailableError("the log's queue is full"), LimitedError("slower", retry_after_s=3), InternalError("a bug")],
)
async def test_a_log_that_takes_nothing_counts_zeros(
    error: HeadraceError, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> int:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(LocalLog, "append", refuse)
        answer = await post(server, v2.body([up()]))
    assert (answer.status_code, written(answer)) == (error.status, (0, 0, 0))


async def test_answers_to_version_1_count_nothing(server: Server) -> None:
    for labels in ({"__name__": "up"}, {"no": "name"}):
        answer = await server.write([(labels, [(now_ms(), 1.0)])])
        assert written(answer) is None


async def test_metadata_of_series_is_served_by_family(server: Server) -> None:
    def described(name: str, kind: int, text: str, unit: str = "") -> v2.Series:
        return v2.Series({"__name__": name}, [(now_ms(), 1.0)], (kind, text, unit))

    series = [
        described("lat_bucket", v2.HISTOGRAM, "How long.", "seconds"),
        described("lat_count", v2.HISTOGRAM, "How long.", "seconds"),
        described("x_total", v2.COUNTER, "How many."),
        described("plain", 0, ""),
    ]
    assert (await post(server, v2.body(series))).status_code == 204
    data = (await server.get("/api/v1/metadata")).json()["data"]
    assert data == {
        "lat": [{"type": "histogram", "help": "How long.", "unit": "seconds"}],
        "x_total": [{"type": "counter", "help": "How many.", "unit": ""}],
    }


async def test_a_refused_credential_comes_first(server: Server) -> None:
    answer = await post(server, b"anything", {**v2.HEADERS, "Authorization": "Bearer wrong-wrong-wrong"})
    assert (answer.status_code, written(answer)) == (401, None)
