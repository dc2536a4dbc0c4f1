"""query and query_range: shapes, validation in Prometheus's order and words, deadlines."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest

from ingester.client import LocalClient
from querier.api import execution, metadata
from querier.promql import Plan, evaluate
from querier.storage import Storage
from shared import native
from shared.seams.ingester_client import Answers
from tests.support.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")

T = 1_435_781_451
"""Seconds; the samples of most tests stand around it."""

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def fill(server: Server, *series: Mapping[str, str], at: float = T, value: float = 1.0) -> None:
    answer = await server.write([(labels, [(round(at * 1000), value)]) for labels in series])
    assert answer.status_code == 204, answer.text


def up(job: str) -> dict[str, str]:
    return {"__name__": "up", "job": job}


async def error_of(server: Server, path: str, **params: Any) -> tuple[int, str]:
    answer = await server.get(path, **params)
    assert list(answer.json()) == ["status", "errorType", "error"]
    return answer.status_code, answer.json()["error"]


async def test_a_vector(server: Server) -> None:
    await fill(server, up("a"), at=T - 10, value=1e21)
    answer = await server.get("/api/v1/query", query="up", time=T + 0.781)
    assert answer.text == (
        '{"status":"success","data":{"resultType":"vector","result":'
        '[{"metric":{"__name__":"up","job":"a"},"value":[1435781451.781,"1e+21"]}]}}'
    )


async def test_a_matrix_of_raw_samples(server: Server) -> None:
    await fill(server, up("a"), at=T - 10.95, value=float("inf"))
    await fill(server, up("a"), at=T, value=-0.0)
    answer = await server.get("/api/v1/query", query="up[1m]", time=T)
    assert answer.text == (
        '{"status":"success","data":{"resultType":"matrix","result":'
        '[{"metric":{"__name__":"up","job":"a"},"values":[[1435781440.050,"+Inf"],[1435781451,"-0"]]}]}}'
    )


@pytest.mark.parametrize(
    ("query", "kind", "result"),
    [
        ("42", "scalar", [T, "42"]),
        ("1e-9", "scalar", [T, "0.000000001"]),
        ('"a\\"b"', "string", [T, 'a"b']),
        ("time()", "scalar", [T, str(T)]),
        ("absent_metric", "vector", []),
        ("absent_metric[5m]", "matrix", []),
        ("vector(1)", "vector", [{"metric": {}, "value": [T, "1"]}]),
    ],
)
async def test_other_results(query: str, kind: str, result: Any, server: Server) -> None:
    answer = await server.get("/api/v1/query", query=query, time=T)
    assert answer.json() == {"status": "success", "data": {"resultType": kind, "result": result}}


async def test_selectors_of_one_query_are_read_at_the_same_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(server, up("a"), value=1.0)
    await fill(server, up("b"), value=2.0)
    both, alone = asyncio.Barrier(2), LocalClient.select

    async def select(self: LocalClient, *args: Any) -> Any:
        await both.wait()
        return await alone(self, *args)

    monkeypatch.setattr(LocalClient, "select", select)
    answer = await server.get("/api/v1/query", query='up{job="b"} - on () up{job="a"}', time=T, timeout="20s")
    assert answer.json()["data"]["result"] == [{"metric": {}, "value": [T, "1"]}]


async def test_a_range(server: Server) -> None:
    await fill(server, up("b"), up("a"), value=2.5)
    params = {"query": "up", "start": T - 30, "end": T + 70, "step": "30s"}
    answer = await server.get("/api/v1/query_range", **params)
    assert answer.json()["data"] == {
        "resultType": "matrix",
        "result": [{"metric": up(job), "values": [[T, "2.5"], [T + 30, "2.5"], [T + 60, "2.5"]]} for job in ("a", "b")],
    }
    assert (await server.get("/api/v1/query_range", **{**params, "query": "nothing"})).json()["data"]["result"] == []
    scalar = await server.get("/api/v1/query_range", query="7", start=T, end=T, step=1)
    assert scalar.json()["data"]["result"] == [{"metric": {}, "values": [[T, "7"]]}]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, 'invalid parameter "query": unknown position: parse error: no expression found in input'),
        ({"query": "1+"}, 'invalid parameter "query": 1:3: parse error: unexpected end of input'),
        (
            {"query": "1", "time": "abc"},
            'invalid parameter "time": invalid time value for \'time\': cannot parse "abc" to a valid timestamp',
        ),
        ({"query": "1", "timeout": "x"}, 'invalid parameter "timeout": cannot parse "x" to a valid duration'),
        (
            {"query": "1", "lookback_delta": "x"},
            'error parsing lookback delta duration: cannot parse "x" to a valid duration',
        ),
        ({"query": "1", "limit": "abc"}, 'invalid parameter "limit": strconv.Atoi: parsing "abc": invalid syntax'),
        ({"query": "1", "limit": "-1"}, 'invalid parameter "limit": limit must be non-negative'),
        # Of several mistakes the first in Prometheus's order is named.
        (
            {"limit": "x", "time": "x", "timeout": "x", "query": "("},
            'invalid parameter "limit": strconv.Atoi: parsing "x": invalid syntax',
        ),
        (
            {"timeout": "x", "lookback_delta": "y", "query": "("},
            'invalid parameter "timeout": cannot parse "x" to a valid duration',
        ),
    ],
)
async def test_mistakes_in_an_instant_query(params: dict[str, str], message: str, server: Server) -> None:
    assert await error_of(server, "/api/v1/query", **params) == (400, message)


RANGE = {"query": "1", "start": "0", "end": "10", "step": "1"}
NO_STEP = (
    'invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer'
)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"start": ""}, 'invalid parameter "start": cannot parse "" to a valid timestamp'),
        ({"end": "x"}, 'invalid parameter "end": cannot parse "x" to a valid timestamp'),
        ({"start": "11"}, 'invalid parameter "end": end timestamp must not be before start time'),
        ({"step": "abc"}, 'invalid parameter "step": cannot parse "abc" to a valid duration'),
        ({"step": ""}, 'invalid parameter "step": cannot parse "" to a valid duration'),
        ({"step": "1e20"}, 'invalid parameter "step": cannot parse "1e20" to a valid duration. It overflows int64'),
        ({"step": "0"}, NO_STEP),
        ({"step": "-1"}, NO_STEP),
        ({"step": "0.0001"}, NO_STEP),
        (
            {"end": "11001"},
            "exceeded maximum resolution of 11,000 points per timeseries. "
            "Try decreasing the query resolution (?step=XX) or raising the instance's limit max_query_points: "
            "the query has 11001",
        ),
        (
            {"query": "up[5m]"},
            'invalid parameter "query": invalid expression type "range vector" for range query, '
            "must be Scalar or instant Vector",
        ),
        (
            {"query": '"x"'},
            'invalid parameter "query": invalid expression type "string" for range query, '
            "must be Scalar or instant Vector",
        ),
    ],
)
async def test_mistakes_in_a_range_query(params: dict[str, str], message: str, server: Server) -> None:
    assert await error_of(server, "/api/v1/query_range", **{**RANGE, **params}) == (400, message)


async def test_one_point_more_than_the_limit_is_allowed(server: Server) -> None:
    answer = await server.get("/api/v1/query_range", **{**RANGE, "end": "11000"})
    assert len(answer.json()["data"]["result"][0]["values"]) == 11_001
    await server.set_limits(max_query_points=10)
    assert (await server.get("/api/v1/query_range", **RANGE)).status_code == 200
    assert (await server.get("/api/v1/query_range", **{**RANGE, "end": "11"})).status_code == 400


async def test_a_form_and_a_url_mean_the_same(server: Server) -> None:
    await fill(server, up("a"))
    by_url = await server.get("/api/v1/query", query="up", time=T)
    headers = {**server.bearer, **FORM}
    form = urlencode({"query": "up", "time": T})
    by_form = await server.client.post("/api/v1/query", content=form, headers=headers)
    mixed = await server.client.post(f"/api/v1/query?time={T}&query=down", content="query=up", headers=headers)
    assert by_url.text == by_form.text == mixed.text
    as_json = await server.client.post("/api/v1/query", content=json.dumps({"query": "up"}), headers=server.bearer)
    assert as_json.status_code == 400


async def test_lookback_and_limit(server: Server) -> None:
    await fill(server, up("a"), up("b"), up("c"))
    assert len(await server.query("up", time=T + 299)) == 3
    assert await server.query("up", time=T + 301) == []
    assert await server.query("up", time=T + 61, lookback_delta="1m") == []
    assert len(await server.query("up", time=T + 500, lookback_delta="600")) == 3
    answer = (await server.get("/api/v1/query", query="up", time=T, limit=2)).json()
    assert [series["metric"]["job"] for series in answer["data"]["result"]] == ["a", "b"]
    assert answer["warnings"] == ["results truncated due to limit"]
    whole = (await server.get("/api/v1/query", query="up", time=T, limit=3)).json()
    assert "warnings" not in whole


async def test_stats_are_shown_if_asked_for(server: Server) -> None:
    await fill(server, up("a"))
    answer = (await server.get("/api/v1/query", query="up", time=T, stats="true")).json()
    assert list(answer["data"]) == ["resultType", "result", "stats"]
    assert set(answer["data"]["stats"]["timings"]) == {
        "evalTotalTime",
        "resultSortTime",
        "queryPreparationTime",
        "innerEvalTime",
        "execQueueTime",
        "execTotalTime",
    }
    assert answer["data"]["stats"]["samples"]["samplesRead"] >= 1
    assert answer["data"]["stats"]["memory"]["peakBytes"] > 0
    assert "warnings" not in answer
    odd = (await server.get("/api/v1/query", query="up", time=T, stats="x")).json()
    assert "stats" in odd["data"]
    assert odd["warnings"] == [
        'value "x" for parameter "stats" is deprecated and will be rejected in the next major release, '
        'use "true" or "all"'
    ]


async def test_an_explanation_runs_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution.Executor, "run", None)
    answer = (await server.get("/api/v1/query", query="sum(up)", time=T, explain="1")).json()
    assert list(answer["data"]) == ["explain"]
    assert answer["data"]["explain"]["selects"][0]["through"] == T
    ranged = (await server.get("/api/v1/query_range", **RANGE, explain="true")).json()
    assert ranged["data"]["explain"]["steps"] > 1


async def test_an_analysis_says_what_each_part_took(server: Server) -> None:
    await fill(server, up("a"), up("b"))
    plain = (await server.get("/api/v1/query", query="sum(up) + sum(up)", time=T)).json()
    answer = (await server.get("/api/v1/query", query="sum(up) + sum(up)", time=T, explain="analyze")).json()
    assert answer["data"]["result"] == plain["data"]["result"]
    explanation = answer["data"]["explain"]
    [select] = explanation["selects"]
    assert (select["readers"], select["took"]["series"]) == (1, 2)  # what is said twice is evaluated once
    heads = select["took"]["sources"]["heads"]
    assert sum(head["series"] for head in heads["partitions"]) == 2
    assert sum(head["bytes"] for head in heads["partitions"]) > 0
    assert heads["missing"] == []
    assert select["took"]["sources"]["store"]["values"] == 0
    assert explanation["plan"]["took"]["series"] == 1
    assert explanation["took"]["peakBytes"] > 0
    assert explanation["took"]["evaluateSeconds"] > 0


async def test_the_deepest_query_is_explained(server: Server) -> None:
    deepest = "abs(" * 120 + "up" + ")" * 120
    for wanted in ("1", "analyze"):
        assert (await server.get("/api/v1/query", query=deepest, time=T, explain=wanted)).status_code == 200
    status, error = await error_of(server, "/api/v1/query", query="up" + " + up" * 300, time=T, explain="1")
    assert (status, "more than 200 levels" in error) == (400, True)


async def test_an_explanation_is_asked_for_by_known_words(server: Server) -> None:
    status, error = await error_of(server, "/api/v1/query", query="up", explain="please")
    assert status == 400
    assert error.startswith('invalid parameter "explain": ')
    assert "explain" not in (await server.get("/api/v1/query", query="up", explain="false")).json()["data"]


@pytest.mark.parametrize("path", ["/api/v1/query", "/api/v1/query_range"])
async def test_a_deadline_that_has_passed_is_503(path: str, server: Server) -> None:
    answer = await server.get(path, **RANGE, timeout="0")
    assert answer.status_code == 503
    assert answer.json()["errorType"] == "timeout"
    assert answer.json()["error"] == (
        "query timed out in expression evaluation: it may take 0 s, the least of the parameter timeout, "
        "the setting query.timeout_s and the instance's limit max_query_seconds, which is 120"
    )


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"query": "up", "time": "31556889864403"}, 200),  # the year 10^6
        ({"query": "up", "time": "1e300"}, 200),
        ({"query": "up", "time": "-1e300"}, 200),
        ({"query": "up offset 290y", "time": "-1e300"}, 200),
        ({"query": "rate(up[290y])", "time": "1e300"}, 200),
        ({"query": "up @ 1e300"}, 400),
        ({"query": '{x=~"' + "a" * 10_000 + '"}'}, 200),
        ({"query": '{x=~"' + "(" * 10_000 + '"}'}, 400),
        ({"query": '{x=~"(a{1000}){1000}"}'}, 400),
        ({"query": "(" * 10_000}, 400),
        ({"query": "-" * 10_000 + "1"}, 400),
        ({"query": "up + " * 300 + "up"}, 200),
        ({"query": "\x00"}, 400),
        ({"query": "up[9999999999y]"}, 400),
        ({"query": "up", "lookback_delta": "9e9"}, 200),
    ],
)
async def test_absurd_queries_are_answered(params: dict[str, str], status: int, server: Server) -> None:
    await fill(server, up("a"))
    answer = await server.get("/api/v1/query", **params)
    assert answer.status_code == status, answer.text[:300]
    assert answer.json()["status"] == ("success" if status == 200 else "error")


@pytest.mark.parametrize(
    ("start", "end", "step"),
    [("1e15", "1e15", "1"), ("-1e300", "1e300", "9e9"), ("-9e15", "-9e15", "9e9"), ("0", "9e15", "9e9")],
)
async def test_absurd_ranges_are_answered(start: str, end: str, step: str, server: Server) -> None:
    await fill(server, up("a"))
    answer = await server.get("/api/v1/query_range", query="up", start=start, end=end, step=step)
    assert answer.status_code in {200, 400}
    assert answer.json()["status"] in {"success", "error"}


async def test_invalid_utf8_in_a_query_is_no_crash(server: Server) -> None:
    answer = await server.client.get("/api/v1/query?query=%ff%fe", headers=server.bearer)
    assert answer.status_code == 400
    answer = await server.client.get("/api/v1/query?query=up%7Bx%3D%22%ff%22%7D", headers=server.bearer)
    assert answer.status_code in {200, 400}


@pytest.mark.parametrize(
    ("limits", "query", "message"),
    [
        (
            {"max_query_samples": 1},
            "up",
            "query processing would load too many samples into memory in query execution: more than 1 at a time, "
            "the instance's limit max_query_samples: ",
        ),
        (
            {"max_query_series": 1},
            "up",
            "the query selects more than 1 series, the instance's limit max_query_series: ",
        ),
        (
            {"max_query_bytes": 1},
            "up",
            "the query needs more than 1 bytes of memory, the instance's limit max_query_bytes: ",
        ),
    ],
)
async def test_limits_of_an_instance_are_422(limits: dict[str, int], query: str, message: str, server: Server) -> None:
    await fill(server, up("a"), up("b"), up("c"))
    await server.set_limits(**limits)
    answer = await server.get("/api/v1/query", query=query, time=T)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errorType"] == "execution"
    assert re.match(re.escape(message) + r"\d+ or more", answer.json()["error"])


async def test_consistency_levels(server: Server) -> None:
    for level in ("default", "strong", "eventual", "Strong"):
        answer = await server.get("/api/v1/query", {"X-Read-Consistency": level}, query="1")
        assert answer.status_code == 200
    answer = await server.get("/api/v1/query", {"X-Read-Consistency": "later"}, query="1")
    assert (answer.status_code, answer.json()["error"]) == (
        400,
        "X-Read-Consistency is one of default, strong, eventual",
    )


async def test_nobody_reads_what_another_instance_wrote(server: Server) -> None:
    await fill(server, up("a"))
    other = await server.fresh()
    assert await other.query("up", time=T) == []
    await fill(other, up("b"))
    assert [series["metric"]["job"] for series in await server.query("up", time=T)] == ["a"]


def endless(_plan: Plan, _sets: Any, query: native.Query, _limit: int) -> Any:
    """An evaluation that only a cancellation ends."""
    while True:
        native.json_vector(query, native.number(1.0, 1), (0, 1, 1), 0)


@pytest.fixture
def endless_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "INLINE_NS", -1)
    monkeypatch.setattr(execution, "evaluate", endless)


@pytest.mark.usefixtures("endless_evaluation")
async def test_the_deadline_ends_an_evaluation(server: Server) -> None:
    answer = await server.get("/api/v1/query", query="up", timeout="50ms")
    assert (answer.status_code, answer.json()["errorType"]) == (503, "timeout")
    await server.set_limits(max_query_seconds=0.05)
    assert (await server.get("/api/v1/query", query="up")).status_code == 503


@pytest.mark.usefixtures("endless_evaluation")
async def test_who_waits_for_a_place_for_too_long_is_told_so(server: Server) -> None:
    await server.set_limits(max_concurrent_queries=1)
    first = asyncio.create_task(server.get("/api/v1/query", query="up", timeout="2s"))
    async for running in running_queries(server):
        if running:
            break
    answer = await server.get("/api/v1/query", query="up", timeout="50ms")
    assert (answer.status_code, answer.json()["errorType"]) == (503, "timeout")
    text = answer.json()["error"]
    assert text.startswith("query timed out in query queue: it may take 0.05 s")
    assert text.endswith("the limit max_concurrent_queries is 1, and 1 are running")
    assert (await first).status_code == 503


async def running_queries(server: Server) -> AsyncIterator[int]:
    """The gauge, as often as it is asked for."""
    while True:
        await asyncio.sleep(0)  # nothing in the way of this request suspends it, so others would never run
        text = (await server.client.get("/metrics")).text
        yield int(text.split("\nheadrace_queries_running ")[1].split("\n")[0])


@pytest.mark.usefixtures("endless_evaluation")
async def test_a_client_that_goes_ends_its_evaluation(server: Server) -> None:
    gone = asyncio.Event()
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/api/v1/query",
        "query_string": b"query=up",
        "headers": [(b"authorization", server.bearer["Authorization"].encode())],
    }
    asking = asyncio.create_task(server.front.router(scope, receive, send))
    async for running in running_queries(server):
        if running:
            break
    gone.set()
    await asking
    assert sent[0]["status"] == 499
    assert await anext(running_queries(server)) == 0


async def test_a_client_that_goes_ends_its_evaluation_in_native_code(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third of a million windows of as many samples take minutes."""
    gone = asyncio.Event()
    sent: list[Any] = []
    begun: list[Plan] = []
    outcomes: list[Exception] = []

    def watched(plan: Plan, sets: Any, query: native.Query, limit: int) -> Any:
        begun.append(plan)
        try:
            return evaluate(plan, sets, query, limit)
        except Exception as error:
            outcomes.append(error)
            raise

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    monkeypatch.setattr(execution, "evaluate", watched)
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/api/v1/query",
        "query_string": urlencode({"query": "max_over_time(sum_over_time(vector(time())[5m:1ms])[5m:1ms])"}).encode(),
        "headers": [(b"authorization", server.bearer["Authorization"].encode())],
    }
    asking = asyncio.create_task(server.front.router(scope, receive, send))
    async for running in running_queries(server):
        if running and begun:
            break
    gone.set()
    await asking
    assert sent[0]["status"] == 499
    assert [type(outcome) for outcome in outcomes] == [native.CanceledError]
    assert await anext(running_queries(server)) == 0


