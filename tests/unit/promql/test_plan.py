"""What a plan asks for, and which operators it chooses."""

from dataclasses import replace

import pytest

from querier.promql import ALL_FEATURES, Plan, prepare
from querier.promql.format import format_matcher
from querier.promql.operators.binary import Chain, MatchLink
from querier.promql.operators.common import Common
from querier.promql.operators.sources import (
    AggregateInstant,
    AggregateRange,
    InstantSelect,
    RangeFunction,
    Selected,
    SubquerySamples,
)
from querier.promql.operators.tree import below
from querier.promql.operators.vectors import Aggregation, ElementFunction, SortInRange
from querier.promql.plan import SHARED_HEIGHT
from shared.errors import BadDataError, ExecutionError

START_MS, STEP_MS, STEPS = 1_000_000_000, 15_000, 241
END_MS = START_MS + STEP_MS * (STEPS - 1)


def ranged(query: str, *, delays_names: bool = False) -> Plan:
    features = replace(ALL_FEATURES, delayed_name_removal=delays_names)
    return prepare(query, (START_MS, STEP_MS, STEPS), features, is_range=True)


def instant(query: str) -> Plan:
    return prepare(query, (START_MS, 1, 1), ALL_FEATURES, is_range=False)


def times(plan: Plan) -> list[tuple[int, int]]:
    return [(select.min_ms, select.max_ms) for select in plan.selects]


def test_selectors_reach_back_by_lookback_and_range_open_on_the_left() -> None:
    assert times(ranged("x")) == [(START_MS - 300_000 + 1, END_MS)]
    assert times(ranged("rate(x[10m])")) == [(START_MS - 600_000 + 1, END_MS)]
    assert times(ranged("rate(x[10m] offset 1h)")) == [(START_MS - 4_200_000 + 1, END_MS - 3_600_000)]
    assert times(ranged("x offset -1h")) == [(START_MS - 300_000 + 3_600_000 + 1, END_MS + 3_600_000)]


def test_at_fixes_the_time() -> None:
    assert times(ranged("x @ 5000")) == [(5_000_000 - 300_000 + 1, 5_000_000)]
    assert times(ranged("x @ start()")) == [(START_MS - 300_000 + 1, START_MS)]
    assert times(ranged("x @ end()")) == [(END_MS - 300_000 + 1, END_MS)]


def test_the_end_may_lie_behind_the_last_step() -> None:
    plan = prepare("x @ end()", (0, 60_000, 2), is_range=True, end_ms=90_000)
    assert times(plan) == [(90_000 - 300_000 + 1, 90_000)]


def test_equal_selectors_share_one_select_of_all_their_times() -> None:
    plan = ranged('x{a="1"} / x{a="1"} offset 1h + rate(x{a="1"}[2h]) + x')
    assert times(plan) == [(START_MS - 7_200_000 + 1, END_MS), (START_MS - 300_000 + 1, END_MS)]


NARROWED = [
    ('a{x="1"} / b', ['a{x="1"}', 'b{x="1"}']),
    ('a / b{x=~"1|2",y!="3"}', ['a{x=~"1|2",y!="3"}', 'b{x=~"1|2",y!="3"}']),
    ('a{x="1"} / b{y="2"}', ['a{x="1",y="2"}', 'b{x="1",y="2"}']),
    ('rate(a{x="1"}[5m]) > bool rate(b[5m])', ['a{x="1"}', 'b{x="1"}']),
    ('sum by (x) (a{x="1",y="2"}) / sum by (x) (b)', ['a{x="1",y="2"}', 'b{x="1"}']),
    ('a{x="1"} * on (x) group_left max by (x) (b)', ['a{x="1"}', 'b{x="1"}']),
    ('min by (x) (a) * on (x) group_right b{x="1"}', ['a{x="1"}', 'b{x="1"}']),
    ('a{x="1"} and on (x) b{y="2"}', ['a{x="1"}', 'b{x="1",y="2"}']),
    ('a and ignoring (x) (b{x="1",y="2"} > 0)', ['a{y="2"}', 'b{x="1",y="2"}']),
    ('a{x="1"} unless b{y="2"}', ['a{x="1"}', 'b{x="1",y="2"}']),
    # What comes out by itself, or may be what a failure is about, stays.
    ('a unless b{y="2"}', ["a", 'b{y="2"}']),
    ('a{x="1"} or b', ['a{x="1"}', "b"]),
    ('a{x="1"} + fill (0) b', ['a{x="1"}', "b"]),
    ('a{x="1"} / on (x) b', ['a{x="1"}', "b"]),
    ('a{x="1"} / ignoring (y) b', ['a{x="1"}', "b"]),
    ('a{x="1"} / {__name__=~"b"}', ['a{x="1"}', '{__name__=~"b"}']),
    ('a{x="1"} * on (x) group_left sum by (x, y) (b)', ['a{x="1"}', "b"]),
    # What knows the label no more, or makes one of it.
    ('a{x="1"} / sum by (y) (b)', ['a{x="1"}', "b"]),
    ('a{x="1"} and label_replace(b, "x", "1", "", "")', ['a{x="1"}', "b"]),
    ('a{x="1"} and topk(1, b)', ['a{x="1"}', "b"]),
    ('a{x="1"} and absent(b)', ['a{x="1"}', "b"]),
    ('a{x="1"} and max_over_time(b[5m:1m])', ['a{x="1"}', "b"]),
    # What is read anyway.
    ('a{x="1"} / b + b', ['a{x="1"}', "b"]),
]


