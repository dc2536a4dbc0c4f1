"""series, labels, label values, metadata, and what is said about the server."""

from typing import Any

import pytest
import pytest_asyncio

from tests.support.remote_write import body
from tests.support.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")

T = 1_435_781_451


def series(name: str, **labels: str) -> tuple[dict[str, str], list[tuple[int, float]]]:
    return {"__name__": name, **labels}, [(T * 1000, 1.0)]


async def data_of(server: Server, path: str, **params: Any) -> Any:
    answer = await server.get(path, **params)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


@pytest_asyncio.fixture(loop_scope="session")
async def filled(server: Server) -> Server:
    written = [
        series("up", job="b"),
        series("up", job="a"),
        series("http_requests", job="a", code="200"),
        series("dotted", **{"http.method": "GET"}),
    ]
    assert (await server.write(written)).status_code == 204
    return server


async def test_series(filled: Server) -> None:
    up = [{"__name__": "up", "job": "a"}, {"__name__": "up", "job": "b"}]
    assert await data_of(filled, "/api/v1/series", **{"match[]": "up"}) == up
    both = await data_of(filled, "/api/v1/series", **{"match[]": ["up", '{job="a"}']})
    assert both == [{"__name__": "http_requests", "code": "200", "job": "a"}, *up]
    assert await data_of(filled, "/api/v1/series", **{"match[]": "nothing"}) == []
    answer = (await filled.get("/api/v1/series", **{"match[]": "up", "limit": 1})).json()
    assert (len(answer["data"]), answer["warnings"]) == (1, ["results truncated due to limit"])
    form = {**filled.bearer, "Content-Type": "application/x-www-form-urlencoded"}
    posted = await filled.client.post("/api/v1/series?match[]=up", content="limit=5", headers=form)
    assert posted.json()["data"] == up


async def test_labels_and_values(filled: Server) -> None:
    assert await data_of(filled, "/api/v1/labels") == ["__name__", "code", "http.method", "job"]
    assert await data_of(filled, "/api/v1/labels", **{"match[]": "up"}) == ["__name__", "job"]
    assert await data_of(filled, "/api/v1/label/__name__/values") == ["dotted", "http_requests", "up"]
    assert await data_of(filled, "/api/v1/label/job/values", **{"match[]": 'up{job!="a"}'}) == ["b"]
    assert await data_of(filled, "/api/v1/label/U__http_2e_method/values") == ["GET"]
    assert await data_of(filled, "/api/v1/label/http.method/values") == ["GET"]
    assert await data_of(filled, "/api/v1/label/nothing/values") == []
    for path in ("/api/v1/labels", "/api/v1/label/__name__/values"):
        answer = (await filled.get(path, limit=2)).json()
        assert (len(answer["data"]), answer["warnings"]) == (2, ["results truncated due to limit"])


async def test_times_bound_what_is_listed(filled: Server) -> None:
    day = 86400
    for path, params in (
        ("/api/v1/series", {"match[]": "up"}),
        ("/api/v1/labels", {}),
        ("/api/v1/label/job/values", {}),
    ):
        assert await data_of(filled, path, **params, start=T - day, end=T + day)
        assert await data_of(filled, path, **params, start="2015-07-01T20:00:00Z", end="2015-07-01T21:00:00Z")
        assert await data_of(filled, path, **params, start=T + 2 * day, end=T + 3 * day) == []
        assert await data_of(filled, path, **params, start=T + day, end=T - day) == []
        # Grafana's probe counts milliseconds where seconds are meant.
        assert await data_of(filled, path, **params, start=T * 1000, end=(T + 1) * 1000) == []


@pytest.mark.parametrize(
    ("path", "params", "message"),
    [
        ("series", {}, "no match[] parameter provided"),
        ("series", {"match[]": "1+"}, 'invalid parameter "match[]": 1:1: parse error: '),
        (
            "series",
            {"match[]": "{}"},
            'invalid parameter "match[]": match[] must contain at least one non-empty matcher',
        ),
        ("labels", {"match[]": "{}"}, "match[] must contain at least one non-empty matcher"),
        ("labels", {"match[]": "up["}, "1:3: parse error: "),
        (
            "labels",
            {"start": "x"},
            'invalid parameter "start": invalid time value for \'start\': cannot parse "x" to a valid timestamp',
        ),
        ("label/job/values", {"limit": "-1"}, 'invalid parameter "limit": limit must be non-negative'),
        ("label/%ff/values", {}, 'invalid label name: "'),
        ("label//values", {}, 'invalid label name: ""'),
        ("metadata", {"limit": "x"}, "limit must be a number"),
        ("metadata", {"limit_per_metric": "x"}, "limit_per_metric must be a number"),
        ("format_query", {"query": "1+"}, 'invalid parameter "query": 1:3: parse error: unexpected end of input'),
        ("parse_query", {}, 'invalid parameter "query": unknown position: parse error: no expression found in input'),
        ("query_exemplars", {"query": "1+"}, "1:3: parse error: unexpected end of input"),
        ("query_exemplars", {"query": "a", "start": 2, "end": 1}, "end timestamp must not be before start timestamp"),
        ("rules", {"type": "x"}, 'invalid parameter "type": not supported value "x"'),
        (
            "rules",
            {"exclude_alerts": "x"},
            'invalid parameter "exclude_alerts": strconv.ParseBool: parsing "x": invalid syntax',
        ),
        ("status/tsdb", {"limit": "0"}, "limit must be a positive number"),
        ("status/tsdb", {"limit": "x"}, "limit must be a positive number"),
        ("status/tsdb", {"limit": "10001"}, "limit must not exceed 10000"),
    ],
)
async def test_mistakes(path: str, params: dict[str, Any], message: str, server: Server) -> None:
    answer = await server.get(f"/api/v1/{path}", **params)
    assert answer.status_code == 400, answer.text
    assert answer.json()["errorType"] == "bad_data"
    assert answer.json()["error"].startswith(message)


