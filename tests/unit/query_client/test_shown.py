"""What `headrace query` prints of an answer."""

import json
from typing import Any

import pytest

from headrace.query import graph, table, tree
from headrace.query.answer import name_of, number, series_of
from headrace.query.errors import QueryError
from headrace.query.running import shown
from querier.promql import prepare
from querier.promql.explain import explained


def matrix(*values: float, start: int = 0, step: int = 60, **labels: str) -> dict[str, Any]:
    return {"metric": labels, "values": [[start + step * at, str(value)] for at, value in enumerate(values)]}


def answer(kind: str, result: Any) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": kind, "result": result}}


def test_series_are_named_as_in_promql() -> None:
    assert name_of({"__name__": "up"}) == "up"
    assert name_of({"__name__": "up", "job": 'a"b', "x": "ü"}) == 'up{job="a\\"b", x="ü"}'
    assert name_of({}) == "{}"


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.0, "3"), (0.1, "0.1"), (1 / 3, "0.333333"), (1e21, "1e+21"), (float("nan"), "nan"), (float("inf"), "inf")],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_a_table_of_a_vector() -> None:
    rows = [
        {"metric": {"__name__": "up", "job": "a"}, "value": [60, "1"]},
        {"metric": {"__name__": "h"}, "histogram": [60, {"count": "3", "sum": "4.5"}]},
    ]
    assert shown(answer("vector", rows), "table", is_explained=False).splitlines() == [
        "series                  value",
        'up{job="a"}                 1',
        "h            count 3, sum 4.5",
    ]
    assert shown(answer("vector", []), "table", is_explained=False) == "nothing matches"
    assert shown(answer("scalar", [60, "4.5"]), "table", is_explained=False).split() == [
        "series", "value", "scalar", "4.5",
    ]  # fmt: skip


def test_a_table_of_a_matrix_shows_ends_extremes_and_shape() -> None:
    text = table.of_matrix(series_of(answer("matrix", [matrix(1, 5, 3, a="x")])["data"]))
    head, row = text.splitlines()
    assert head.split() == ["series", "points", "first", "last", "lowest", "highest", "until", "(UTC)"]
    assert row.split() == ['{a="x"}', "3", "1", "3", "1", "5", "1970-01-01", "00:02:00", "▁█▄"]


def test_sparklines() -> None:
    assert table.sparkline([]) == ""
    assert table.sparkline([2, 2]) == "▁▁"
    assert table.sparkline(range(1000), 4) == "▁▃▆█"


def test_a_graph_has_axes_and_names() -> None:
    series = series_of(answer("matrix", [matrix(*range(11), a="x"), matrix(*[5] * 11, a="y")])["data"])
    lines = graph.of_matrix(series, 40, 5, colours=False).splitlines()
    assert [line[:4].strip(" ┤") for line in (lines[0], lines[2], lines[4])] == ["10", "5", "0"]
    assert all(line[4:].strip() for line in lines[:5])
    assert lines[0].rstrip()[-1] != "┤"  # the highest value is at the right end
    assert "⠤⠤⠤" in lines[2] or "⠒⠒⠒" in lines[2]
    assert lines[6].split() == ["1970-01-01", "00:00:00", "1970-01-01", "00:10:00"]
    assert [line.split()[1:] for line in lines[7:]] == [['{a="x"}', "10"], ['{a="y"}', "5"]]


def test_a_graph_of_what_hardly_can_be_drawn() -> None:
    def of(*values: float) -> str:
        return graph.of_matrix(series_of(answer("matrix", [matrix(*values)])["data"]), 30, 4, colours=True)

    assert of(float("nan"), float("inf")).startswith("nothing to draw")
    assert "\x1b[32m" in of(1)
    assert of(-1.7e308, 1.7e308)


def test_bars() -> None:
    rows = [{"metric": {"j": name}, "value": [0, value]} for name, value in (("a", "4"), ("b", "-2"), ("c", "NaN"))]
    assert shown(answer("vector", rows), "graph", is_explained=False).splitlines() == [
        '{j="a"}  ' + "█" * 40 + " 4",
        '{j="b"}  ' + "█" * 20 + " -2",
    ]


def test_a_string_and_json() -> None:
    assert shown(answer("string", [0, "text"]), "table", is_explained=False) == "text"
    assert json.loads(shown(answer("matrix", []), "json", is_explained=False)) == answer("matrix", [])


@pytest.mark.parametrize("result", [[{"metric": {}}, 3], [{"metric": 1, "value": [0, "1"]}], [{"value": [0]}], 7])
def test_a_damaged_answer_is_no_traceback(result: Any) -> None:
    with pytest.raises(QueryError, match="the answer is damaged"):
        shown(answer("vector", result), "table", is_explained=False)


def test_a_plan_is_a_tree() -> None:
    plan = prepare("sum by (job) (rate(x[5m])) / scalar(x) > 0", (600_000, 60_000, 5), is_range=True)
    assert tree.drawn(explained(plan)).splitlines() == [
        "sum by (job) (rate(x[5m])) / scalar(x) > 0",
        "",
        '[0] {__name__="x"} from 1970-01-01 00:05:00 through 1970-01-01 00:14:00, read by 2',
        "",
        "Chain",
        "├─ AggregateRange op=sum without=false labels=(job) at 1:15",
        "│  └─ RangeFunction function=rate",
        "│     └─ Selected range_ms=300000 offset_ms=0 at 1:20",
        "│        └─ Source select=0",
        "├─ MixedLink op=/ at 1:1",
        "│  └─ ToScalar",
        "│     └─ InstantSelect offset_ms=0 lookback_ms=300000 at 1:37",
        "│        └─ Source select=0",
        "└─ MixedLink op=> at 1:1",
        "   └─ Number value=0.0",
    ]