@pytest.mark.parametrize(("query", "selectors"), NARROWED)
def test_matchers_of_one_side_narrow_the_other(query: str, selectors: list[str]) -> None:
    shown = []
    for select in ranged(query).selects:
        name = "".join(matcher.value for matcher in select.selector if (matcher.name, matcher.op) == ("__name__", "="))
        others = sorted(format_matcher(matcher) for matcher in select.selector if matcher.value != name)
        shown.append(name + (f"{{{','.join(others)}}}" if others else ""))
    assert shown == selectors


@pytest.mark.parametrize(
    ("query", "uses"),
    [
        ("x / x", [2]),
        ("sum(rate(x[5m])) / sum(rate(x[5m]))", [2]),
        ("(x - y) / x", [2]),
        ('histogram_quantiles(x, "q", 0.1, 0.5, 0.9)', [3]),
        ("abs(x + y) or abs(x + y) or x", [2, 2]),  # x is read once more, besides in what is evaluated once
        ("x / (x offset 5m)", []),
        ("sum(rate(x[5m])) / count(rate(x[5m]))", []),  # what is fused is not held
        ("histogram_count(x) / x", []),  # one needs no buckets
        ("x / max_over_time(x[5m:1m])", []),  # at other steps
        ("abs(x + y) - abs(x  + y)", [2, 2]),  # at other distances
        ("vector(1) + vector(1)", []),  # costs nothing
    ],
)
def test_what_is_said_twice_is_evaluated_once(query: str, uses: list[int]) -> None:
    commons: dict[int, int] = {}
    waiting = [ranged(query).root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Common):
            commons[node.number] = node.uses
        waiting += below(node)
    assert sorted(commons.values()) == uses


def test_a_tall_tree_is_left_as_it_is() -> None:
    query = "abs(" * SHARED_HEIGHT + "x + x" + ")" * SHARED_HEIGHT
    assert isinstance(ranged(query).root, ElementFunction)


def test_subquery_steps_are_multiples_of_their_step() -> None:
    plan = instant("max_over_time(x[10m:7s] offset 3s)")
    assert isinstance(plan.root, RangeFunction)
    samples = plan.root.samples
    assert isinstance(samples, SubquerySamples)
    first, step, steps = samples.inner_grid
    last = first + (steps - 1) * step
    window_start, window_end = START_MS - 3_000 - 600_000, START_MS - 3_000
    assert first % 7_000 == 0
    assert first - step <= window_start < first
    assert last <= window_end < last + step


def test_a_subquery_without_steps_looks_at_one_outside_its_window() -> None:
    plan = prepare("max_over_time(x[1m:5m])", (720_000, 1, 1), is_range=False)
    assert isinstance(plan.root, RangeFunction)
    samples = plan.root.samples
    assert isinstance(samples, SubquerySamples)
    assert samples.inner_grid == (600_000, 300_000, 1)
    assert samples.inner_grid[0] <= 720_000 - 60_000


def test_a_subquery_of_too_many_steps_is_refused() -> None:
    with pytest.raises(ExecutionError, match="a subquery of 3153600000000 steps is longer than 10000000"):
        instant("sum_over_time(vector(1)[100y:1ms])")


def test_times_beyond_all_data_are_cut() -> None:
    for query in ("x @ 9e18", "x @ -9e18 offset 290y", "rate(x[290y] @ -9e18)", "x @ 9e18 offset -290y"):
        [(min_ms, max_ms)] = times(instant(query))
        assert -(2**62) <= min_ms <= 2**63 - 1
        assert -(2**63) <= max_ms <= 2**62


def test_aggregations_read_selectors_directly() -> None:
    assert isinstance(ranged("sum by (a) ((x))").root, AggregateInstant)
    assert isinstance(ranged("max without (a) (rate(x[5m]))").root, AggregateRange)
    assert isinstance(ranged("sum(abs(x))").root, Aggregation)
    assert isinstance(ranged("stddev(rate(x[5m]))").root, AggregateRange)
    assert isinstance(ranged("quantile(0.5, x)").root, Aggregation)