async def test_a_partial_response_is_asked_for_by_a_parameter(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(server, up("a"), up("b"))
    why = "partition 7 is replaying the log"

    async def select(client: LocalClient, *args: Any) -> Answers[native.HeadPart]:
        answers = await original(client, *args)
        return Answers(answers.given, {7: why})

    original = LocalClient.select
    monkeypatch.setattr(LocalClient, "select", select)
    answer = await server.get("/api/v1/query", query="up", time=str(T))
    assert (answer.status_code, answer.json()["errorType"]) == (503, "unavailable")
    assert why in answer.json()["error"]
    answer = await server.get("/api/v1/query", query="up", time=str(T), partial_response="true")
    assert answer.status_code == 200
    assert len(answer.json()["data"]["result"]) == 2
    assert answer.json()["warnings"] == [f"partial response, recent samples are missing: {why}"]
    assert await error_of(server, "/api/v1/query", query="up", partial_response="maybe") == (
        400,
        'invalid parameter "partial_response": strconv.ParseBool: parsing "maybe": invalid syntax',
    )


async def test_who_aggregates_is_chosen_by_a_parameter(server: Server) -> None:
    await fill(server, up("a"), up("b"))
    answers = [
        await server.get("/api/v1/query", query="sum(rate(up[5m]))", time=str(T), **more)
        for more in ({}, {"pushdown": "1"}, {"pushdown": "0"})
    ]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert answers[0].json()["data"] == answers[1].json()["data"] == answers[2].json()["data"]
    assert (await error_of(server, "/api/v1/query", query="up", pushdown="x"))[0] == 400


@pytest.mark.parametrize("path", [b"/api/v1/query?query=up", b"/api/v1/labels", b"/api/v1/metadata"])
async def test_a_client_that_goes_ends_its_reading(
    server: Server, path: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, ended, sent = asyncio.Event(), asyncio.Event(), list[Any]()

    async def read(*_: object, **__: object) -> None:
        reading.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def receive() -> dict[str, Any]:
        await reading.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    monkeypatch.setattr(Storage, "read", read)
    target, _, query = path.partition(b"?")
    scope = {
        "type": "http",
        "method": "GET",
        "path": target.decode(),
        "query_string": query,
        "headers": [(b"authorization", server.bearer["Authorization"].encode())],
    }
    await server.front.router(scope, receive, send)
    assert ended.is_set()
    assert sent[0]["status"] == 499


async def test_reading_labels_ends_with_the_time_of_queries(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Storage, "read", read)
    soon = SimpleNamespace(timeout=lambda _: asyncio.timeout(0.01), to_thread=asyncio.to_thread)
    monkeypatch.setattr(metadata, "asyncio", soon)
    answer = await server.get("/api/v1/labels")
    assert (answer.status_code, answer.json()["errorType"]) == (503, "timeout")


@pytest.mark.usefixtures("endless_evaluation")
async def test_a_query_that_waits_for_a_thread_keeps_its_deadline(server: Server) -> None:
    threads = server.core.settings.query.threads
    busy = [asyncio.create_task(server.get("/api/v1/query", query="up")) for _ in range(threads)]
    answer = await server.get("/api/v1/query", query="up", timeout="50ms")
    assert answer.status_code == 503
    assert not any(task.done() for task in busy)
    for task in busy:
        task.cancel()
    await asyncio.wait(busy)
    assert await anext(running_queries(server)) == 0


@pytest.mark.usefixtures("endless_evaluation")
async def test_a_query_that_finds_no_place_waits_until_its_own_deadline(server: Server) -> None:
    await server.set_limits(max_concurrent_queries=1)
    first = asyncio.create_task(server.get("/api/v1/query", query="up", timeout="200ms"))
    second = await server.get("/api/v1/query", query="1", timeout="50ms")
    assert second.status_code == 503
    assert (await first).status_code == 503
