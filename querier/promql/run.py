"""What the operators of one evaluation share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from querier.promql.annotations import Annotations, Places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from querier.promql.operators.common import Kept
    from shared.native import Frame, Grid, Query, SeriesSet


class Run:
    """One evaluation: the native query, the selected series in the order of the plan's selects, and what was noted."""

    __slots__ = ("annotations", "delays_names", "kept", "native", "sets")

    def __init__(self, text: str, query: Query, sets: Sequence[SeriesSet], *, delays_names: bool) -> None:
        self.native = query
        self.sets = sets
        self.delays_names = delays_names
        self.annotations = Annotations(text)
        self.kept: dict[int, Kept] = {}

    def note(
        self,
        operand: int,
        *,
        parameter: int | None = None,
        first: int | None = None,
        aggregated: int | None = None,
        grid: Grid = (0, 0, 1),
    ) -> None:
        """Give what the native calls since the last time noted its place, the operand's unless others are given."""
        notes = self.native.take_notes()
        if notes:
            places = Places(
                operand,
                operand if parameter is None else parameter,
                operand if first is None else first,
                operand if aggregated is None else aggregated,
                grid,
            )
            self.annotations.add(notes, places)


class Operator(Protocol):
    """A node of a plan. Evaluating it gives a frame of the node's steps, or of one step if it is the same at all."""

    def evaluate(self, run: Run) -> Frame: ...
