"""Where samples enter a plan: selectors, windows over them, and aggregations that read them at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from shared import native
from shared.seams.ingester_client import Fold

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from querier.promql.run import Operator, Run


@dataclass(slots=True)
class Number:
    value: float

    def evaluate(self, _run: Run) -> native.Frame:
        return native.number(self.value, 1)


@dataclass(slots=True)
class Time:
    """`time()`: seconds of each step."""

    grid: native.Grid

    def evaluate(self, _run: Run) -> native.Frame:
        return native.time_of(self.grid)


@dataclass(slots=True, frozen=True)
class Source:
    """The series of a selector: the number of a select, and whether of histograms only count and sum are asked for."""

    select: int
    statistics_only: bool

    def series(self, run: Run) -> native.SeriesSet:
        series = run.sets[self.select]
        return native.histogram_statistics(series) if self.statistics_only else series


@dataclass(slots=True)
class InstantSelect:
    """The newest sample at each step, or its time in seconds."""

    source: Source
    grid: native.Grid
    offset_ms: int
    lookback_ms: int
    position: int
    shows: Literal["value", "time", "time_of_float", "start"] = "value"

    def evaluate(self, run: Run) -> native.Frame:
        frame = native.select_instant(
            run.native,
            self.source.series(run),
            self.grid,
            offset_ms=self.offset_ms,
            lookback_ms=self.lookback_ms,
            shows=self.shows,
        )
        run.note(self.position)
        return frame


@dataclass(slots=True)
class SmoothedSelect:
    """The value at each step on the line between the samples around it."""

    source: Source
    grid: native.Grid
    offset_ms: int
    lookback_ms: int
    position: int

    def evaluate(self, run: Run) -> native.Frame:
        frame = native.select_smoothed(
            run.native, self.source.series(run), self.grid, offset_ms=self.offset_ms, lookback_ms=self.lookback_ms
        )
        run.note(self.position)
        return frame


class Samples(Protocol):
    """What a window slides over. `grid` holds the steps of the windows, `position` the place for annotations."""

    grid: native.Grid
    range_ms: int
    offset_ms: int
    position: int

    def series(self, run: Run) -> native.SeriesSet: ...


@dataclass(slots=True)
class Selected:
    """The samples of a selector."""

    source: Source
    grid: native.Grid
    range_ms: int
    offset_ms: int
    position: int

    def series(self, run: Run) -> native.SeriesSet:
        return self.source.series(run)


@dataclass(slots=True)
class PinnedSamples:
    """The samples of an `anchored` or `smoothed` selector without a function, and one at either end of the window."""

    source: Source
    grid: native.Grid
    range_ms: int
    offset_ms: int
    position: int
    edges: Literal["anchored", "smoothed"]
    lookback_ms: int

    def series(self, run: Run) -> native.SeriesSet:
        return self.source.series(run)


@dataclass(slots=True)
class SubquerySamples:
    """An expression at the multiples of a step. `inner_grid` covers the windows of all outer steps at once."""

    inner: Operator
    inner_grid: native.Grid
    grid: native.Grid
    range_ms: int
    offset_ms: int
    position: int

    def series(self, run: Run) -> native.SeriesSet:
        return native.as_series(run.native, self.inner.evaluate(run), self.inner_grid)


@dataclass(slots=True)
class RangeFunction:
    """A function of windows. The name goes unless the function keeps it."""

    function: str
    samples: Samples
    params: Sequence[Operator]
    keeps_name: bool
    param_position: int
    """That of the operand if there is no parameter."""

    @property
    def first_position(self) -> int:
        """The place of the first argument."""
        return min(self.samples.position, self.param_position)

    def evaluate(self, run: Run) -> native.Frame:
        samples = self.samples
        params = [param.evaluate(run) for param in self.params]
        frame = native.select_range(
            run.native,
            samples.series(run),
            samples.grid,
            self.function,
            range_ms=samples.range_ms,
            offset_ms=samples.offset_ms,
            params=params,
        )
        run.note(samples.position, parameter=self.param_position, first=self.first_position)
        return frame if self.keeps_name else native.drop_names(run.native, frame)


@dataclass(slots=True)
class ExtendedFunction:
    """A function of windows whose ends are looked up beyond them; the name goes."""

    function: str
    samples: Selected
    edges: Literal["anchored", "smoothed"]
    lookback_ms: int

    def evaluate(self, run: Run) -> native.Frame:
        samples = self.samples
        frame = native.select_extended(
            run.native,
            samples.series(run),
            samples.grid,
            self.function,
            range_ms=samples.range_ms,
            offset_ms=samples.offset_ms,
            lookback_ms=self.lookback_ms,
            edges=self.edges,
        )
        run.note(samples.position)
        return native.drop_names(run.native, frame)


@dataclass(slots=True)
class AggregateInstant:
    """An aggregation straight over a selector, without the frame of all rows in between."""

    source: InstantSelect
    op: str
    without: bool
    labels: Sequence[str]
    position: int
    """Where the operand stands."""

    def fold(self) -> Fold:
        """The same for who holds the series."""
        source = self.source
        return Fold(self.op, self.without, self.labels, None, source.grid, source.lookback_ms, source.offset_ms)

    def evaluate(self, run: Run) -> native.Frame:
        source = self.source
        frame = native.aggregate_instant(
            run.native,
            source.source.series(run),
            source.grid,
            offset_ms=source.offset_ms,
            lookback_ms=source.lookback_ms,
            op=self.op,
            without=self.without,
            labels=self.labels,
        )
        run.note(source.position, aggregated=self.position)
        return frame


@dataclass(slots=True)
class AggregateRange:
    """An aggregation straight over a function of windows. `labels` hold no name that the function drops."""

    source: RangeFunction
    op: str
    without: bool
    labels: Sequence[str]
    position: int
    """Where the function stands."""

    def fold(self) -> Fold:
        """The same for who holds the series; the function has no parameters."""
        samples = self.source.samples
        function = self.source.function
        return Fold(self.op, self.without, self.labels, function, samples.grid, samples.range_ms, samples.offset_ms)

    def evaluate(self, run: Run) -> native.Frame:
        function, samples = self.source, self.source.samples
        frame = native.aggregate_range(
            run.native,
            samples.series(run),
            samples.grid,
            function.function,
            range_ms=samples.range_ms,
            offset_ms=samples.offset_ms,
            params=[param.evaluate(run) for param in function.params],
            op=self.op,
            without=self.without,
            labels=self.labels,
        )
        run.note(
            samples.position,
            parameter=function.param_position,
            first=function.first_position,
            aggregated=self.position,
        )
        return frame if function.keeps_name or not run.delays_names else native.drop_names(run.native, frame)
