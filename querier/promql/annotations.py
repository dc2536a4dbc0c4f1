"""Warnings and infos: texts of Prometheus for what the native functions note."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from querier.promql.errors import line_and_column
from querier.promql.tokens import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shared.native import Grid

    Note = tuple[str, str, str]
    """Kind, detail, and the metric's name or nothing."""

    Remark = tuple[Literal["warning", "info"], str, int]
    """Severity, text and place."""


class Annotations:
    """Collected in order, each text once."""

    __slots__ = ("_query", "_records", "infos", "warnings")

    def __init__(self, query: str) -> None:
        self._query = query
        self._records: list[list[Remark]] = []
        self.warnings: dict[str, None] = {}
        self.infos: dict[str, None] = {}

    def warn(self, text: str, position: int) -> None:
        self._remark(("warning", text, position))

    def inform(self, text: str, position: int) -> None:
        self._remark(("info", text, position))

    @contextmanager
    def recording(self) -> Iterator[list[Remark]]:
        """What is remarked inside goes to this list alone."""
        self._records.append([])
        try:
            yield self._records[-1]
        finally:
            self._records.pop()

    def repeat(self, remarks: Iterable[Remark], shift: int) -> None:
        """The same remarks, `shift` characters further on."""
        for severity, text, position in remarks:
            self._remark((severity, text, position + shift))

    def _remark(self, remark: Remark) -> None:
        if self._records:
            self._records[-1].append(remark)
            return
        severity, text, position = remark
        collected = self.warnings if severity == "warning" else self.infos
        collected[f"PromQL {severity}: {text} ({line_and_column(self._query, position)})"] = None

    def add(self, notes: Iterable[Note], places: Places) -> None:
        """`notes` are as `Query.take_notes` lists them."""
        for kind, detail, metric in notes:
            severity, place, text = _TEXTS[kind]
            if kind == "forced_monotonicity":
                detail = _forced_monotonicity(detail, places.grid)
            elif kind == "starts_overlap":
                detail = f" ({detail} occurrences)" if detail != "1" else ""
            of_metric = f" for metric name {quoted(metric)}" if metric else ""
            note = self.warn if severity == "warning" else self.inform
            note(
                text.format(detail=detail, quoted=quoted(detail), metric=quoted(metric), of_metric=of_metric),
                getattr(places, place),
            )


@dataclass(slots=True)
class Places:
    """Where the notes of one operator belong: offsets in the query."""

    operand: int
    """What the operator looks at."""
    parameter: int
    """Its φ, k or ratio."""
    first: int
    """Its first argument, whatever that is."""
    aggregated: int
    """What an aggregation looks at; differs from `operand` where it is evaluated together with a function inside."""
    grid: Grid
    """Notes may name steps of it."""


def _forced_monotonicity(detail: str, grid: Grid) -> str:
    lowest, highest, difference, samples, first, last = detail.split()
    return (
        f"from buckets {lowest} to {highest}, with a max diff of {difference}, over {samples} samples "
        f"from {_moment(grid, int(first))} to {_moment(grid, int(last))}"
    )


def _moment(grid: Grid, step: int) -> str:
    """A step's time in RFC 3339; times that no calendar holds stay milliseconds."""
    time_ms = grid[0] + step * grid[1]
    try:
        moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=time_ms)
    except OverflowError:
        return f"{time_ms} ms"
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


# What is said of a kind of note, and at which of the places. `of_metric` names the metric if it is known.
_TEXTS: dict[str, tuple[Literal["warning", "info"], str, str]] = {
    # Of parameters.
    "quantile_out_of_range": ("warning", "parameter", "quantile value should be between 0 and 1, got {detail}"),
    "ratio_out_of_range": ("warning", "parameter", "ratio value should be between -1 and 1, got {detail}"),
    # Of samples.
    "mixed_kinds": ("warning", "operand", "encountered a mix of histograms and floats for metric name {metric}"),
    "mixed_layouts": (
        "warning",
        "operand",
        "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {metric}",
    ),
    "not_a_counter": (
        "info",
        "operand",
        "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {metric}",
    ),
    "not_typed_a_counter": (
        "info",
        "operand",
        'metric might not be a counter, __type__ label is not set to "counter" or "histogram", got {quoted}: {metric}',
    ),
    "histogram_not_a_counter": ("warning", "operand", "this native histogram metric is not a counter: {metric}"),
    "histogram_not_a_gauge": ("warning", "operand", "this native histogram metric is not a gauge: {metric}"),
    "ignored_histograms": (
        "info",
        "first",
        "ignored histograms in a range containing both floats and histograms for metric name {metric}",
    ),
    "starts_overlap": (
        "warning",
        "operand",
        "sample has start time that overlaps with previous sample timestamp for metric {metric}{detail}",
    ),
    "bounds_reconciled": ("info", "operand", "mismatched custom buckets were reconciled during {detail}"),
    "hints_collide": ("warning", "operand", "conflicting counter resets during histogram {detail}"),
    # Of aggregations.
    "mixed_in_aggregation": (
        "warning",
        "aggregated",
        "encountered a mix of histograms and floats for aggregation",
    ),
    "layouts_in_aggregation": (
        "warning",
        "aggregated",
        "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {metric}",
    ),
    "ignored_in_aggregation": ("info", "aggregated", "ignored histogram in {detail} aggregation"),
    "bounds_in_aggregation": ("info", "aggregated", "mismatched custom buckets were reconciled during aggregation"),
    "hints_in_aggregation": ("warning", "aggregated", "conflicting counter resets during histogram aggregation"),
    # Of binary operators.
    "incompatible_types": (
        "info",
        "operand",
        "incompatible sample types encountered for binary operator {detail}",
    ),
    "incompatible_layouts": (
        "warning",
        "operand",
        "incompatible bucket layout encountered for binary operator {detail}",
    ),
    # Of functions of histograms.
    "bad_bucket_label": (
        "warning",
        "operand",
        'bucket label "le" is missing or has a malformed value of {quoted}{of_metric}',
    ),
    "mixed_classic_native": (
        "warning",
        "operand",
        "vector contains a mix of classic and native histograms{of_metric}",
    ),
    "forced_monotonicity": (
        "info",
        "operand",
        "input to histogram_quantile needed to be fixed for monotonicity "
        "(see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){of_metric}, "
        "{detail}",
    ),
    "quantile_is_nan": (
        "info",
        "operand",
        "input to histogram_quantile has NaN observations, result is NaN{of_metric}",
    ),
    "quantile_is_skewed": (
        "info",
        "operand",
        "input to histogram_quantile has NaN observations, result is skewed higher{of_metric}",
    ),
    "fraction_without_nan": (
        "info",
        "operand",
        "input to histogram_fraction has NaN observations, which are excluded from all fractions{of_metric}",
    ),
}
