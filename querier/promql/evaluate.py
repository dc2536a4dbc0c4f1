"""Runs a plan over the series that were selected for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from querier.promql.operators.sources import PinnedSamples
from querier.promql.run import Run
from shared import native

if TYPE_CHECKING:
    from collections.abc import Sequence

    from querier.promql.functions import ValueType
    from querier.promql.plan import Plan
    from querier.promql.run import Operator


@dataclass(slots=True, frozen=True)
class Result:
    """`json` is the `result` member of the answer. `is_truncated` says that `limit` cut it."""

    type: ValueType
    json: bytes
    warnings: list[str]
    infos: list[str]
    is_truncated: bool


def evaluate(plan: Plan, sets: Sequence[native.SeriesSet], query: native.Query, limit: int = 0) -> Result:
    """`sets` are the series of `plan.selects`, in their order, selected with `query`.

    Blocks its thread, without the GIL for all that is long. Raises ExecutionError and CanceledError of `shared.native`.
    """
    run = Run(plan.query, query, sets, delays_names=plan.features.delayed_name_removal)
    json, is_truncated = _result(plan, run, limit)
    annotations = run.annotations
    return Result(plan.type, json, list(annotations.warnings), list(annotations.infos), is_truncated)


def evaluate_cells(root: Operator, run: Run) -> native.Frame:
    """What stands in the cells of the answer, under its labels."""
    frame = root.evaluate(run)
    return native.finish_names(run.native, frame) if run.delays_names else frame


def _result(plan: Plan, run: Run, limit: int) -> tuple[bytes, bool]:
    start_ms = plan.grid[0]
    if plan.text is not None:
        return native.json_string(plan.text, start_ms), False
    if plan.samples is not None:
        samples = plan.samples
        max_ms = samples.grid[0] - samples.offset_ms
        if isinstance(samples, PinnedSamples):
            return native.json_pinned_samples(
                run.native,
                samples.series(run),
                max_ms - samples.range_ms,
                max_ms,
                limit,
                edges=samples.edges,
                lookback_ms=samples.lookback_ms,
            )
        return native.json_samples(run.native, samples.series(run), max_ms - samples.range_ms + 1, max_ms, limit)
    if plan.root is None:
        raise TypeError("a plan without anything to evaluate")
    frame = evaluate_cells(plan.root, run)
    if plan.type == "scalar":
        return native.json_scalar(frame, start_ms), False
    if plan.is_range:
        return native.json_matrix(run.native, frame, plan.grid, limit)
    return native.json_vector(run.native, frame, plan.grid, limit)
