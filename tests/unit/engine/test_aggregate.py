"""Aggregations over frames, and folded into the selection."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import native

from .frames import STEP_MS, Rows, frame_of, grid_of, rows_of, series_of

OPS = ["sum", "avg", "count", "min", "max", "group"]


def aggregated(rows: Rows, op: str, *, labels: list[str] | None = None, without: bool = False, **param: object) -> Rows:
    query = native.Query()
    frame = frame_of(query, rows)
    return rows_of(query, native.aggregate(query, op, frame, without=without, labels=labels or [], **param))


def test_sums_keep_what_rounding_takes() -> None:
    rows: Rows = [({"x": str(i)}, [value]) for i, value in enumerate([2, 8, 1e100, -1e100])]
    assert aggregated(rows, "sum") == [({}, [10])]
    assert aggregated(rows, "avg") == [({}, [2.5])]


def test_an_average_survives_an_overflowing_sum() -> None:
    rows: Rows = [({"x": str(i)}, [1.5e308]) for i in range(4)]
    assert aggregated(rows, "avg") == [({}, [pytest.approx(1.5e308)])]


def test_by_and_without() -> None:
    rows: Rows = [
        ({"__name__": "m", "a": "1", "b": "1"}, [1, None]),
        ({"__name__": "m", "a": "1", "b": "2"}, [2, 5]),
        ({"__name__": "m", "b": "3"}, [4, None]),
    ]
    assert aggregated(rows, "sum", labels=["a"]) == [({}, [4, None]), ({"a": "1"}, [3, 5])]
    assert aggregated(rows, "count", labels=["b"], without=True) == [({}, [1, None]), ({"a": "1"}, [2, 1])]
    assert aggregated(rows, "group", labels=["__name__"]) == [({"__name__": "m"}, [1, 1])]


@given(
    rows=st.lists(
        st.tuples(st.sampled_from("abc"), st.lists(st.none() | st.integers(-9, 9), min_size=4, max_size=4)), max_size=12
    ),
    op=st.sampled_from(OPS),
)
def test_folding_while_selecting_equals_aggregating_the_rows(
    rows: list[tuple[str, list[float | None]]], op: str
) -> None:
    query = native.Query()
    series = series_of(query, [({"g": group, "i": str(i)}, values) for i, (group, values) in enumerate(rows)])
    instant = {"offset_ms": 0, "lookback_ms": STEP_MS}
    ranges = {"range_ms": 2 * STEP_MS, "offset_ms": 0}
    grid = grid_of(4)
    frame = native.select_instant(query, series, grid, **instant)
    folded = native.aggregate_instant(query, series, grid, **instant, op=op, without=False, labels=["g"])
    assert rows_of(query, folded) == rows_of(query, native.aggregate(query, op, frame, without=False, labels=["g"]))
    frame = native.select_range(query, series, grid, "sum_over_time", **ranges)
    folded = native.aggregate_range(query, series, grid, "sum_over_time", **ranges, op=op, without=False, labels=["g"])
    assert rows_of(query, folded) == rows_of(query, native.aggregate(query, op, frame, without=False, labels=["g"]))


def test_many_rows_meet_in_order() -> None:
    rows: Rows = [({"i": str(i), "g": str(i % 3)}, [0.1 * i, None]) for i in range(5000)]
    sums = aggregated(rows, "sum", labels=["g"])
    assert sums == [({"g": str(g)}, [math.fsum(0.1 * i for i in range(g, 5000, 3)), None]) for g in range(3)]
    assert aggregated(rows, "count") == [({}, [5000, None])]
    assert len(aggregated(rows, "max", labels=["i"])) == 5000


def instant_order(op: str, rows: Rows, k: float) -> list[str]:
    query = native.Query()
    frame = frame_of(query, rows)
    best = native.aggregate(query, op, frame, without=False, labels=["g"], param=native.number(k, 1))
    text, _ = native.json_vector(query, best, grid_of(1), 0)
    return [row["metric"]["i"] for row in json.loads(text)]


def test_topk_orders_inside_groups_and_puts_nan_last() -> None:
    values = [1, math.nan, 5, 3, 5]
    rows: Rows = [({"g": "x", "i": str(i)}, [value]) for i, value in enumerate(values)]
    rows += [({"g": "y", "i": "y"}, [math.nan])]
    assert instant_order("topk", rows, 3) == ["2", "4", "3", "y"]
    assert instant_order("bottomk", rows, 5) == ["0", "3", "2", "4", "1", "y"]
    assert instant_order("topk", rows, 0.9) == []
    assert instant_order("topk", rows, -3) == []


def test_topk_chooses_per_step_with_a_k_of_its_own() -> None:
    query = native.Query()
    frame = frame_of(query, [({"i": "a"}, [1, 9, 1]), ({"i": "b"}, [2, 2, 2]), ({"i": "c"}, [0, 0, 0])])
    k = native.to_scalar(frame_of(query, [({}, [1, 2, 0])]))
    best = native.aggregate(query, "topk", frame, without=False, labels=[], param=k)
    assert rows_of(query, best) == [({"i": "a"}, [None, 9, None]), ({"i": "b"}, [2, 2, None])]


@pytest.mark.parametrize(
    ("op", "param", "text"),
    [
        ("topk", math.nan, "Parameter value is NaN"),
        ("limitk", 1e19, "Scalar value 1e+19 overflows int64"),
        ("bottomk", -1e19, "Scalar value -1e+19 underflows int64"),
        ("limit_ratio", math.nan, "Ratio value is NaN"),
    ],
)
def test_parameters_that_cannot_be(op: str, param: float, text: str) -> None:
    with pytest.raises(native.ExecutionError) as raised:
        aggregated([({}, [1])], op, param=native.number(param, 1))
    assert str(raised.value) == text


def test_quantiles_are_noted_when_out_of_range() -> None:
    query = native.Query()
    frame = frame_of(query, [({"x": str(i)}, [i]) for i in range(5)])
    result = native.aggregate(query, "quantile", frame, without=False, labels=[], param=native.number(1.5, 1))
    assert rows_of(query, result) == [({}, [math.inf])]
    assert query.take_notes() == [("quantile_out_of_range", "1.5", "")]
    assert query.take_notes() == []


def test_count_values_replaces_the_label() -> None:
    rows: Rows = [({"g": "x", "v": "old"}, [1, 1e-7]), ({"g": "x"}, [1, 2]), ({"g": "y"}, [1, None])]
    assert aggregated(rows, "count_values", labels=["g"], text="v") == [
        ({"g": "x", "v": "0.0000001"}, [None, 1]),
        ({"g": "x", "v": "1"}, [2, None]),
        ({"g": "x", "v": "2"}, [None, 1]),
        ({"g": "y", "v": "1"}, [1, None]),
    ]


def test_limits_take_complementary_parts() -> None:
    query = native.Query()
    rows: Rows = [({"x": str(i)}, [i]) for i in range(50)]
    frame = frame_of(query, rows)

    def part(op: str, param: float) -> Rows:
        number = native.number(param, 1)
        return rows_of(query, native.aggregate(query, op, frame, without=False, labels=[], param=number))

    assert part("limitk", 2) == rows[:2]
    low, high = part("limit_ratio", 0.3), part("limit_ratio", -0.7)
    assert len(low) + len(high) == 50
    assert 0 < len(low) < 35
    assert len(part("limit_ratio", 1.1)) == 50
    assert query.take_notes() == [("ratio_out_of_range", "1.1, capping to 1", "")]


@pytest.mark.parametrize("op", ["stddev", "stdvar"])
def test_variances_straight_over_series_hold_groups_and_not_rows(op: str) -> None:
    rows: Rows = [
        (
            {"a": str(row % 3), "row": str(row)},
            [None if (row + step) % 7 == 0 else row * step / 8 for step in range(50)],
        )
        for row in range(3000)
    ]
    straight, apart = native.Query(), native.Query()
    series = series_of(straight, rows)
    labels_only = straight.peak_bytes
    found = native.aggregate_instant(
        straight, series, grid_of(50), offset_ms=0, lookback_ms=1, op=op, without=False, labels=["a"]
    )
    expected = native.aggregate(apart, op, frame_of(apart, rows), without=False, labels=["a"], param=None, text=None)
    for (labels, values), (other_labels, others) in zip(
        rows_of(straight, found), rows_of(apart, expected), strict=True
    ):
        assert labels == other_labels
        assert values == pytest.approx(others, rel=1e-12)
    assert straight.peak_bytes - labels_only < 3000 * 50 < apart.peak_bytes
