"""Binary operators. A chain of them (`a + b + c …`) is one node, however long it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from shared import native

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from querier.promql.ast import Matching
    from querier.promql.run import Operator, Run


class Link(Protocol):
    """One operator of a chain: takes what stands left of it."""

    def apply(self, run: Run, left: native.Frame) -> native.Frame: ...


@dataclass(slots=True)
class Chain:
    first: Operator
    links: Sequence[Link]

    def evaluate(self, run: Run) -> native.Frame:
        frame = self.first.evaluate(run)
        for link in self.links:
            frame = link.apply(run, frame)
        return frame


@dataclass(slots=True)
class ScalarLink:
    """A scalar on both sides."""

    op: str
    right: Operator

    def apply(self, run: Run, left: native.Frame) -> native.Frame:
        return native.binary_scalars(self.op, left, self.right.evaluate(run))


@dataclass(slots=True)
class MixedLink:
    """A vector on one side and a scalar on the other. Filtering keeps the name, computing does not."""

    op: str
    right: Operator
    is_scalar_left: bool
    return_bool: bool
    keeps_name: bool
    position: int

    def apply(self, run: Run, left: native.Frame) -> native.Frame:
        right = self.right.evaluate(run)
        vector, scalar = (right, left) if self.is_scalar_left else (left, right)
        frame = native.binary_scalar(
            run.native, self.op, vector, scalar, scalar_left=self.is_scalar_left, return_bool=self.return_bool
        )
        run.note(self.position)
        return frame if self.keeps_name else native.drop_names(run.native, frame)


@dataclass(slots=True)
class MatchLink:
    """Vectors on both sides, matched by labels."""

    op: str
    right: Operator
    matching: Matching
    return_bool: bool
    position: int

    def apply(self, run: Run, left: native.Frame) -> native.Frame:
        matching = self.matching
        frame = native.binary(
            run.native,
            self.op,
            left,
            self.right.evaluate(run),
            card=cast("Literal['one-to-one', 'many-to-one', 'one-to-many']", matching.card),
            on=matching.on,
            labels=matching.labels,
            include=matching.include,
            return_bool=self.return_bool,
            fill_left=matching.fill_left,
            fill_right=matching.fill_right,
        )
        run.note(self.position)
        return frame


@dataclass(slots=True)
class SetLink:
    """`and`, `or`, `unless`."""

    op: Literal["and", "or", "unless"]
    right: Operator
    on: bool
    labels: Sequence[str]

    def apply(self, run: Run, left: native.Frame) -> native.Frame:
        right = self.right.evaluate(run)
        return native.set_operator(run.native, self.op, left, right, on=self.on, labels=self.labels)
