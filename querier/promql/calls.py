"""Function calls to operators."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from querier.promql.ast import Expr, MatrixSelector, StringLiteral, VectorSelector, without_parens
from querier.promql.functions import ANCHORABLE, DATE_FUNCTIONS, KEEP_NAME, SMOOTHABLE
from querier.promql.info import plan_info
from querier.promql.operators.binary import Chain, ScalarLink
from querier.promql.operators.sources import Number, RangeFunction, Time
from querier.promql.operators.vectors import (
    Absent,
    ElementFunction,
    Extremum,
    HistogramFraction,
    HistogramQuantile,
    HistogramQuantiles,
    LabelJoin,
    LabelReplace,
    Nothing,
    Sort,
    SortByLabel,
    SortInRange,
    ToScalar,
    ToVector,
    WithoutName,
)
from shared.errors import ExecutionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from querier.promql.ast import Call
    from querier.promql.planner import Planner
    from querier.promql.run import Operator
    from shared.native import Grid


def plan_call(planner: Planner, call: Call, grid: Grid) -> Operator:
    name = call.function.name
    if "matrix" in call.function.arg_types:
        return _range_function(planner, call, grid)
    special = _SPECIAL.get(name)
    if special is not None:
        return special(planner, call, grid)
    return _element_function(planner, call, grid)


def _element_function(planner: Planner, call: Call, grid: Grid) -> Operator:
    """A function of each element. Dates without an argument are those of the steps."""
    name = call.function.name
    if name in DATE_FUNCTIONS and not call.args:
        return ElementFunction(name, ToVector(Time(grid)), (), grid, call.start)
    operand = planner.plan(call.args[0], grid)
    params = [planner.plan(arg, grid) for arg in call.args[1:]]
    if name == "round" and not params:
        params = [Number(1.0)]
    return ElementFunction(name, operand, params, grid, call.args[0].start)


def _range_function(planner: Planner, call: Call, grid: Grid) -> Operator:
    name = call.function.name
    place = call.function.arg_types.index("matrix")
    _check_extension(name, call.args[place])
    extended = planner.extended(name, call.args[place], grid)
    if extended is not None:
        return extended
    samples = planner.samples(call.args[place], grid)
    scalars = [arg for index, arg in enumerate(call.args) if index != place]
    params = [planner.plan(arg, grid) for arg in scalars]
    param_position = scalars[0].start if scalars else samples.position
    if name == "absent_over_time":
        present = RangeFunction("present_over_time", samples, (), keeps_name=True, param_position=param_position)
        return Absent(present, _labels_of_absent(call.args[place]))
    if name == "predict_linear" and samples.grid != grid:
        # Under `@` the window stands still and the time to predict for moves on.
        since = ScalarLink("-", Number(samples.grid[0] / 1000))
        params = [Chain(Time(grid), [since, ScalarLink("+", params[0])])]
    return RangeFunction(name, samples, params, name in KEEP_NAME, param_position)


def _check_extension(name: str, arg: Expr) -> None:
    selector = without_parens(arg)
    if not isinstance(selector, MatrixSelector):
        return
    for modifier, is_set, allowed in (
        ("anchored", selector.selector.is_anchored, ANCHORABLE),
        ("smoothed", selector.selector.is_smoothed, SMOOTHABLE),
    ):
        if is_set and name not in allowed:
            raise ExecutionError(f"{modifier} modifier can only be used with: {', '.join(allowed)} - not with {name}")


def _labels_of_absent(arg: Expr) -> list[tuple[str, str]]:
    """What an element would be labelled, as far as the matchers tell: equal to one value, and named only once."""
    arg = without_parens(arg)
    selector = arg.selector if isinstance(arg, MatrixSelector) else arg
    if not isinstance(selector, VectorSelector):
        return []
    labels: dict[str, str] = {}
    seen: set[str] = set()
    for matcher in selector.matchers:
        if matcher.name == "__name__":
            continue
        if matcher.op == "=" and matcher.name not in seen:
            labels[matcher.name] = matcher.value
            seen.add(matcher.name)
        else:
            labels.pop(matcher.name, None)
    return [(name, value) for name, value in labels.items() if value]


def _timestamp(planner: Planner, call: Call, grid: Grid) -> Operator:
    """Of a selector the time of its samples, of anything else that of the step."""
    operand = without_parens(call.args[0])
    if isinstance(operand, VectorSelector):
        return WithoutName(planner.instant(operand, grid, shows="time"))
    return ElementFunction("timestamp", planner.plan(operand, grid), (), grid, call.args[0].start)


def _sort(planner: Planner, call: Call, grid: Grid) -> Operator:
    operand = planner.plan(call.args[0], grid)
    if grid[2] > 1:
        return SortInRange(operand, call.start)
    return Sort(operand, call.function.name.endswith("_desc"))


def _sort_by_label(planner: Planner, call: Call, grid: Grid) -> Operator:
    operand = planner.plan(call.args[0], grid)
    if grid[2] > 1:
        return SortInRange(operand, call.start)
    return SortByLabel(operand, [_text(arg) for arg in call.args[1:]], call.function.name.endswith("_desc"))


def _label_replace(planner: Planner, call: Call, grid: Grid) -> Operator:
    dst, replacement, src, regex = (_text(arg) for arg in call.args[1:])
    if not _is_label_name(dst):
        raise ExecutionError(f"invalid destination label name in label_replace(): {dst}")
    return LabelReplace(planner.plan(call.args[0], grid), dst, replacement, src, regex)


def _label_join(planner: Planner, call: Call, grid: Grid) -> Operator:
    dst, separator, *sources = (_text(arg) for arg in call.args[1:])
    if not _is_label_name(dst):
        raise ExecutionError(f"invalid destination label name in label_join(): {dst}")
    for source in sources:
        if not _is_label_name(source):
            raise ExecutionError(f"invalid source label name in label_join(): {source}")
    return LabelJoin(planner.plan(call.args[0], grid), dst, separator, sources)


def _is_label_name(name: str) -> bool:
    return bool(name) and not any("\udc80" <= character <= "\udcff" for character in name)


def _text(arg: Expr) -> str:
    literal = without_parens(arg)
    if not isinstance(literal, StringLiteral):
        raise TypeError("a string argument was not type checked")
    return literal.value


def _histogram_quantile(planner: Planner, call: Call, grid: Grid) -> Operator:
    quantile, operand = (planner.plan(arg, grid) for arg in call.args)
    return HistogramQuantile(quantile, operand, grid, call.args[0].start, call.args[1].start)


def _histogram_quantiles(planner: Planner, call: Call, grid: Grid) -> Operator:
    vector, label, *quantiles = call.args
    return HistogramQuantiles(
        _text(label),
        [
            HistogramQuantile(planner.plan(arg, grid), planner.plan(vector, grid), grid, arg.start, vector.start)
            for arg in quantiles
        ],
    )


def _start_timestamp(planner: Planner, call: Call, grid: Grid) -> Operator:
    """Of a selector when its samples say they began; nothing of anything else, or where that is not looked at."""
    operand = without_parens(call.args[0])
    if isinstance(operand, VectorSelector) and planner.features.use_start_timestamps:
        return WithoutName(planner.instant(operand, grid, shows="start"))
    return Nothing(planner.plan(operand, grid))


def _histogram_fraction(planner: Planner, call: Call, grid: Grid) -> Operator:
    lower, upper, operand = (planner.plan(arg, grid) for arg in call.args)
    return HistogramFraction(lower, upper, operand, call.args[2].start)


def _constant(value: Callable[[Planner], float]) -> Callable[[Planner, Call, Grid], Operator]:
    return lambda planner, _call, _grid: Number(value(planner))


def _extremum(planner: Planner, call: Call, grid: Grid) -> Operator:
    left, right = (planner.plan(arg, grid) for arg in call.args)
    return Extremum("clamp_max" if call.function.name == "min_of" else "clamp_min", left, right, grid)


def _absent(planner: Planner, call: Call, grid: Grid) -> Operator:
    return Absent(planner.plan(call.args[0], grid), _labels_of_absent(call.args[0]))


def _scalar(planner: Planner, call: Call, grid: Grid) -> Operator:
    return ToScalar(planner.plan(call.args[0], grid))


def _vector(planner: Planner, call: Call, grid: Grid) -> Operator:
    return ToVector(planner.plan(call.args[0], grid))


def _time(_planner: Planner, _call: Call, grid: Grid) -> Operator:
    return Time(grid)


_SPECIAL: dict[str, Callable[[Planner, Call, Grid], Operator]] = {
    "absent": _absent,
    "end": _constant(lambda planner: planner.bounds[1] / 1000),
    "histogram_fraction": _histogram_fraction,
    "histogram_quantile": _histogram_quantile,
    "histogram_quantiles": _histogram_quantiles,
    "info": plan_info,
    "label_join": _label_join,
    "label_replace": _label_replace,
    "max_of": _extremum,
    "min_of": _extremum,
    "pi": _constant(lambda _planner: math.pi),
    "range": _constant(lambda planner: (planner.bounds[1] - planner.bounds[0]) / 1000),
    "scalar": _scalar,
    "sort": _sort,
    "sort_desc": _sort,
    "sort_by_label": _sort_by_label,
    "sort_by_label_desc": _sort_by_label,
    "start": _constant(lambda planner: planner.bounds[0] / 1000),
    "start_timestamp": _start_timestamp,
    "step": _constant(lambda planner: planner.step_ms / 1000),
    "time": _time,
    "timestamp": _timestamp,
    "vector": _vector,
}
