"""Operators over frames: functions of instant vectors, scalars and labels, and aggregations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from querier.promql.numbers import openmetrics_float
from shared import native
from shared.errors import ExecutionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from querier.promql.run import Operator, Run


MAX_QUANTILES = 100
"""Different values of one quantile that varies: each is a pass over all histograms."""


@dataclass(slots=True)
class ElementFunction:
    """A function of each element (`neg` is the unary minus); the name goes."""

    function: str
    operand: Operator
    params: Sequence[Operator]
    grid: native.Grid
    position: int

    def evaluate(self, run: Run) -> native.Frame:
        frame = self.operand.evaluate(run)
        params = [param.evaluate(run) for param in self.params]
        frame = native.apply_function(run.native, self.function, frame, params, grid=self.grid)
        run.note(self.position)
        return native.drop_names(run.native, frame)


@dataclass(slots=True)
class WithoutName:
    """The operand without its name, where only the values came for free (`timestamp` of a selector)."""

    operand: Operator

    def evaluate(self, run: Run) -> native.Frame:
        return native.drop_names(run.native, self.operand.evaluate(run))


@dataclass(slots=True)
class NegateScalar:
    operand: Operator

    def evaluate(self, run: Run) -> native.Frame:
        return native.binary_scalars("*", native.number(-1.0, 1), self.operand.evaluate(run))


@dataclass(slots=True)
class Extremum:
    """`min_of` and `max_of` of two scalars, which is what clamping does to a vector of one element."""

    clamp: Literal["clamp_max", "clamp_min"]
    left: Operator
    right: Operator
    grid: native.Grid

    def evaluate(self, run: Run) -> native.Frame:
        vector = native.to_vector(self.left.evaluate(run))
        return native.to_scalar(
            native.apply_function(run.native, self.clamp, vector, [self.right.evaluate(run)], grid=self.grid)
        )


@dataclass(slots=True)
class ToScalar:
    operand: Operator

    def evaluate(self, run: Run) -> native.Frame:
        return native.to_scalar(self.operand.evaluate(run))


@dataclass(slots=True)
class ToVector:
    operand: Operator

    def evaluate(self, run: Run) -> native.Frame:
        return native.to_vector(self.operand.evaluate(run))


@dataclass(slots=True)
class Absent:
    """`labels`: those that the selector inside says an element would have."""

    operand: Operator
    labels: Sequence[tuple[str, str]]

    def evaluate(self, run: Run) -> native.Frame:
        return native.absent(run.native, self.operand.evaluate(run), self.labels)


@dataclass(slots=True)
class Sort:
    operand: Operator
    descending: bool

    def evaluate(self, run: Run) -> native.Frame:
        return native.sort(run.native, self.operand.evaluate(run), descending=self.descending)


@dataclass(slots=True)
class SortByLabel:
    operand: Operator
    labels: Sequence[str]
    descending: bool

    def evaluate(self, run: Run) -> native.Frame:
        return native.sort_by_label(run.native, self.operand.evaluate(run), self.labels, descending=self.descending)


@dataclass(slots=True)
class SortInRange:
    """A sort where there are several steps: nothing but a warning."""

    operand: Operator
    position: int

    def evaluate(self, run: Run) -> native.Frame:
        frame = self.operand.evaluate(run)
        run.annotations.warn(
            "sort is ineffective for range queries since results are always ordered by labels", self.position
        )
        return frame


@dataclass(slots=True)
class LabelReplace:
    operand: Operator
    dst: str
    replacement: str
    src: str
    regex: str

    def evaluate(self, run: Run) -> native.Frame:
        frame = self.operand.evaluate(run)
        return native.label_replace(run.native, frame, self.dst, self.replacement, self.src, self.regex)


@dataclass(slots=True)
class LabelJoin:
    operand: Operator
    dst: str
    separator: str
    sources: Sequence[str]

    def evaluate(self, run: Run) -> native.Frame:
        return native.label_join(run.native, self.operand.evaluate(run), self.dst, self.separator, self.sources)


@dataclass(slots=True)
class HistogramQuantile:
    quantile: Operator
    operand: Operator
    grid: native.Grid
    quantile_position: int
    position: int

    def evaluate(self, run: Run) -> native.Frame:
        return self.of(run, self.quantile.evaluate(run), self.operand.evaluate(run))

    def of(self, run: Run, quantile: native.Frame, operand: native.Frame) -> native.Frame:
        frame = native.histogram_quantile(run.native, quantile, operand)
        run.note(self.position, parameter=self.quantile_position, grid=self.grid)
        return native.drop_names(run.native, frame)


@dataclass(slots=True)
class HistogramQuantiles:
    """Several quantiles of each histogram, told apart by a label, which follows a quantile that varies."""

    label: str
    quantiles: Sequence[HistogramQuantile]

    def evaluate(self, run: Run) -> native.Frame:
        first, *others = [frame for quantile in self.quantiles for frame in self._labelled(run, quantile)]
        for other in others:
            first = native.set_operator(run.native, "or", first, other, on=False, labels=())
        return first

    def _labelled(self, run: Run, quantile: HistogramQuantile) -> Iterator[native.Frame]:
        """One frame for each value that the quantile has at some step."""
        values = quantile.quantile.evaluate(run)
        operand = quantile.operand.evaluate(run)
        distinct = _distinct(run, values)
        for value in distinct:
            frame = quantile.of(run, native.number(value, 1), operand)
            if len(distinct) > 1:
                frame = native.set_operator(run.native, "and", frame, _where(run, values, value), on=True, labels=())
            yield native.label_replace(run.native, frame, self.label, openmetrics_float(value), "", "")


def _distinct(run: Run, scalar: native.Frame) -> list[float]:
    """The values of a scalar, NaN once."""
    [(_, cells)] = native.elements(run.native, scalar)
    found = {repr(value): value for value in cells if isinstance(value, float)}
    if len(found) > MAX_QUANTILES:
        raise ExecutionError(f"a quantile of histogram_quantiles() takes more than {MAX_QUANTILES} different values")
    return list(found.values())


def _where(run: Run, scalar: native.Frame, value: float) -> native.Frame:
    """An element without labels at the steps where a scalar has a value."""
    vector = native.to_vector(scalar)
    # Nothing but NaN differs from itself.
    op, other = ("!=", scalar) if math.isnan(value) else ("==", native.number(value, 1))
    return native.binary_scalar(run.native, op, vector, other, scalar_left=False, return_bool=False)


@dataclass(slots=True)
class HistogramFraction:
    lower: Operator
    upper: Operator
    operand: Operator
    position: int

    def evaluate(self, run: Run) -> native.Frame:
        lower, upper = self.lower.evaluate(run), self.upper.evaluate(run)
        frame = native.histogram_fraction(run.native, lower, upper, self.operand.evaluate(run))
        run.note(self.position)
        return native.drop_names(run.native, frame)


@dataclass(slots=True)
class Info:
    """`times` gives the times of the info series' samples; `names` tells which elements are info series themselves."""

    operand: Operator
    times: Operator
    names: Sequence[native.Matcher]
    labels: Sequence[str]
    drops_unmatched: bool

    def evaluate(self, run: Run) -> native.Frame:
        frame = self.operand.evaluate(run)
        return native.info(
            run.native,
            frame,
            self.times.evaluate(run),
            names=self.names,
            labels=self.labels,
            drops_unmatched=self.drops_unmatched,
        )


@dataclass(slots=True)
class Nothing:
    """What `start_timestamp` makes of anything but a selector."""

    operand: Operator

    def evaluate(self, run: Run) -> native.Frame:
        return nothing_of(run, self.operand.evaluate(run))


def nothing_of(run: Run, frame: native.Frame) -> native.Frame:
    """The frame without its elements: none equals NaN."""
    nan = native.number(math.nan, 1)
    return native.binary_scalar(run.native, "==", frame, nan, scalar_left=False, return_bool=False)


@dataclass(slots=True)
class Aggregation:
    """`param` is k, q or the ratio; `text` the label of count_values."""

    op: str
    operand: Operator
    without: bool
    labels: Sequence[str]
    param: Operator | None
    text: str | None
    position: int
    param_position: int

    def evaluate(self, run: Run) -> native.Frame:
        param = None if self.param is None else self.param.evaluate(run)
        frame = native.aggregate(
            run.native,
            self.op,
            self.operand.evaluate(run),
            without=self.without,
            labels=self.labels,
            param=param,
            text=self.text,
        )
        run.note(self.position, parameter=self.param_position)
        return frame
