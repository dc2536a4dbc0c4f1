"""The grammar of parameters, with Prometheus's texts."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querier.api.params import (
    MAX_FORM_BYTES,
    MAX_TIME_MS,
    MIN_TIME_MS,
    first,
    limit,
    lookback_ms,
    parse_duration_ns,
    parse_time,
    read_params,
    round_half_away,
    timeout_s,
)
from shared.asgi.messages import Request
from shared.errors import BadDataError, TooLargeError

FORM = b"application/x-www-form-urlencoded"


def request(method: str, query: bytes = b"", body: bytes = b"", content_type: bytes | None = None) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [] if content_type is None else [(b"content-type", content_type)]
    return Request({"method": method, "path": "/", "query_string": query, "headers": headers}, receive)


async def test_a_form_stands_before_the_url() -> None:
    params = await read_params(request("POST", b"query=url&match[]=c", b"query=form&match[]=a&match[]=b", FORM))
    assert first(params, "query") == "form"
    assert params["match[]"] == ["a", "b", "c"]
    params = await read_params(request("POST", b"query=url", b"query=form", FORM + b"; charset=utf-8"))
    assert first(params, "query") == "form"


async def test_the_body_of_another_type_and_of_a_get_is_ignored() -> None:
    assert await read_params(request("POST", b"a=1", b'{"a": 2}', b"application/json")) == {"a": ["1"]}
    assert await read_params(request("GET", b"a=1", b"a=2", FORM)) == {"a": ["1"]}
    assert await read_params(request("POST", b"a=1", b"a=2")) == {"a": ["1"]}


async def test_multipart_forms() -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="query"\r\n\r\nup\r\n--x--\r\n'
    params = await read_params(request("POST", body=body, content_type=b"multipart/form-data; boundary=x"))
    assert params == {"query": ["up"]}
    for broken in (b"", b"--x", body[:30], b"\xff" * 50):
        assert await read_params(request("POST", body=broken, content_type=b"multipart/form-data; boundary=x")) == {}


async def test_bounds_and_odd_bytes() -> None:
    with pytest.raises(TooLargeError):
        await read_params(request("POST", body=b"a" * (MAX_FORM_BYTES + 1), content_type=FORM))
    with pytest.raises(BadDataError, match="parameters"):
        await read_params(request("GET", b"a=1&" * 100_001))
    assert await read_params(request("GET", b"a=%ff&b=+%2B&c=&d")) == {
        "a": ["\ufffd"],
        "b": [" +"],
        "c": [""],
        "d": [""],
    }


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1435781451", 1435781451000),
        ("1435781451.781", 1435781451781),
        ("1435781451.7815", 1435781451782),
        ("-1.5", -1500),
        (".5", 500),
        ("1e9", 1_000_000_000_000),
        ("+7.", 7000),
        ("0x10p0", 16000),
        ("2015-07-01T20:10:51.781Z", 1435781451781),
        ("2015-07-01T20:10:51+02:00", 1435781451000 - 7_200_000),
        ("2015-07-01T20:10:51.7819999-00:30", 1435781451781 + 1_800_000),
        ("-292273086-05-16T16:47:06Z", MIN_TIME_MS),
        ("292277025-08-18T07:12:54.999999999Z", MAX_TIME_MS),
        ("1e300", MAX_TIME_MS),
        ("-1e300", MIN_TIME_MS),
        ("1600096945479", 1600096945479000),
    ],
)
def test_times(text: str, ms: int) -> None:
    assert parse_time(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "NaN",
        "Inf",
        "1 ",
        "1_0",
        "2015-07-01",
        "2015-07-01T20:10:51",
        "2015-13-01T00:00:00Z",
        "0x",
        "1e",
        "5m",
        "٣",
    ],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=f'^cannot parse "{text}" to a valid timestamp$'):
        parse_time(text)


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)))  # noqa: DTZ001  made UTC below
def test_rfc3339_is_read_as_datetime_writes_it(moment: datetime) -> None:
    utc = moment.replace(tzinfo=UTC, microsecond=moment.microsecond // 1000 * 1000)
    delta = utc - datetime(1970, 1, 1, tzinfo=UTC)
    assert parse_time(utc.isoformat()) == (delta.days * 86400 + delta.seconds) * 1000 + delta.microseconds // 1000


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_a_value_error(text: str) -> None:
    for parse in (parse_time, parse_duration_ns):
        try:
            assert abs(parse(text)) < 2**64
        except ValueError as error:
            assert str(error).startswith("cannot parse")  # noqa: PT017


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("15", 15 * 10**9),
        ("0.5", 5 * 10**8),
        ("-1", -(10**9)),
        ("1h30m", 5400 * 10**9),
        ("1d", 86400 * 10**9),
        ("1ms", 10**6),
    ],
)
def test_durations(text: str, ns: int) -> None:
    assert parse_duration_ns(text) == ns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abc", 'cannot parse "abc" to a valid duration'),
        ("", 'cannot parse "" to a valid duration'),
        ("1m1h", 'cannot parse "1m1h" to a valid duration'),
        ("1e20", 'cannot parse "1e20" to a valid duration. It overflows int64'),
    ],
)
def test_what_is_no_duration(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="cannot parse") as refused:
        parse_duration_ns(text)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abc", 'invalid parameter "limit": strconv.Atoi: parsing "abc": invalid syntax'),
        ("1.5", 'invalid parameter "limit": strconv.Atoi: parsing "1.5": invalid syntax'),
        ("9" * 30, f'invalid parameter "limit": strconv.Atoi: parsing "{"9" * 30}": value out of range'),
        ("-1", 'invalid parameter "limit": limit must be non-negative'),
    ],
)
def test_what_is_no_limit(text: str, message: str) -> None:
    with pytest.raises(BadDataError) as refused:
        limit({"limit": [text]})
    assert str(refused.value) == message


def test_timeout_only_shortens_and_lookback_has_a_default() -> None:
    assert timeout_s({}, 120) == 120
    assert timeout_s({"timeout": ["10s"]}, 120) == 10
    assert timeout_s({"timeout": ["10m"]}, 120) == 120
    assert lookback_ms({}, 300_000) == 300_000
    assert lookback_ms({"lookback_delta": ["60"]}, 300_000) == 60_000
    assert lookback_ms({"lookback_delta": ["-1"]}, 300_000) == 300_000
    with pytest.raises(
        BadDataError, match=r'^error parsing lookback delta duration: cannot parse "x" to a valid duration$'
    ):
        lookback_ms({"lookback_delta": ["x"]}, 1)
    with pytest.raises(BadDataError, match=r'^invalid parameter "timeout": cannot parse "x" to a valid duration$'):
        timeout_s({"timeout": ["x"]}, 1)


def test_rounding_is_half_away_from_zero() -> None:
    assert [round_half_away(value) for value in (0.5, 1.5, -0.5, -1.5, 0.49)] == [1, 2, -1, -2, 0]
