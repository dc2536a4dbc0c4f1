"""Whatever is sent to the endpoints of queries, the answer is an envelope, and it comes soon."""

import json
import string
import time
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.keepalive import Asker
from tests.support.processes import Headrace
from tests.support.remote_write import some_samples

PATHS = (
    "/api/v1/query", "/api/v1/query_range", "/api/v1/format_query", "/api/v1/parse_query", "/api/v1/series",
    "/api/v1/labels", "/api/v1/label/job/values", "/api/v1/metadata", "/api/v1/query_exemplars",
)  # fmt: skip
STATUSES = {200, 204, 400, 401, 404, 405, 413, 414, 415, 422, 431, 503}
SOON_S = 10.0
"""Far more than any of this takes, so that a busy machine does not matter: what hangs takes for ever."""

_numbers = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(repr),
    st.sampled_from(["NaN", "+Inf", "1e308", "1e-400", "-0", "0x1p70", "9" * 400, "1_0", "1970-01-01T00:00:00Z",
                     "99999-01-01T00:00:00Z", "2024-02-30T00:00:00Z", "5m", "1y1y", "99999999y", "-5m", "", " 1"]),
)  # fmt: skip
_deep = st.builds(
    lambda parts, depth: parts[0] * depth + "up" + parts[1] * depth,
    st.sampled_from(
        [
            ("(", ")"),
            ("-", ""),
            ("sum(", ")"),
            ("abs(", ")"),
            ("up+", ""),
            ("up or ", ""),
            ("1^", ""),
            ("", "[5m:1m]"),
            ("max_over_time(", "[5m:1s])"),
            ("{", ""),
            ("", " offset 1s"),
            ("-(", "^2)"),
        ]
    ),
    st.integers(1, 3000),
)
_regexes = st.sampled_from(
    [
        "(a*)*b",
        "(?:a{1000}){1000}",
        "\\\\pL{999}",
        "(" * 500,
        "[",
        "(?P<x>",
        ".*" * 500,
        "a{99999}",
        "(?i)" * 99,
        "\\\\C",
    ]
).map(lambda pattern: f'up{{job=~"{pattern}"}}')
_texts = st.text(st.characters(codec="utf-8"), max_size=80)
_costly = st.sampled_from(
    ["max_over_time(vector(1)[100y:1ms])", "sum_over_time(sum_over_time(up[1y:1s])[1y:1s])", "up[290y]",
     "up offset 290y", "up offset -290y", "up @ 9e15", "topk(1e18, up)", "topk(NaN, up)", "quantile(1e308, up)",
     'label_replace(up, "a", "$1$1$1$1", "job", "((((.*))))")', 'count_values("\\xff", up)', "vector(1e308 * 10)",
     'label_join(up, "x", "' + "y" * 9000 + '", "job", "job")', "1 % 0", "day_of_month(vector(1e300))"]
)  # fmt: skip
_queries = st.one_of(_texts, _deep, _regexes, _costly, st.sampled_from(["up", "rate(up[5m])", "1"]))
_form = st.fixed_dictionaries(
    {},
    optional={
        "query": _queries,
        "match[]": st.one_of(_queries, st.lists(_queries, max_size=3)),
        "time": _numbers,
        "start": _numbers,
        "end": _numbers,
        "step": _numbers,
        "limit": _numbers,
        "timeout": st.one_of(_numbers, st.just("1s")),
        "lookback_delta": _numbers,
        "stats": _texts,
        "explain": st.one_of(_texts, st.sampled_from(["1", "analyze"])),
        "metric": _texts,
        "partial_response": _texts,
        "\x00": _texts,
    },
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headrace]:
    made = Headrace(tmp_path_factory.mktemp("hostile"), env={"HEADRACE_LIMITS__MAX_QUERY_SECONDS": "5"})
    try:
        made.start()
        made.wait_ready()
        assert made.write(some_samples()).status == 204
        yield made
    finally:
        made.kill()


@pytest.fixture(scope="module")
def asker(server: Headrace) -> Iterator[Asker]:
    with Asker(server.base, server.bearer) as made:
        yield made


def _check(asker: Asker, path: str, body: Mapping[str, object] | bytes, headers: Mapping[str, str]) -> None:
    began = time.monotonic()
    status, answer = asker.post(path, body, headers)
    assert time.monotonic() - began < SOON_S
    assert status in STATUSES, answer[:500]
    if status in (204, 404):
        return
    envelope = json.loads(answer)
    assert envelope["status"] == ("success" if status == 200 else "error")
    assert status == 200 or (envelope["errorType"] and envelope["error"])


@given(st.sampled_from(PATHS), _form)
def test_any_parameters_get_an_envelope(asker: Asker, path: str, form: dict[str, object]) -> None:
    _check(asker, path, form, {})


@given(st.sampled_from(PATHS[:2]), _queries, _numbers, _numbers, _numbers)
def test_any_query_at_any_time_gets_an_envelope(
    asker: Asker, path: str, query: str, first: str, second: str, third: str
) -> None:
    _check(asker, path, {"query": query, "time": first, "start": first, "end": second, "step": third}, {})


@given(
    st.sampled_from(PATHS),
    st.one_of(st.binary(max_size=200), st.text(string.printable, max_size=200).map(str.encode)),
    st.sampled_from(
        [
            "application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded; charset=utf-16",
            "application/json",
            "multipart/form-data; boundary=x",
            "multipart/form-data",
            "",
            "text/plain",
            ";;;",
        ]
    ),
    st.sampled_from(["", "gzip", "snappy", "identity", "br, gzip"]),
)
def test_any_body_gets_an_envelope(asker: Asker, path: str, body: bytes, kind: str, encoding: str) -> None:
    headers = {"Content-Type": kind} | ({"Content-Encoding": encoding} if encoding else {})
    _check(asker, path, body, headers)
