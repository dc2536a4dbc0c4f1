"""A query with its time written into it, so that it gives the same whenever it is evaluated."""

from querier.promql.ast import (
    Aggregate,
    Binary,
    Call,
    Expr,
    MatrixSelector,
    Paren,
    Subquery,
    Unary,
    VectorSelector,
    When,
)
from querier.promql.functions import DATE_FUNCTIONS

_DEPEND_ON_TIME = DATE_FUNCTIONS | {"end", "predict_linear", "range", "start", "step", "time", "timestamp"}


def pinned(expr: Expr, at_ms: int) -> Expr | None:
    """`expr`, changed in place, or None if the evaluation's time would still matter."""
    return expr if _pin(expr, at_ms) else None


def _pin(expr: Expr, at_ms: int) -> bool:
    if isinstance(expr, VectorSelector):
        _pin_when(expr.when, at_ms)
    elif isinstance(expr, MatrixSelector):
        _pin_when(expr.selector.when, at_ms)
    elif isinstance(expr, Subquery):
        # The selectors inside follow the subquery's steps.
        _pin_when(expr.when, at_ms)
        return _is_free_of_time(expr.expr)
    return all(_pin(child, at_ms) for child in _children(expr)) and not _asks_for_time(expr)


def _pin_when(when: When, at_ms: int) -> None:
    if when.at_ms is None and when.at_edge is None:
        when.at_ms = at_ms


def _is_free_of_time(expr: Expr) -> bool:
    return not _asks_for_time(expr) and all(map(_is_free_of_time, _children(expr)))


def _asks_for_time(expr: Expr) -> bool:
    return isinstance(expr, Call) and expr.function.name in _DEPEND_ON_TIME


def _children(expr: Expr) -> list[Expr]:
    if isinstance(expr, Binary):
        return [expr.left, expr.right]
    if isinstance(expr, Aggregate):
        return [expr.expr] if expr.param is None else [expr.expr, expr.param]
    if isinstance(expr, Call):
        return expr.args
    if isinstance(expr, Paren | Unary | Subquery):
        return [expr.expr]
    return []