async def test_values_are_not_posted(server: Server) -> None:
    assert (await server.client.post("/api/v1/label/job/values", headers=server.bearer)).status_code == 405


async def test_metadata(server: Server) -> None:
    entries = [(1, "a_total", "A's", "bytes"), (2, "b", "", ""), (7, "c", "C", "")]
    assert (await server.post_body(body((), entries))).status_code == 204
    everything = await data_of(server, "/api/v1/metadata")
    assert everything == {
        "a_total": [{"type": "counter", "help": "A's", "unit": "bytes"}],
        "b": [{"type": "gauge", "help": "", "unit": ""}],
        "c": [{"type": "stateset", "help": "C", "unit": ""}],
    }
    assert list(await data_of(server, "/api/v1/metadata", limit=2)) == ["a_total", "b"]
    assert await data_of(server, "/api/v1/metadata", limit=0) == {}
    assert await data_of(server, "/api/v1/metadata", limit=-1) == everything
    assert list(await data_of(server, "/api/v1/metadata", metric="b")) == ["b"]
    assert await data_of(server, "/api/v1/metadata", metric="z") == {}


async def test_queries_as_text(server: Server) -> None:
    assert await data_of(server, "/api/v1/format_query", query="sum(up)by(job)>1") == "sum by (job) (up) > 1"
    tree = await data_of(server, "/api/v1/parse_query", query='sum by (a) (rate(up{x!="y"}[5m] offset 1m)) > bool 1')
    assert tree["type"] == "binaryExpr"
    assert (tree["op"], tree["bool"], tree["matching"]) == (">", True, None)
    assert tree["rhs"] == {"type": "numberLiteral", "val": "1"}
    assert (tree["lhs"]["type"], tree["lhs"]["grouping"], tree["lhs"]["without"]) == ("aggregation", ["a"], False)
    call = tree["lhs"]["expr"]
    assert call["func"] == {"name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"}
    [selector] = call["args"]
    assert (selector["type"], selector["range"], selector["offset"]) == ("matrixSelector", 300_000, 60_000)
    assert {"name": "x", "value": "y", "type": "!="} in selector["matchers"]
    for query in ("-up", "(up)", '"x"', "up[5m:1m]", "a + on (b) group_left (c) d", "up @ start()", "topk(3, up)"):
        assert "type" in await data_of(server, "/api/v1/parse_query", query=query)
    matching = (await data_of(server, "/api/v1/parse_query", query="a + on (b) group_left (c) d"))["matching"]
    assert (matching["card"], matching["labels"], matching["on"], matching["include"]) == (
        "many-to-one",
        ["b"],
        True,
        ["c"],
    )


async def test_what_grafana_probes(server: Server) -> None:
    info = await data_of(server, "/api/v1/status/buildinfo")
    assert set(info) == {"version", "revision", "branch", "buildUser", "buildDate", "goVersion"}
    probe = await data_of(
        server, "/api/v1/query_exemplars", query="test", start=1_600_096_945_479, end=1_600_096_955_479
    )
    assert probe == []
    assert await server.query("1+1", time=4) == [4, "2"]
    assert await data_of(server, "/api/v1/rules") == {"groups": []}
    assert await data_of(server, "/api/v1/alerts") == {"alerts": []}
    assert await data_of(server, "/api/v1/targets") == {
        "activeTargets": [],
        "droppedTargets": [],
        "droppedTargetCounts": {},
    }


async def test_status_pages(server: Server) -> None:
    runtime = await data_of(server, "/api/v1/status/runtimeinfo")
    assert runtime["reloadConfigSuccess"] is True
    assert runtime["startTime"].endswith("Z")
    flags = await data_of(server, "/api/v1/status/flags")
    assert flags["query.timeout_s"] == "120.0"
    assert all(isinstance(value, str) for value in flags.values())
    assert "timeout_s: 120.0" in (await data_of(server, "/api/v1/status/config"))["yaml"]
    replay = await data_of(server, "/api/v1/status/walreplay")
    assert set(replay) == {"min", "max", "current"}
    features = await data_of(server, "/api/v1/features")
    assert all(isinstance(value, bool) for category in features.values() for value in category.values())
    assert not features["promql"]["anchored"]
    assert not features["promql_functions"]["info"]
    await server.set_features(extended_range_selectors=True, experimental_functions=True)
    features = await data_of(server, "/api/v1/features")
    assert features["promql"]["anchored"]
    assert features["promql_functions"]["info"]


async def test_cardinality_of_the_last_hour(server: Server) -> None:
    now_ms = server.core.clock.now_ms()
    written = [({"__name__": "up", "job": str(job)}, [(now_ms, 1.0)]) for job in range(20)]
    written += [({"__name__": "down", "job": "x"}, [(now_ms, 1.0)])]
    assert (await server.write(written)).status_code == 204
    status = await data_of(server, "/api/v1/status/tsdb", limit=1)
    assert status["headStats"]["numSeries"] == 21
    assert status["seriesCountByMetricName"] == [{"name": "up", "value": 20}]
    assert status["labelValueCountByLabelName"] == [{"name": "job", "value": 21}]
    assert status["memoryInBytesByLabelName"] == [{"name": "job", "value": 31}]