def test_only_what_ingesters_can_fold_is_pushed_down() -> None:
    assert [select.fold is None for select in ranged("sum(x) + stddev(y) + stdvar(rate(z[5m]))").selects] == [
        False,
        True,
        True,
    ]


def test_names_that_dropping_would_join_are_not_aggregated_directly() -> None:
    assert isinstance(ranged('sum(rate({a="b"}[5m]))').root, Aggregation)


def test_a_dropped_name_cannot_be_grouped_by() -> None:
    root = ranged("sum by (__name__, a) (rate(x[5m]))").root
    assert isinstance(root, AggregateRange)
    assert root.labels == ["a"]
    delayed = ranged("sum by (__name__, a) (rate(x[5m]))", delays_names=True).root
    assert isinstance(delayed, AggregateRange)
    assert delayed.labels == ["__name__", "a"]
    kept = ranged("sum by (__name__, a) (last_over_time(x[5m]))").root
    assert isinstance(kept, AggregateRange)
    assert kept.labels == ["__name__", "a"]


def test_what_never_varies_is_evaluated_once() -> None:
    root = ranged("x / (y @ 5 + 1)").root
    assert isinstance(root, Chain)
    assert isinstance(root.first, InstantSelect)
    assert root.first.grid[2] == STEPS
    link = root.links[0]
    assert isinstance(link, MatchLink)
    assert isinstance(link.right, Chain)
    assert isinstance(link.right.first, InstantSelect)
    assert link.right.first.grid[2] == 1


def test_parameters_that_vary_need_every_step() -> None:
    root = ranged("quantile_over_time(scalar(y), x[5m] @ 5)").root
    assert isinstance(root, RangeFunction)
    assert isinstance(root.samples, Selected)
    assert root.samples.grid == (5_000, 0, STEPS)


def test_a_long_chain_is_one_operator() -> None:
    root = ranged(" + ".join(["x"] * 3000)).root
    assert isinstance(root, Chain)
    assert len(root.links) == 2999


def test_sorting_many_steps_does_nothing_but_warn() -> None:
    assert isinstance(ranged("sort(x)").root, SortInRange)


def test_instant_queries_show_ranges_and_strings() -> None:
    assert instant("x[5m]").type == "matrix"
    assert instant("x[5m]").samples is not None
    assert instant('("a")').text == "a"
    assert instant("1 + 1").type == "scalar"


@pytest.mark.parametrize(("query", "kind"), [("x[5m]", "range vector"), ('"a"', "string")])
def test_range_queries_show_neither(query: str, kind: str) -> None:
    with pytest.raises(BadDataError) as caught:
        ranged(query)
    assert str(caught.value) == (f'invalid expression type "{kind}" for range query, must be Scalar or instant Vector')


def test_durations_that_depend_on_the_query() -> None:
    assert times(ranged("rate(x[step()])")) == [(START_MS - STEP_MS + 1, END_MS)]
    with pytest.raises(BadDataError, match=r"^7:13: duration must be greater than 0$"):
        instant("rate(x[step()])")


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("deriv(x[3m] smoothed)", "smoothed modifier can only be used with: delta, increase, rate - not with deriv"),
        (
            "deriv(x[3m] anchored)",
            "anchored modifier can only be used with: changes, delta, increase, rate, resets - not with deriv",
        ),
        ('label_replace(x, "", "", "a", "")', "invalid destination label name in label_replace(): "),
        ('label_join(x, "a", ",", "")', "invalid source label name in label_join(): "),
        (r'count_values("a\xc5z", x)', r'invalid label name "a\xc5z"'),
        ("1 </ 2", 'operator "</" not allowed for Scalar operations'),
    ],
)
def test_refused_before_anything_runs(query: str, text: str) -> None:
    with pytest.raises(ExecutionError) as caught:
        instant(query)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("query", "is_statistics"),
    [
        ("histogram_count(sum(rate(x[5m])))", True),
        ("histogram_avg(x)", True),
        ("x", False),
        ("histogram_quantile(0.5, histogram_sum(x))", False),
        ("histogram_sum(histogram_fraction(0, 1, x))", False),
        ("histogram_count(rate(x[5m:1m]))", False),
        ("histogram_count(x </ 5)", False),
        ("histogram_stddev(x)", False),
    ],
)
def test_buckets_are_left_out_where_only_count_and_sum_are_asked_for(query: str, is_statistics: bool) -> None:
    text = repr(instant(query).root)
    assert ("statistics_only=True" in text) is is_statistics
    assert ("statistics_only=False" in text) is not is_statistics
