"""Which parts of a query are the same at every step, and so need to be evaluated only once."""

from __future__ import annotations

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
    without_parens,
)
from querier.promql.functions import DATE_FUNCTIONS


class Invariance:
    """Computed once for a tree. Literals, selectors with `@`, and whatever is made of such only, do not vary."""

    __slots__ = ("_varying",)

    def __init__(self, expr: Expr) -> None:
        self._varying: set[int] = set()
        self._walk(expr)

    def holds(self, expr: Expr) -> bool:
        return id(expr) not in self._varying

    def _walk(self, expr: Expr) -> bool:
        """Whether `expr` varies; remembered for every node."""
        if isinstance(expr, Binary):
            return self._chain(expr)
        varies = self._varies(expr)
        if varies:
            self._varying.add(id(expr))
        return varies

    def _chain(self, expr: Binary) -> bool:
        chain = [expr]
        while isinstance(chain[-1].left, Binary):
            chain.append(chain[-1].left)
        varies = self._walk(chain[-1].left)
        for node in reversed(chain):
            varies = self._walk(node.right) or varies
            if varies:
                self._varying.add(id(node))
        return varies

    def _varies(self, expr: Expr) -> bool:
        if isinstance(expr, VectorSelector):
            return expr.when.at_ms is None and expr.when.at_edge is None
        if isinstance(expr, MatrixSelector):
            return self._walk(expr.selector)
        if isinstance(expr, Subquery):
            self._walk(expr.expr)
            return expr.when.at_ms is None and expr.when.at_edge is None
        if isinstance(expr, Paren | Unary):
            return self._walk(expr.expr)
        if isinstance(expr, Aggregate):
            varies = self._walk(expr.expr)
            return (expr.param is not None and self._walk(expr.param)) or varies
        return isinstance(expr, Call) and self._call_varies(expr)

    def _call_varies(self, call: Call) -> bool:
        varies = False
        for arg in call.args:
            varies |= self._walk(arg)
        name = call.function.name
        if name in ("info", "time", "predict_linear") or (name in DATE_FUNCTIONS and not call.args):
            return True
        # The time of a sample that `@` fixed stays; anything else has the time of the step.
        if name == "timestamp" and not isinstance(without_parens(call.args[0]), VectorSelector):
            return True
        return varies
