"""What a query says twice is evaluated once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from querier.promql.annotations import Remark
    from querier.promql.run import Operator, Run
    from shared import native


@dataclass(slots=True)
class Kept:
    """A result until its last use, with what was noted on the way, at the places of the first occurrence."""

    frame: native.Frame
    remarks: list[Remark]
    uses: int


@dataclass(slots=True)
class Common:
    """One of `uses` occurrences of an operator, which share its `number`. This one stands `shift` characters behind the
    first one, whose operator it is.
    """

    operator: Operator
    number: int
    uses: int
    shift: int

    def evaluate(self, run: Run) -> native.Frame:
        kept = run.kept.get(self.number)
        if kept is None:
            with run.annotations.recording() as remarks:
                frame = self.operator.evaluate(run)
            kept = run.kept[self.number] = Kept(frame, remarks, self.uses)
        run.annotations.repeat(kept.remarks, self.shift)
        kept.uses -= 1
        if not kept.uses:
            del run.kept[self.number]
        return kept.frame
