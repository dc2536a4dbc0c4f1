"""The write route: what is taken, what is refused and how that is said."""

import time
from pathlib import Path

import pytest

from shared.errors import HeadraceError, LimitedError, UnavailableError
from shared.local.log import LocalLog
from tests.support.remote_write import body, snappy, varint
from tests.support.server import ADMIN_HEADER, SNAPPY, Server, serving

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATHS = ("/api/v1/prom/write", "/api/v1/write")


def now_ms() -> int:
    return int(time.time() * 1000)


def one(name: str = "up", time_ms: int | None = None, value: float = 1.0, **labels: str) -> bytes:
    return body([({"__name__": name, **labels}, [(now_ms() if time_ms is None else time_ms, value)])])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("scheme", ["bearer", "basic"])
async def test_a_good_request_is_204_and_can_be_read_at_once(path: str, scheme: str, server: Server) -> None:
    credentials = server.basic if scheme == "basic" else server.bearer
    answer = await server.client.post(path, content=one(value=7), headers={**SNAPPY, **credentials})
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-type" not in answer.headers
    [series] = await server.query("up")
    assert series["value"][1] == "7"


@pytest.mark.parametrize("path", PATHS)
async def test_without_a_credential_nothing_is_read(path: str, server: Server) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong-wrong-wrong"}, {"Authorization": "Negotiate x"}):
        answer = await server.client.post(path, content=b"not even snappy", headers={**SNAPPY, **headers})
        assert answer.status_code == 401
        assert answer.json()["errorType"] == "unauthorized"
        assert "Basic" in answer.headers["www-authenticate"]
        assert "Bearer" in answer.headers["www-authenticate"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
async def test_only_post(method: str, server: Server) -> None:
    answer = await server.client.request(method, PATHS[0], headers=server.bearer)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST, OPTIONS")


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "application/x-protobuf",
        "Application/X-Protobuf",
        "application/x-protobuf;proto=prometheus.WriteRequest",
        'application/x-protobuf; proto="prometheus.WriteRequest"',
    ],
)
async def test_content_types_that_are_taken(content_type: str | None, server: Server) -> None:
    headers = {**server.bearer, "Content-Encoding": "snappy"} | ({"Content-Type": content_type} if content_type else {})
    assert (await server.client.post(PATHS[0], content=one(), headers=headers)).status_code == 204


@pytest.mark.parametrize(
    ("header", "value", "message"),
    [
        (
            "Content-Encoding",
            "gzip",
            "gzip encoding (compression) is not accepted by this server; only snappy is acceptable",
        ),
        (
            "Content-Type",
            "text/plain",
            "expected application/x-protobuf as the first (media) part, got text/plain content-type",
        ),
        ("Content-Type", "application/json", "expected application/x-protobuf"),
        ("Content-Type", "application/x-protobuf;proto=x", "unknown type for remote write protobuf message x"),
        (
            "Content-Type",
            "application/x-protobuf;proto=io.prometheus.write.v3.Request",
            "supported: prometheus.WriteRequest, io.prometheus.write.v2.Request",
        ),
    ],
)
async def test_other_encodings_and_types_are_415(header: str, value: str, message: str, server: Server) -> None:
    answer = await server.post_body(one(), {header: value})
    assert answer.status_code == 415
    assert message in answer.json()["error"]


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (b"\xff\xff\xff", 400),  # no snappy
        (varint(1 << 33) + b"\x00", 400),  # declares 8 GiB, which the format cannot
        (varint(3 << 30) + b"abc", 413),
        (varint(1 << 20) + b"\x00a", 400),  # ends early
        (snappy(b"\x0a\xff\x01abc"), 400),  # a message that is cut off
        (snappy(b"\x0b\x0c"), 400),  # groups, which the format does not have
        (snappy(b"\x00" * 10), 400),  # field 0
    ],
)
async def test_damaged_bodies_are_refused_whole(bad: bytes, status: int, server: Server) -> None:
    answer = await server.post_body(bad)
    assert answer.status_code == status
    assert answer.json()["errorType"] == "bad_data"
    assert answer.json()["error"]
    assert (await server.post_body(one())).status_code == 204


