"""The tree that `parse_query` answers."""

import json
from typing import Any

from querier.promql import ALL_FEATURES, parse
from querier.promql.tree import tree_json


def tree(query: str) -> Any:
    return json.loads(tree_json(parse(query, ALL_FEATURES)))


def test_an_aggregation_of_a_call() -> None:
    node = tree('sum by (a) (rate(x{b="c"}[5m] offset 1m))')
    assert (node["type"], node["op"], node["grouping"], node["without"], node["param"]) == (
        "aggregation",
        "sum",
        ["a"],
        False,
        None,
    )
    call = node["expr"]
    assert call["func"] == {"name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"}
    assert call["args"] == [
        {
            "type": "matrixSelector",
            "name": "x",
            "range": 300_000,
            "rangeExpr": None,
            "offset": 60_000,
            "offsetExpr": None,
            "matchers": [
                {"name": "b", "value": "c", "type": "="},
                {"name": "__name__", "value": "x", "type": "="},
            ],
            "timestamp": None,
            "startOrEnd": None,
            "anchored": False,
            "smoothed": False,
        }
    ]


def test_operators_nest_to_the_left() -> None:
    node = tree("a + on (x) group_left (y) fill(NaN) b - 1")
    assert (node["op"], node["matching"], node["rhs"]) == ("-", None, {"type": "numberLiteral", "val": "1"})
    assert node["lhs"]["matching"] == {
        "card": "many-to-one",
        "labels": ["x"],
        "on": True,
        "include": ["y"],
        "fillValues": {"lhs": None, "rhs": None},
    }


def test_the_other_nodes() -> None:
    node = tree("-(max_over_time(a[1h:step()] @ end()))")
    assert (node["type"], node["op"], node["expr"]["type"]) == ("unaryExpr", "-", "parenExpr")
    subquery = node["expr"]["expr"]["args"][0]
    assert (subquery["type"], subquery["range"], subquery["startOrEnd"]) == ("subquery", 3_600_000, "end")
    assert subquery["stepExpr"] == {"type": "durationExpr", "op": "step", "lhs": None, "rhs": None, "wrapped": False}
    assert tree('"a"') == {"type": "stringLiteral", "val": "a"}
    assert tree("topk(2, a)")["param"] == {"type": "numberLiteral", "val": "2"}


def test_a_long_chain_is_written_without_recursion() -> None:
    text = tree_json(parse(" + ".join(["a"] * 5000)))
    assert text.count('"binaryExpr"') == 4999
