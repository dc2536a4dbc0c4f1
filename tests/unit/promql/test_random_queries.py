"""Laws that hold for every query, on random queries over random series, evaluated without a server."""

import json
import os
import random
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import pytest

from querier.promql import ALL_FEATURES, Plan, Select, evaluate, parse, prepare
from querier.promql.format import canonical
from shared import native
from shared.errors import HeadraceError
from tests.support.queries import Data, Dialect, Grammar, Node
from tests.support.queries.data import INTERVAL_MS, SAMPLES

from .queries import sort_matchers

SEED = int(os.environ.get("HEADRACE_FUZZ_SEED", "0")) or random.SystemRandom().randint(1, 1 << 30)
QUERIES = int(os.environ.get("HEADRACE_FUZZ_QUERIES", "600"))
_REFUSALS = (HeadraceError, native.ExecutionError, native.BadDataError)
_ASKS_FOR_THE_QUERYS_TIMES = ("start()", "end()", "step()", "range()")
_STEPS = 6
_START_MS = 1_600_000_000_000

Labels = str
"""As JSON, with sorted names."""


class Series:
    """What is selected from."""

    def __init__(self, data: Data) -> None:
        self._rows = [(labels, points) for labels, points in data.every()]

    def select(self, query: native.Query, select: Select) -> native.SeriesSet:
        chosen = []
        for labels, points in self._rows:
            if all(
                matcher.matches(labels.get(wanted.name, ""))
                for wanted, matcher in zip(select.selector, select.matchers, strict=True)
            ):
                first = bisect_left(points, select.min_ms, key=itemgetter(0))
                last = bisect_right(points, select.max_ms, key=itemgetter(0))
                inside = points[first:last]
                chosen.append((dict(labels), [time for time, _ in inside], [value for _, value in inside]))
        return native.series_from_samples(query, chosen)

    def answer(self, text: str, grid: native.Grid, *, is_range: bool) -> Any:
        plan: Plan = prepare(text, grid, ALL_FEATURES, is_range=is_range)
        query = native.Query(delays_names=True, uses_starts=True, uses_types=True)
        return json.loads(evaluate(plan, [self.select(query, select) for select in plan.selects], query).json)


@pytest.fixture(scope="module")
def series() -> Series:
    print(f"\nseed: HEADRACE_FUZZ_SEED={SEED}")
    return Series(Data.random(random.Random(SEED), _START_MS))


def _query(number: int, *, is_range: bool = False) -> Node:
    grammar = Grammar(random.Random(f"{SEED}:{number}"), _START_MS, Dialect(is_modern=True))
    return grammar.query(is_range=is_range)


def _at(rows: Any, time_ms: int) -> Mapping[Labels, float]:
    return {
        json.dumps(row["metric"], sort_keys=True): float(value)
        for row in rows
        for time, value in row["values"]
        if round(time * 1000) == time_ms
    }


def _instant(answer: Any) -> Mapping[Labels, float]:
    if answer and not isinstance(answer[0], dict):  # a scalar
        return {"{}": float(answer[1])}
    return {json.dumps(row["metric"], sort_keys=True): float(row["value"][1]) for row in answer}


def test_a_range_query_gives_at_each_step_what_an_instant_query_gives(series: Series) -> None:
    """Unless the query asks for its own times; and a range query is refused only if one of its steps is.

    But for series that are alike without their names: a function of ranges refuses them even if they never meet.
    """
    compared = 0
    for number in range(QUERIES):
        rng = random.Random(f"{SEED}:{number}:when")
        query = _query(number, is_range=True)
        text = query.text
        if any(asked in text for asked in _ASKS_FOR_THE_QUERYS_TIMES):
            continue
        start_ms = _START_MS + rng.randrange(SAMPLES) * INTERVAL_MS + 500
        step_ms = rng.choice([1_000, 7_000, 15_000, 60_000, 300_000])
        times = [start_ms + step * step_ms for step in range(_STEPS)]
        shown = f"HEADRACE_FUZZ_SEED={SEED}: from {start_ms} step {step_ms}: {text}"
        try:
            rows = series.answer(text, (start_ms, step_ms, _STEPS), is_range=True)
        except _REFUSALS as error:
            is_explained = "same labelset" in str(error) or any(_is_refused(series, text, time) for time in times)
            if not is_explained:
                pytest.fail(f"{shown}: {error}")
            continue
        for time in times:
            of_range, of_instant = _at(rows, time), _instant(series.answer(text, (time, 1, 1), is_range=False))
            assert of_range.keys() == of_instant.keys(), f"{shown}: at {time}"
            for labels, value in of_range.items():
                # `sort` and `topk` order an instant query's rows, and some sums depend on the order.
                assert query.traits.agree(value, of_instant[labels]), f"{shown}: at {time} {labels}"
        compared += bool(rows)
    assert compared > QUERIES / 4, "the queries have become such that they compare little"


def _is_refused(series: Series, text: str, time_ms: int) -> bool:
    try:
        series.answer(text, (time_ms, 1, 1), is_range=False)
    except _REFUSALS:
        return True
    return False


def test_the_canonical_text_is_the_same_query() -> None:
    for number in range(QUERIES * 4):
        text = _query(number).text.replace("NaN", "7")  # NaN is not equal to itself
        expr = parse(text, ALL_FEATURES)
        again = parse(canonical(expr), ALL_FEATURES)
        assert canonical(again) == canonical(expr), text
        for tree in (expr, again):
            sort_matchers(tree)
        assert again == expr, text