async def test_empty_requests_are_fine(server: Server) -> None:
    assert (await server.post_body(snappy(b""))).status_code == 204
    assert (await server.write([])).status_code == 204
    assert (await server.post_body(b"")).status_code in {204, 400}  # not even a length: no snappy


async def test_a_body_above_the_instance_limit_is_413(server: Server) -> None:
    await server.set_limits(max_body_bytes=100)
    answer = await server.post_body(one(filler="x" * 200))
    assert answer.status_code == 413
    assert answer.json()["error"].startswith("request body exceeds the 100 bytes limit max_body_bytes: it has 2")
    await server.set_limits(max_body_bytes=1000, max_decoded_bytes=100)
    assert (await server.post_body(one(filler="x" * 200))).status_code == 413


@pytest.mark.parametrize(
    "labels",
    [
        {"job": "no name"},
        {"__name__": "up", "b": "1", "a": "2"} | {},
        {"__name__": "up", "": "empty name"},
        {"__name__": "up", "long": "x" * 5000},
        {"__name__": ""},
        {},
    ],
)
async def test_the_good_series_beside_a_bad_one_are_kept(labels: dict[str, str], server: Server) -> None:
    at = now_ms()
    answer = await server.write([(labels, [(at, 1.0)]), ({"__name__": "good"}, [(at, 2.0)])])
    [good] = await server.query("good")
    assert good["value"][1] == "2"
    if answer.status_code == 204:  # unsorted labels are sorted, not refused
        assert set(labels) == {"__name__", "a", "b"}
        assert len(await server.query("up")) == 1
        return
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error.startswith("refused 1, stored 1 samples; 1 ")
    assert len(error.encode()) <= 1024
    [row] = (await server.get("/api/v1/status/rejections")).json()["data"]
    assert row["samples"] == 1
    assert row["example"] in error or row["example"][:100] in error
    assert abs(row["lastSeen"] - at / 1000) < 60
    metrics = (await server.client.get("/metrics")).text
    assert f'headrace_refused_samples_total{{reason="{row["reason"]}"}} ' in metrics


async def test_invalid_utf8_and_duplicate_labels_are_refused_with_a_reason(server: Server) -> None:
    duplicate = b"\x0a\x05\x0a\x01a\x12\x00"
    name = b"\x0a\x0e\x0a\x08__name__\x12\x02up"
    sample = b"\x12\x09\x09" + bytes(8)
    twice = b"\x0a\x06\x0a\x01a\x12\x01b"
    for labels in (name + twice + twice, name + b"\x0a\x06\x0a\x01a\x12\x01\xff", name + duplicate + duplicate):
        message = labels + sample
        answer = await server.post_body(snappy(b"\x0a" + varint(len(message)) + message))
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("refused 1, stored 0 samples")


async def test_samples_of_any_age_are_taken_until_the_instance_is_bounded(server: Server) -> None:
    year_1970, year_2090 = 1000, 3_786_912_000_000
    assert (await server.post_body(one(time_ms=year_1970))).status_code == 204
    answer = await server.post_body(one(time_ms=year_2090))  # by default ten minutes ahead are taken
    assert answer.status_code == 400
    await server.set_limits(max_age_s=3600, max_future_s=None)
    assert (await server.post_body(one(time_ms=year_2090))).status_code == 204
    answer = await server.post_body(one(time_ms=year_1970))
    assert answer.status_code == 400
    assert len(await server.query("up", time=year_2090 / 1000)) == 1
    assert len(await server.query("up", time=1)) == 1
    assert (await server.post_body(one())).status_code == 204


async def test_new_series_above_the_limit_are_refused_and_known_ones_kept(server: Server) -> None:
    await server.set_limits(max_series=2)
    at = now_ms()
    for name in ("a", "b"):
        assert (await server.post_body(one(name, time_ms=at))).status_code == 204
        assert len(await server.query(name)) == 1  # it is in the head now
    answer = await server.write([({"__name__": name}, [(at + 1, 1.0)]) for name in ("a", "b", "c")])
    assert answer.status_code == 400
    assert "series_limit" in answer.json()["error"]
    assert len(await server.query('{__name__=~"a|b|c"}')) == 2
    await server.set_limits(max_series=3)
    assert (await server.post_body(one("c"))).status_code == 204


