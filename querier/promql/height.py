"""How deep a syntax tree is. Evaluating follows a chain of operators in a loop; what draws a tree nests it as deep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from querier.promql.ast import Aggregate, Binary, Call, Paren, Subquery, Unary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from querier.promql.ast import Expr


def height(expr: Expr) -> int:
    """Levels, at least 1; durations are not looked into."""
    levels = 0
    level: Sequence[Expr] = [expr]
    while level:
        levels += 1
        level = [child for node in level for child in children(node)]
    return levels


def children(expr: Expr) -> Sequence[Expr]:
    """The expressions right below one; durations and the selector of a range are none."""
    if isinstance(expr, Binary):
        return (expr.left, expr.right)
    if isinstance(expr, Call):
        return expr.args
    if isinstance(expr, Aggregate):
        return (expr.expr,) if expr.param is None else (expr.param, expr.expr)
    return (expr.expr,) if isinstance(expr, Paren | Unary | Subquery) else ()
