"""What each operator of a plan takes: the plan is rebuilt with a stopwatch around every operator that is evaluated.

A plan that is not rebuilt knows nothing of this, so that it costs nothing where nobody asks.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING

from querier.promql.operators.tree import rebuilt

if TYPE_CHECKING:
    from collections.abc import Callable

    from querier.promql.operators.binary import Link
    from querier.promql.operators.tree import Node
    from querier.promql.plan import Plan
    from querier.promql.run import Operator, Run
    from shared import native


@dataclass(slots=True)
class Figures:
    """Sums over all evaluations of one operator, with those below it. `rows`, `steps`, `bytes`: of its last result."""

    evaluations: int = 0
    seconds: float = 0.0
    samples_read: int = 0
    rows: int = 0
    steps: int = 0
    bytes: int = 0

    def measure(self, run: Run, evaluate: Callable[[], native.Frame]) -> native.Frame:
        read, began = run.native.samples_read, perf_counter()
        try:
            frame = evaluate()
        finally:
            self.evaluations += 1
            self.seconds += perf_counter() - began
            self.samples_read += run.native.samples_read - read
        self.rows, self.steps, self.bytes = frame.rows, frame.steps, frame.bytes
        return frame


@dataclass(slots=True)
class Timed:
    """An operator under a stopwatch."""

    operator: Operator
    figures: Figures = field(default_factory=Figures)

    def evaluate(self, run: Run) -> native.Frame:
        return self.figures.measure(run, lambda: self.operator.evaluate(run))


@dataclass(slots=True)
class TimedLink:
    """A link of a chain under a stopwatch, without what stands left of it."""

    operator: Link
    figures: Figures = field(default_factory=Figures)

    def apply(self, run: Run, left: native.Frame) -> native.Frame:
        return self.figures.measure(run, lambda: self.operator.apply(run, left))


def timed(plan: Plan) -> Plan:
    """The same plan under stopwatches."""
    if plan.root is not None:
        return replace(plan, root=_timed(plan.root))
    return plan if plan.samples is None else replace(plan, samples=rebuilt(plan.samples, _timed))


def _timed(node: Node) -> Node:
    inner = rebuilt(node, _timed)
    return TimedLink(inner) if hasattr(node, "apply") else Timed(inner)