async def test_a_rotated_token_is_worth_nothing_at_once(server: Server) -> None:
    assert (await server.post_body(one())).status_code == 204
    answer = await server.client.post(f"/api/v1/admin/instances/{server.app_id}/token", json={}, headers=ADMIN_HEADER)
    fresh = answer.json()["data"]["token"]
    assert (await server.post_body(one())).status_code == 401
    assert (await server.post_body(one(), {"Authorization": f"Bearer {fresh}"})).status_code == 204


async def test_what_is_refused_as_a_whole_is_in_the_ledger(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distributor.intake.MAX_SHOWN", 1_000_000)
    await server.set_limits(max_body_bytes=500, max_decoded_bytes=1000)
    assert (await server.post_body(one(filler="x" * 600))).status_code == 413
    assert (await server.post_body(b"\xd0\x0f" + b"\x00" * 200)).status_code == 413
    assert (await server.post_body(b"no snappy")).status_code == 400
    told = {row["reason"]: row for row in (await server.get("/api/v1/status/rejections")).json()["data"]}
    assert {reason: row["samples"] for reason, row in told.items()} == {"body_too_large": 2, "unreadable_body": 1}
    assert "declares 2000 bytes decompressed, the limit max_decoded_bytes is 1000" in told["body_too_large"]["example"]
    assert "snappy" in told["unreadable_body"]["example"]
    metrics = (await server.client.get("/metrics")).text
    labels = f'{{app_id="{server.app_id}",reason="body_too_large"}}'
    assert f"headrace_instance_refused_samples_total{labels} 2\n" in metrics


async def test_instances_beyond_the_first_hundred_are_counted_together(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distributor.intake.MAX_SHOWN", 0)
    before = await refused_of_others(server)
    fresh = await server.fresh()
    assert (await fresh.post_body(b"no snappy")).status_code == 400
    assert await refused_of_others(server) == before + 1
    assert f'app_id="{fresh.app_id}"' not in (await server.client.get("/metrics")).text


async def refused_of_others(server: Server) -> float:
    name = 'headrace_instance_refused_samples_total{app_id="…",reason="unreadable_body"} '
    return float((await server.client.get("/metrics")).text.partition(name)[2].partition("\n")[0] or 0)


async def test_more_than_memory_allows_is_503_with_a_pause(tmp_path: Path) -> None:
    async with serving(tmp_path / "data", WRITE__MAX_INFLIGHT_BYTES="65536") as server:
        answer = await server.post_body(snappy(b"\x00" * 70_000))
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert (await server.post_body(one())).status_code == 204


async def test_a_large_body_is_split_in_a_thread(server: Server) -> None:
    at = now_ms()
    series = [({"__name__": "big", "filler": "x" * 300, "i": str(i)}, [(at, 1.0)]) for i in range(1000)]
    assert len(body(series)) > 256 << 10
    assert (await server.write(series)).status_code == 204
    [count] = await server.query("count(big)")
    assert count["value"][1] == "1000"


async def test_metadata_of_a_write_is_served(server: Server) -> None:
    assert (await server.post_body(body((), [(1, "x_total", "how many", "")]))).status_code == 204
    data = (await server.get("/api/v1/metadata")).json()["data"]
    assert data == {"x_total": [{"type": "counter", "help": "how many", "unit": ""}]}


@pytest.mark.parametrize(
    "error", [UnavailableError("the log's queue is full"), LimitedError("slower", retry_after_s=3)]
)
async def test_a_log_that_cannot_take_more_asks_for_patience(
    error: HeadraceError, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> int:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(LocalLog, "append", refuse)
        answer = await server.post_body(one())
    assert (answer.status_code, answer.json()["error"]) == (error.status, str(error))
    assert int(answer.headers["retry-after"]) >= 1
    assert (await server.post_body(one())).status_code == 204
