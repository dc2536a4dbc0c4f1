"""Warnings and infos: texts of Prometheus for what the native functions note."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from querier.promql.errors import line_and_column
from querier.promql.tokens import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from shared.native import Grid


class Annotations:
    """Collected in order, each text once."""

    __slots__ = ("_query", "infos", "warnings")

    def __init__(self, query: str) -> None:
        self._query = query
        self.warnings: dict[str, None] = {}
        self.infos: dict[str, None] = {}

    def warn(self, text: str, position: int) -> None:
        self.warnings[f"PromQL warning: {text} ({line_and_column(self._query, position)})"] = None

    def inform(self, text: str, position: int) -> None:
        self.infos[f"PromQL info: {text} ({line_and_column(self._query, position)})"] = None

    def add(self, notes: Iterable[tuple[str, str]], position: int, param_position: int, grid: Grid) -> None:
        """`notes` are (kind, detail) as `Query.take_notes` lists them, and name steps of `grid`.

        A note on a parameter belongs where that stands, any other where the operand does.
        """
        for kind, detail in notes:
            if kind in _WARNINGS_OF_PARAMETERS:
                self.warn(_WARNINGS_OF_PARAMETERS[kind].format(detail), param_position)
            elif kind in _WARNINGS:
                self.warn(_WARNINGS[kind].format(quoted(detail)), position)
            else:
                self.inform(_INFOS[kind](detail, grid), position)


_WARNINGS_OF_PARAMETERS = {
    "quantile_out_of_range": "quantile value should be between 0 and 1, got {}",
    "ratio_out_of_range": "ratio value should be between -1 and 1, got {}",
}
_WARNINGS = {"bad_bucket_label": 'bucket label "le" is missing or has a malformed value of {}'}


def _not_a_counter(name: str, _grid: Grid) -> str:
    return f"metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {quoted(name)}"


def _forced_monotonicity(detail: str, grid: Grid) -> str:
    lowest, highest, difference, samples, first, last = detail.split()
    return (
        "input to histogram_quantile needed to be fixed for monotonicity "
        "(see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile), "
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


_INFOS: dict[str, Callable[[str, Grid], str]] = {
    "not_a_counter": _not_a_counter,
    "forced_monotonicity": _forced_monotonicity,
}
