"""Syntax tree to operators. Times are known here, so every operator holds the steps that it evaluates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from querier.promql.ast import (
    Aggregate,
    Binary,
    Call,
    Expr,
    MatrixSelector,
    NumberLiteral,
    StringLiteral,
    Subquery,
    Unary,
    VectorSelector,
    without_parens,
)
from querier.promql.calls import plan_call
from querier.promql.duration_parser import duration_ms
from querier.promql.operators.binary import Chain, Link, MatchLink, MixedLink, ScalarLink, SetLink
from querier.promql.operators.sources import (
    AggregateInstant,
    AggregateRange,
    ExtendedFunction,
    InstantSelect,
    Number,
    PinnedSamples,
    RangeFunction,
    Samples,
    Selected,
    SmoothedSelect,
    Source,
    SubquerySamples,
)
from querier.promql.operators.vectors import Aggregation, ElementFunction, NegateScalar
from querier.promql.tokens import COMPARISONS, SET_OPERATORS, TRIMMERS, quoted
from querier.promql.types import type_of
from shared.durations import FAR_MS
from shared.errors import BadDataError, ExecutionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from querier.promql.ast import DurationExpr, LabelMatcher, When
    from querier.promql.features import Features
    from querier.promql.invariance import Invariance
    from querier.promql.run import Operator
    from querier.promql.statistics import StatisticsOnly
    from shared.native import Grid, Matcher
    from shared.seams.ingester_client import Fold

MAX_SUBQUERY_STEPS = 10_000_000
"""Their times alone are 80 MB. Prometheus stops at some point behind, when the samples are too many."""

_FOLDED = frozenset({"sum", "avg", "count", "min", "max", "group"})
"""Aggregations that can be done where the series are held."""

_FUSED = _FOLDED | {"stddev", "stdvar"}
"""Those that never hold a cell for each series and step."""


class Planner:
    """Plans one query. `bounds` are the query's start and end, `step_ms` is 0 for an instant query."""

    __slots__ = (
        "_by_index",
        "_readings",
        "_selects",
        "bounds",
        "features",
        "inner_steps",
        "invariance",
        "lookback_ms",
        "narrowed",
        "reads_twice",
        "statistics",
        "step_ms",
        "subquery_step_ms",
    )
    bounds: tuple[int, int]
    step_ms: int

    def __init__(
        self,
        bounds: tuple[int, int],
        step_ms: int,
        lookback_ms: int,
        subquery_step_ms: int,
        invariance: Invariance,
        statistics: StatisticsOnly,
        features: Features,
        narrowed: Mapping[int, Sequence[LabelMatcher]],
    ) -> None:
        """`narrowed`: matchers besides a selector's own, by its id."""
        self.bounds = bounds
        self.step_ms = step_ms
        self.lookback_ms = lookback_ms
        self.subquery_step_ms = subquery_step_ms
        self.invariance = invariance
        self.statistics = statistics
        self.features = features
        self.narrowed = narrowed
        self.inner_steps = 0
        self._selects: dict[tuple[tuple[str, str, str], ...], _Needed] = {}
        self._by_index: list[_Needed] = []
        self._readings: set[tuple[int, Grid, int, int]] = set()
        self.reads_twice = False  # whether two operators read the same samples at the same steps

    def needed(self) -> Iterator[tuple[Sequence[LabelMatcher], Sequence[Matcher], int, int, Fold | None]]:
        """Matchers and inclusive times of each distinct selector, in the order of the operators' indices, and the
        aggregation over its series if they are for that alone.
        """
        for needed in self._selects.values():
            matchers = [matcher.to_native() for matcher in needed.matchers]
            fold = needed.fold if needed.readers == 1 else None
            yield needed.matchers, matchers, needed.min_ms, needed.max_ms, fold

    def plan(self, expr: Expr, grid: Grid) -> Operator:
        """The operator of a scalar or vector expression. What never varies is planned for one step."""
        expr = without_parens(expr)
        if grid[2] > 1 and self.invariance.holds(expr):
            grid = (grid[0], grid[1], 1)
        if isinstance(expr, VectorSelector):
            return self.smoothed(expr, grid) if expr.is_smoothed else self.instant(expr, grid)
        if isinstance(expr, Call):
            return plan_call(self, expr, grid)
        if isinstance(expr, Aggregate):
            return self._aggregate(expr, grid)
        if isinstance(expr, Binary):
            return self._chain(expr, grid)
        if isinstance(expr, Unary):
            return self._unary(expr, grid)
        if isinstance(expr, NumberLiteral):
            return Number(expr.value)
        raise TypeError(f"{type(expr).__name__} has no value at a step")

    # ---- sources ---------------------------------------------------------------------------------------------------

    def instant(
        self,
        selector: VectorSelector,
        grid: Grid,
        *,
        shows: Literal["value", "time", "time_of_float", "start"] = "value",
    ) -> InstantSelect:
        grid = self._pinned(selector.when, grid)
        offset_ms = self.offset_ms(selector.when)
        source = self._source(selector, grid, offset_ms, self.lookback_ms)
        return InstantSelect(source, grid, offset_ms, self.lookback_ms, selector.start, shows)

    def smoothed(self, selector: VectorSelector, grid: Grid) -> SmoothedSelect:
        grid = self._pinned(selector.when, grid)
        offset_ms = self.offset_ms(selector.when)
        source = self._source(selector, grid, offset_ms, self.lookback_ms, ahead_ms=self.lookback_ms)
        return SmoothedSelect(source, grid, offset_ms, self.lookback_ms, selector.start)

    def extended(self, function: str, expr: Expr, grid: Grid) -> ExtendedFunction | None:
        """A function of an `anchored` or `smoothed` range selector; None if it is neither."""
        expr = without_parens(expr)
        if not isinstance(expr, MatrixSelector) or not is_extended(expr.selector):
            return None
        windows = self._pinned_samples(expr, grid)
        selected = Selected(windows.source, windows.grid, windows.range_ms, windows.offset_ms, windows.position)
        return ExtendedFunction(function, selected, windows.edges, self.lookback_ms)

    def _pinned_samples(self, expr: MatrixSelector, grid: Grid) -> PinnedSamples:
        selector = expr.selector
        range_ms = self._duration_ms(expr.range_ms, expr.range_expr)
        grid = self._pinned(selector.when, grid)
        offset_ms = self.offset_ms(selector.when)
        ahead_ms = self.lookback_ms if selector.is_smoothed else 0
        source = self._source(selector, grid, offset_ms, range_ms + self.lookback_ms, ahead_ms=ahead_ms)
        edges: Literal["anchored", "smoothed"] = "smoothed" if selector.is_smoothed else "anchored"
        return PinnedSamples(source, grid, range_ms, offset_ms, expr.start, edges, self.lookback_ms)

    def samples(self, expr: Expr, grid: Grid) -> Samples:
        """The windows of a range selector or a subquery at the steps of `grid`."""
        expr = without_parens(expr)
        if isinstance(expr, MatrixSelector):
            selector = expr.selector
            if is_extended(selector):
                return self._pinned_samples(expr, grid)
            range_ms = self._duration_ms(expr.range_ms, expr.range_expr)
            grid = self._pinned(selector.when, grid)
            offset_ms = self.offset_ms(selector.when)
            return Selected(self._source(selector, grid, offset_ms, range_ms), grid, range_ms, offset_ms, expr.start)
        if isinstance(expr, Subquery):
            return self._subquery(expr, grid)
        raise TypeError(f"{type(expr).__name__} has no windows")

    def _subquery(self, expr: Subquery, grid: Grid) -> SubquerySamples:
        range_ms = self._duration_ms(expr.range_ms, expr.range_expr)
        step_ms = self._duration_ms(expr.step_ms, expr.step_expr) or self.subquery_step_ms
        grid = self._pinned(expr.when, grid)
        offset_ms = self.offset_ms(expr.when)
        # Inner steps are multiples of the step since the epoch, whatever the outer ones are: the first one inside the
        # first window (open on the left) up to the end of the last. If there is none, the one before does no harm: no
        # window holds it.
        first = (grid[0] - offset_ms - range_ms) // step_ms + 1
        last = (_last(grid) - offset_ms) // step_ms
        inner_grid = (min(first, last) * step_ms, step_ms, max(last - first + 1, 1))
        if inner_grid[2] > MAX_SUBQUERY_STEPS:
            raise ExecutionError(
                f"a subquery of {inner_grid[2]} steps is longer than {MAX_SUBQUERY_STEPS}: "
                "take a longer step or a shorter range"
            )
        self.inner_steps += inner_grid[2]
        inner = self.plan(expr.expr, inner_grid)
        return SubquerySamples(inner, inner_grid, grid, range_ms, offset_ms, expr.start)

    def _pinned(self, when: When, grid: Grid) -> Grid:
        """The same steps at the one time that `@` names."""
        at_ms = when.at_ms
        if when.at_edge is not None:
            at_ms = self.bounds[when.at_edge == "end"]
        return grid if at_ms is None else (at_ms, 0 if grid[2] > 1 else grid[1], grid[2])

    def offset_ms(self, when: When) -> int:
        return when.offset_ms if when.offset_expr is None else self._evaluated(when.offset_expr, may_be_negative=True)

    def _duration_ms(self, literal_ms: int, expr: DurationExpr | None) -> int:
        return literal_ms if expr is None else self._evaluated(expr, may_be_negative=False)

    def _evaluated(self, expr: DurationExpr, *, may_be_negative: bool) -> int:
        try:
            return duration_ms(
                expr,
                step_ms=self.step_ms,
                range_ms=self.bounds[1] - self.bounds[0],
                may_be_negative=may_be_negative,
            )
        except ValueError as error:
            # Prometheus gives the two ends of the expression here, not line and column.
            raise BadDataError(f"{expr.start}:{expr.end}: {error}") from None

    def _source(
        self, selector: VectorSelector, grid: Grid, offset_ms: int, back_ms: int, *, ahead_ms: int = 0
    ) -> Source:
        """The select that serves `selector`, widened to the times (start - back, last + ahead]."""
        matchers = [*selector.matchers, *self.narrowed.get(id(selector), ())]
        key = tuple((matcher.name, matcher.op, matcher.value) for matcher in matchers)
        min_ms = max(grid[0] - offset_ms - back_ms + 1, -FAR_MS)
        max_ms = min(_last(grid) - offset_ms + ahead_ms, FAR_MS)
        needed = self._selects.get(key)
        if needed is None:
            needed = self._selects[key] = _Needed(len(self._selects), matchers, min_ms, max_ms)
            self._by_index.append(needed)
        else:
            needed.min_ms = min(needed.min_ms, min_ms)
            needed.max_ms = max(needed.max_ms, max_ms)
            needed.readers += 1
        reading = (needed.index, grid, offset_ms, back_ms)
        self.reads_twice |= reading in self._readings
        self._readings.add(reading)
        return Source(needed.index, self.statistics.holds(selector))

    # ---- operators -------------------------------------------------------------------------------------------------

    def _unary(self, expr: Unary, grid: Grid) -> Operator:
        operand = self.plan(expr.expr, grid)
        if expr.op == "+":
            return operand
        if type_of(expr.expr) == "scalar":
            return NegateScalar(operand)
        return ElementFunction("neg", operand, (), grid, expr.start)

    def _chain(self, expr: Binary, grid: Grid) -> Operator:
        chain = [(expr, grid)]
        while isinstance(chain[-1][0].left, Binary):
            left, left_grid = chain[-1][0].left, chain[-1][1]
            if left_grid[2] > 1 and self.invariance.holds(left):
                left_grid = (left_grid[0], left_grid[1], 1)
            chain.append((left, left_grid))
        innermost, innermost_grid = chain[-1]
        first = self.plan(innermost.left, innermost_grid)
        is_vector = type_of(innermost.left) == "vector"
        links = []
        for node, node_grid in reversed(chain):
            link, is_vector = self._link(node, node_grid, is_left_vector=is_vector)
            links.append(link)
        return Chain(first, links)

    def _link(self, expr: Binary, grid: Grid, *, is_left_vector: bool) -> tuple[Link, bool]:
        right = self.plan(expr.right, grid)
        is_right_vector = type_of(expr.right) == "vector"
        op = expr.op
        if not is_left_vector and not is_right_vector:
            if op in TRIMMERS:
                raise ExecutionError(f"operator {quoted(op)} not allowed for Scalar operations")
            return ScalarLink(op, right), False
        if not (is_left_vector and is_right_vector):
            keeps_name = op in TRIMMERS or (op in COMPARISONS and not expr.return_bool)
            return MixedLink(op, right, is_right_vector, expr.return_bool, keeps_name, expr.start), True
        if expr.matching is None:
            raise TypeError("vector matching was not type checked")
        if op in SET_OPERATORS:
            set_op = cast("Literal['and', 'or', 'unless']", op)
            return SetLink(set_op, right, expr.matching.on, expr.matching.labels), True
        return MatchLink(op, right, expr.matching, expr.return_bool, expr.start), True

    def _aggregate(self, expr: Aggregate, grid: Grid) -> Operator:
        operand = self.plan(expr.expr, grid)
        position = expr.expr.start
        if expr.op in _FUSED:
            if isinstance(operand, InstantSelect):
                newest = AggregateInstant(operand, expr.op, expr.without, expr.grouping, position)
                if expr.op in _FOLDED:
                    self._set_fold(operand.source, newest.fold())
                return newest
            if isinstance(operand, RangeFunction) and self._is_one_metric(expr.expr):
                labels = expr.grouping
                if not (expr.without or operand.keeps_name or self.features.delayed_name_removal):
                    labels = [label for label in labels if label != "__name__"]
                windows = AggregateRange(operand, expr.op, expr.without, labels, position)
                if expr.op in _FOLDED and isinstance(operand.samples, Selected) and not operand.params:
                    self._set_fold(operand.samples.source, windows.fold())
                return windows
        param: Operator | None = None
        text: str | None = None
        param_position = expr.start
        if expr.param is not None:
            param_position = expr.param.start
            literal = without_parens(expr.param)
            if isinstance(literal, StringLiteral):
                text = literal.value
                check_label_name(text)
            else:
                param = self.plan(expr.param, grid)
        if expr.op in ("topk", "bottomk"):
            position = expr.start
        return Aggregation(expr.op, operand, expr.without, expr.grouping, param, text, position, param_position)

    def _set_fold(self, source: Source, fold: Fold) -> None:
        self._by_index[source.select].fold = fold

    def _is_one_metric(self, expr: Expr) -> bool:
        """Whether all windows are of series that differ in more than the name, so that dropping it joins none."""
        call = without_parens(expr)
        if not isinstance(call, Call):
            return False
        return any(
            isinstance(arg, MatrixSelector)
            and any(matcher.name == "__name__" and matcher.op == "=" for matcher in arg.selector.matchers)
            for arg in map(without_parens, call.args)
        )


class _Needed:
    __slots__ = ("fold", "index", "matchers", "max_ms", "min_ms", "readers")

    def __init__(self, index: int, matchers: Sequence[LabelMatcher], min_ms: int, max_ms: int) -> None:
        self.index = index
        self.matchers = matchers
        self.min_ms = min_ms
        self.max_ms = max_ms
        self.readers = 1
        self.fold: Fold | None = None


def check_label_name(name: str) -> None:
    """Any text but nothing or bytes that are not UTF-8. Raises ExecutionError."""
    if not name or any("\udc80" <= character <= "\udcff" for character in name):
        raise ExecutionError(f"invalid label name {quoted(name)}")


def is_extended(selector: VectorSelector) -> bool:
    return selector.is_anchored or selector.is_smoothed


def _last(grid: Grid) -> int:
    return grid[0] + (grid[2] - 1) * grid[1]
