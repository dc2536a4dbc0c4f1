"""Plans are explained as they are run, and measured only where somebody asks."""

import json
from collections.abc import Iterator
from typing import Any

from querier.promql import ALL_FEATURES, Plan, evaluate, prepare
from querier.promql.explain import explained
from querier.promql.operators.sources import InstantSelect
from querier.promql.profile import Timed, timed
from shared import native

GRID = (600_000, 60_000, 5)


def planned(query: str, *, is_range: bool = True) -> Plan:
    grid = GRID if is_range else (600_000, 1, 1)
    return prepare(query, grid, ALL_FEATURES, is_range=is_range)


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("children", []):
        yield from nodes(child)


def operators(explanation: dict[str, Any]) -> list[str]:
    return [node["operator"] for node in nodes(explanation["plan"])]


def test_a_fused_aggregation_over_a_selector() -> None:
    explanation = explained(planned('sum by (job) (rate(x_total{job=~"a|b"}[5m] offset 1m))'))
    assert explanation["query"] == 'sum by (job) (rate(x_total{job=~"a|b"}[5m] offset 1m))'
    assert (explanation["start"], explanation["step"], explanation["steps"]) == (600, 60, 5)
    [select] = explanation["selects"]
    fold = select.pop("fold")
    assert (fold["op"], fold["function"], fold["labels"]) == ("sum", "rate", ["job"])
    assert select == {
        "matchers": ['job=~"a|b"', '__name__="x_total"'],
        "from": 240.001,
        "through": 780,
        "readers": 1,
    }
    assert operators(explanation) == ["AggregateRange", "RangeFunction", "Selected", "Source"]
    root = explanation["plan"]
    assert root["position"] == "1:15"
    assert root["with"] == {"op": "sum", "without": False, "labels": ["job"]}
    assert json.loads(json.dumps(explanation)) == explanation


def test_equal_selectors_are_read_once() -> None:
    explanation = explained(planned("x / (x offset 5m) + max_over_time(x[10m:1m])"))
    assert [select["readers"] for select in explanation["selects"]] == [3]
    sources = [node["with"]["select"] for node in nodes(explanation["plan"]) if node["operator"] == "Source"]
    assert sources == [0, 0, 0]


def test_what_is_no_vector_is_explained_too() -> None:
    assert operators(explained(planned("x[5m]", is_range=False))) == ["Selected", "Source"]
    assert explained(planned('"text"', is_range=False))["plan"] == {"operator": "Text", "with": {"value": "text"}}
    assert explained(planned("1 / 0 + Inf"))["plan"]["operator"] == "Chain"


def test_every_operator_is_measured_and_results_stay() -> None:
    text = "clamp_max(x * 2, 100) + on (a) group_left sum by (a) (rate(x[5m])) or max_over_time(x[3m:1m])"
    plan = planned(text)

    def run(plan: Plan) -> bytes:
        query = native.Query()
        times = [60_000 * minute for minute in range(16)]
        rows = [({"__name__": "x", "a": a}, times, [float(time % 7) for time in times]) for a in ("1", "2")]
        return evaluate(plan, [native.series_from_samples(query, rows) for _ in plan.selects], query).json

    watched = timed(plan)
    assert run(watched) == run(plan)
    explanation = explained(watched)
    measured = [node for node in nodes(explanation["plan"]) if "took" in node]
    assert {node["operator"] for node in measured} >= {
        "Chain",
        "MixedLink",
        "ElementFunction",
        "AggregateRange",
        "MatchLink",
        "RangeFunction",
        "SetLink",
    }
    for node in measured:
        took = node["took"]
        assert took["evaluations"] == 1
        assert 0 <= took["selfSeconds"] <= took["seconds"]
        assert took["samplesRead"] >= 0
        assert took["bytes"] > 0
    read = {node["operator"]: node["took"]["samplesRead"] for node in measured}
    assert read["AggregateRange"] == 2 * 9  # of both series what lies in the windows together
    assert read["MixedLink"] == 0
    [root] = [node for node in measured if node is explanation["plan"]]
    assert (root["took"]["series"], root["took"]["steps"]) == (2, 5)


def test_a_plan_that_nobody_watches_has_no_stopwatches() -> None:
    plan = planned("x")
    assert isinstance(plan.root, InstantSelect)
    watched = timed(plan).root
    assert isinstance(watched, Timed)
    assert watched.operator == plan.root
