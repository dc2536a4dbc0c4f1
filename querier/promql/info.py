"""`info(v, {selector})`: which info series are looked up, and when."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from querier.promql.ast import (
    Aggregate,
    Binary,
    Call,
    Expr,
    LabelMatcher,
    MatrixSelector,
    Paren,
    Subquery,
    Unary,
    VectorSelector,
    When,
)
from querier.promql.operators.vectors import Info

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from querier.promql.planner import Planner
    from querier.promql.run import Operator
    from shared.native import Grid

_DEFAULT = LabelMatcher("__name__", "=", "target_info")
_ANY_INFO = LabelMatcher("__name__", "=~", ".+_info")


def plan_info(planner: Planner, call: Call, grid: Grid) -> Operator:
    vector = call.args[0]
    given: Sequence[LabelMatcher] = ()
    if len(call.args) > 1 and isinstance(call.args[1], VectorSelector):
        given = call.args[1].matchers
    names = _name_matchers([matcher for matcher in given if matcher.name == "__name__"])
    of_labels = [matcher for matcher in given if matcher.name != "__name__"]
    selector = VectorSelector("", [*of_labels, *names], call.start, call.end, _when(planner, vector))
    return Info(
        planner.plan(vector, grid),
        planner.instant(selector, grid, shows="time_of_float"),
        [matcher.to_native() for matcher in names],
        sorted({matcher.name for matcher in of_labels}),
        not all(matcher.to_native().matches("") for matcher in of_labels),
    )


def _name_matchers(given: list[LabelMatcher]) -> list[LabelMatcher]:
    """Matchers that only exclude are taken to exclude from all metrics that are called info."""
    if any(matcher.op in ("=", "=~") for matcher in given):
        return given
    return [_ANY_INFO, *given] if given else [_DEFAULT]


def _when(planner: Planner, vector: Expr) -> When:
    """The time of the info series is that of the first selector: the `@` of the selector or of the subqueries around
    it, and the offsets up to there."""
    for path in _paths(vector, ()):
        when = When()
        for around in path:
            when = replace(when, offset_ms=when.offset_ms + planner.offset_ms(around))
            if around.at_ms is not None or around.at_edge is not None:
                return replace(when, at_ms=around.at_ms, at_edge=around.at_edge)
        return when
    return When()


def _paths(expr: Expr, around: tuple[When, ...]) -> Iterator[tuple[When, ...]]:
    """For each selector its modifiers and those of the subqueries around it, from the inside out."""
    if isinstance(expr, VectorSelector):
        yield (expr.when, *around)
    elif isinstance(expr, MatrixSelector):
        yield (expr.selector.when, *around)
    elif isinstance(expr, Subquery):
        yield from _paths(expr.expr, (expr.when, *around))
    elif isinstance(expr, Paren | Unary | Aggregate):
        yield from _paths(expr.expr, around)
    elif isinstance(expr, Call):
        for arg in expr.args:
            yield from _paths(arg, around)
    elif isinstance(expr, Binary):
        operands: list[Expr] = [expr.right]
        while isinstance(expr.left, Binary):
            expr = expr.left
            operands.append(expr.right)
        for operand in (expr.left, *reversed(operands)):
            yield from _paths(operand, around)
