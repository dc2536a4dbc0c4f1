"""Whatever the query, it has an answer or is refused: nothing else comes out of it."""

import contextlib
import json
import threading
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querier.promql import ALL_FEATURES, ParseError, Plan, Result, evaluate, parse, prepare
from querier.promql import parsed as parsed_module
from querier.promql import plan as plan_module
from querier.promql.narrowing import narrowed
from querier.promql.parsed import ParsedQueries
from shared import native
from shared.errors import HeadraceError

from .queries import queries

_REFUSALS = (HeadraceError, native.ExecutionError)
_SERIES = [
    ({"__name__": name, "a": a, "le": le}, [0, 60_000, 120_000, 180_000], values)
    for name, a, le, values in [
        ("x", "1", "1", [1.0, 2.0, float("nan"), 3.0]),
        ("x", "1", "+Inf", [5.0, 4.0, 6.0, float("inf")]),
        ("x", "2", "wide", [0.0, -1.0, 1e300, 1e300]),
        ("sum", "1", "1", [7.0, 7.0, 7.0, 7.0]),
    ]
]


def run(text: str, grid: tuple[int, int, int], *, is_range: bool) -> Result:
    return evaluated(prepare(text, grid, ALL_FEATURES, is_range=is_range))


def evaluated(plan: Plan) -> Result:
    query = native.Query()
    sets = []
    for select in plan.selects:
        chosen = [
            (labels, times, values)
            for labels, times, values in _SERIES
            if all(
                matcher.matches(labels.get(wanted.name, ""))
                for wanted, matcher in zip(select.selector, select.matchers, strict=True)
            )
        ]
        sets.append(native.series_from_samples(query, chosen))
    return evaluate(plan, sets, query)


@given(queries)
def test_every_query_is_answered_or_refused(text: str) -> None:
    for grid, is_range in (((120_000, 1, 1), False), ((0, 45_000, 6), True)):
        try:
            result = run(text, grid, is_range=is_range)
        except _REFUSALS:
            continue
        assert isinstance(json.loads(result.json), list)


@given(queries, st.sampled_from(["({0}) / ({0})", "({0}) or ({0})", "({0}) - ({0}) * ({0})", "sum({0}) + count({0})"]))
def test_what_is_said_twice_gives_what_it_gives_by_itself(text: str, twice: str) -> None:
    try:
        plan = prepare(twice.format(text), (0, 45_000, 6), ALL_FEATURES, is_range=True)
        with mock.patch.object(plan_module, "SHARED_HEIGHT", 0):
            apart = prepare(twice.format(text), (0, 45_000, 6), ALL_FEATURES, is_range=True)
    except _REFUSALS:
        return
    outcomes = []
    for each in (plan, apart):
        try:
            outcomes.append(evaluated(each))
        except _REFUSALS as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


@given(
    queries,
    st.sampled_from(
        ['x{{a="1"}} / ({0})', '({0}) and x{{le=~"1|wide"}}', 'sum by (a) (x{{a!="2"}}) * on (a) group_right ({0})']
    ),
)
def test_matchers_that_narrow_the_other_side_change_no_result(text: str, around: str) -> None:
    outcomes = []
    for found in (narrowed, lambda _: {}):
        try:
            with (
                mock.patch.object(parsed_module, "narrowed", found),
                mock.patch.object(plan_module, "PARSED", ParsedQueries()),
            ):
                plan = prepare(around.format(text), (0, 45_000, 6), ALL_FEATURES, is_range=True)
            outcomes.append(evaluated(plan).json)
        except _REFUSALS as error:
            outcomes.append(str(error).encode())
    assert outcomes[0] == outcomes[1]


def test_the_notes_of_what_is_said_twice_stand_at_both_places() -> None:
    text = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket"
    result = run("sum(rate(x[2m])) + sum(rate(x[2m]))", (120_000, 60_000, 2), is_range=True)
    assert [info.rpartition(" ")[2] for info in result.infos if text in info] == ["(1:10)", "(1:29)"]


@given(queries)
def test_a_range_query_gives_at_each_step_what_an_instant_query_gives(text: str) -> None:
    if any(word in text for word in ("start()", "end()", "step()", "sort", "topk", "bottomk", "limitk")):
        return
    try:
        rows = json.loads(run(text, (0, 60_000, 3), is_range=True).json)
    except _REFUSALS:
        return
    for step in range(3):
        found = {
            json.dumps(row["metric"], sort_keys=True): value
            for row in rows
            for time, value in row["values"]
            if time == step * 60
        }
        instant = json.loads(run(text, (step * 60_000, 1, 1), is_range=False).json)
        assert {json.dumps(row["metric"], sort_keys=True): row["value"][1] for row in instant} == found


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_text_parses_or_is_a_parse_error(text: str) -> None:
    with contextlib.suppress(ParseError):
        parse(text, ALL_FEATURES)


@given(st.text(st.sampled_from('abx019.{}[]()"=~!,:+-*/^%<>@# \nmsyof'), max_size=40))
def test_any_mix_of_tokens_parses_or_is_a_parse_error(text: str) -> None:
    with contextlib.suppress(ParseError):
        parse(text, ALL_FEATURES)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('x{a="2"}[90s] anchored', [[60, "-1"], [120, "1e+300"], [150, "1e+300"]]),
        ('x{a="2"}[90s] smoothed', [[60, "-1"], [120, "1e+300"], [150, "1e+300"]]),
        ("sum[1m] anchored @ 100 offset -1m", [[100, "7"], [120, "7"], [160, "7"]]),
        ('x{a="1",le="1"}[20s] smoothed @ 50', [[30, "1.5"], [50, "1.8333333333333335"]]),
        ('x{a="1",le="1"}[20s] anchored @ 50', None),  # nothing after the start
    ],
)
def test_extended_ranges_show_a_sample_at_either_end(text: str, values: list[list[object]] | None) -> None:
    rows = json.loads(run(text, (150_000, 1, 1), is_range=False).json)
    assert [row["values"] for row in rows] == ([] if values is None else [values])


def test_a_cancelled_query_stops() -> None:
    plan = prepare("sum(x)", (0, 1, 1), is_range=False)
    query = native.Query()
    series = native.series_from_samples(query, _SERIES)
    query.cancel()
    with pytest.raises(native.CanceledError):
        evaluate(plan, [series], query)


def test_the_limit_cuts_vectors_and_says_so() -> None:
    plan = prepare("x", (0, 1, 1), is_range=False)
    query = native.Query()
    result = evaluate(plan, [native.series_from_samples(query, _SERIES[:3])], query, limit=2)
    assert len(json.loads(result.json)) == 2
    assert result.is_truncated


def test_one_row_of_overlapping_windows_can_be_cancelled() -> None:
    # A third of a million windows of as many samples: minutes, unless the row itself looks at the flag.
    plan = prepare("max_over_time(sum_over_time(vector(time())[5m:1ms])[5m:1ms])", (10**12, 1, 1), is_range=False)
    query = native.Query()
    threading.Timer(0.1, query.cancel).start()
    with pytest.raises(native.CanceledError):
        evaluate(plan, [], query)
