"""Back-fill from the text formats: what is kept, what is refused and how that is said."""

import gzip
import time

import cramjam
import pytest

from distributor.importing import DIRECT_BYTES, PIECE_BYTES
from tests.support.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATH = "/api/v1/import/prometheus"
OPEN_METRICS = {"Content-Type": "application/openmetrics-text; version=1.0.0; charset=utf-8"}

YEARS_AGO_S = 1_400_000_000


async def post(server: Server, body: bytes, **headers: str) -> tuple[int, dict[str, object]]:
    every = server.bearer | {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await server.client.post(PATH, content=body, headers=every)
    return answer.status_code, answer.json()


async def values(server: Server, expression: str, at_s: float) -> list[str]:
    return [series["value"][1] for series in await server.query(expression, time=at_s)]


async def test_samples_of_any_age_are_stored_at_their_times(server: Server) -> None:
    text = "".join(f'old{{n="{n}"}} {n}.5 {(YEARS_AGO_S + 60 * n) * 1000}\n' for n in range(5))
    status, answer = await post(server, text.encode())
    assert (status, answer) == (200, {"status": "success", "data": {"samples": 5, "exemplars": 0}})
    assert await values(server, 'old{n="3"}', YEARS_AGO_S + 180) == ["3.5"]
    assert await values(server, "count(old)", YEARS_AGO_S + 240) == ["5"]
    assert await values(server, "old", YEARS_AGO_S - 1) == []


async def test_without_a_timestamp_it_is_the_time_of_receipt(server: Server) -> None:
    before_s = time.time()
    assert (await post(server, b"# TYPE up gauge\nup 1\n"))[0] == 200
    [series] = await server.query("timestamp(up)")
    assert before_s - 0.01 <= float(series["value"][1]) <= time.time()
    metadata = (await server.get("/api/v1/metadata", metric="up")).json()["data"]
    assert metadata["up"][0]["type"] == "gauge"


@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd", "snappy"])
@pytest.mark.parametrize("lines", [10, 20_000])
async def test_encodings_small_and_large(encoding: str, lines: int, server: Server) -> None:
    text = "".join(f'many{{n="{n}"}} {n} {(YEARS_AGO_S + 1) * 1000}\n' for n in range(lines)).encode()
    assert (len(text) > max(DIRECT_BYTES, PIECE_BYTES // 2)) == (lines > 10)
    body = {
        "identity": bytes,
        "gzip": lambda plain: gzip.compress(plain[:100]) + gzip.compress(plain[100:]),
        "zstd": lambda plain: bytes(cramjam.zstd.compress(plain)),
        "snappy": lambda plain: bytes(cramjam.snappy.compress(plain)),
    }[encoding](text)
    assert await post(server, body, Content_Encoding=encoding) == (
        200,
        {"status": "success", "data": {"samples": lines, "exemplars": 0}},
    )
    assert await values(server, "count(many)", YEARS_AGO_S + 1) == [str(lines)]


async def test_a_bad_line_costs_only_itself(server: Server) -> None:
    body = b'good{a="1"} 1\nbad{a=} 1\ngood{a="2"} x\ngood{a="3"} 3\nworse{__name__="x"} 1\n'
    status, answer = await post(server, body)
    assert status == 400
    text = str(answer["error"])
    assert "stored 2 samples, refused 0 samples and 3 lines" in text
    assert "line 2: expected '\"' at start of label value, found '}'" in text
    assert 'line 3: expected float as value, got "x"' in text
    assert "line 5: label name" in text
    assert await values(server, "count(good)", time.time()) == ["2"]
    rejections = (await server.get("/api/v1/status/rejections")).json()["data"]
    assert [(r["reason"], r["samples"]) for r in rejections] == [("unreadable_line", 3)]


async def test_limits_of_the_instance_hold(server: Server) -> None:
    await server.set_limits(max_labels=2, max_age_s=3600, max_decoded_bytes=10_000)
    status, answer = await post(server, b'a{b="1",c="2"} 1\nold 1 1000\nfuture 1 9999999999999\ngood 1\n')
    assert status == 400
    text = str(answer["error"])
    assert "stored 1 samples, refused 3 samples and 0 lines" in text
    for reason in ("too_many_labels", "too_old", "too_far_in_future"):
        assert reason in text
    for encoding, body in (
        ("gzip", gzip.compress(b"\n" * 20_000)),
        ("zstd", bytes(cramjam.zstd.compress(b"\n" * 20_000))),
        ("identity", b"\n" * 20_000),
    ):
        status, answer = await post(server, body, Content_Encoding=encoding)
        assert status == 413
        assert "10000" in str(answer["error"])


async def test_the_series_limit_holds(server: Server) -> None:
    await server.set_limits(max_series=3)
    status, answer = await post(server, b"".join(b"limited%d 1\n" % n for n in range(50)))
    assert status == 400
    assert "series_limit" in str(answer["error"])


async def test_open_metrics(server: Server) -> None:
    body = (
        b"# TYPE requests_seconds histogram\n# UNIT requests_seconds seconds\n"
        b'requests_seconds_bucket{le="1"} 2 1400000000.5 # {trace_id="x"} 0.4\n'
        b'requests_seconds_bucket{le="+Inf"} 3 1400000000.5\nrequests_seconds_count 3 1400000000.5\n# EOF\n'
    )
    status, answer = await post(server, body, **OPEN_METRICS)
    assert (status, answer["data"]) == (200, {"samples": 3, "exemplars": 1})
    assert await values(server, 'requests_seconds_bucket{le="1.0"}', YEARS_AGO_S + 1) == ["2"]
    status, answer = await post(server, body.removesuffix(b"# EOF\n"), **OPEN_METRICS)
    assert status == 400
    assert "data does not end with # EOF" in str(answer["error"])


async def test_no_stale_marker_comes_in_this_way(server: Server) -> None:
    assert (await post(server, b"maybe NaN\n"))[0] == 200
    assert await values(server, "maybe", time.time()) == ["NaN"]


@pytest.mark.parametrize(
    ("headers", "body", "status", "text"),
    [
        ({"Content_Encoding": "br"}, b"", 415, "br encoding is not accepted"),
        ({"Content_Type": "application/json"}, b"{}", 415, "application/json cannot be imported"),
        ({"Content_Encoding": "gzip"}, b"up 1\n", 400, "damaged gzip body"),
        ({"Content_Encoding": "gzip"}, b"", 400, "damaged gzip body"),
        ({"Content_Encoding": "gzip"}, gzip.compress(b"up 1\n")[:-9], 400, "ends early"),
        ({"Content_Encoding": "snappy"}, b"up 1\n", 400, "damaged snappy body"),
        ({"Content_Encoding": "zstd"}, b"up 1\n", 400, "damaged zstd body"),
    ],
)
async def test_what_cannot_be_read_is_refused(
    headers: dict[str, str], body: bytes, status: int, text: str, server: Server
) -> None:
    found, answer = await post(server, body, **headers)
    assert found == status
    assert text in str(answer["error"])


async def test_it_wants_a_credential(server: Server) -> None:
    assert (await server.client.post(PATH, content=b"up 1\n")).status_code == 401
    assert (await server.client.get(PATH, headers=server.bearer)).status_code == 405


async def test_an_empty_body_is_fine(server: Server) -> None:
    assert await post(server, b"") == (200, {"status": "success", "data": {"samples": 0, "exemplars": 0}})
