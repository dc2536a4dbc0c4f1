"""Type checks of a parsed query, with the texts of Prometheus."""

from __future__ import annotations

from typing import NoReturn

from querier.promql.ast import (
    Aggregate,
    Binary,
    Call,
    Expr,
    Matching,
    MatrixSelector,
    NumberLiteral,
    Paren,
    StringLiteral,
    Subquery,
    Unary,
    VectorSelector,
)
from querier.promql.errors import ParseError
from querier.promql.functions import DOCUMENTED_TYPE, ValueType
from querier.promql.tokens import COMPARISONS, SET_OPERATORS, quoted


def check(expr: Expr, query: str) -> ValueType:
    """The type of `expr`. Sets what depends on types: `matching` of binary operators. Raises ParseError."""
    return _Checker(query).check(expr)


class _Checker:
    __slots__ = ("query",)

    def __init__(self, query: str) -> None:
        self.query = query

    def check(self, expr: Expr) -> ValueType:
        kind = type(expr)
        if kind is VectorSelector:
            self._selector(expr)  # type: ignore[arg-type]
            return "vector"
        if kind is Call:
            return self._call(expr)  # type: ignore[arg-type]
        if kind is Aggregate:
            return self._aggregate(expr)  # type: ignore[arg-type]
        if kind is Binary:
            return self._binary(expr)  # type: ignore[arg-type]
        return self._simple(expr)

    def _simple(self, expr: Expr) -> ValueType:
        if isinstance(expr, MatrixSelector):
            self._selector(expr.selector)
            return "matrix"
        if isinstance(expr, Paren):
            return self.check(expr.expr)
        if isinstance(expr, Unary):
            found = self.check(expr.expr)
            if found not in ("scalar", "vector"):
                allowed = "unary expression only allowed on expressions of type scalar or instant vector"
                self._fail(expr, f"{allowed}, got {quoted(DOCUMENTED_TYPE[found])}")
            return found
        if isinstance(expr, Subquery):
            found = self.check(expr.expr)
            if found != "vector":
                self._fail(expr, f"subquery is only allowed on instant vector, got {found} instead")
            return "matrix"
        return "string" if isinstance(expr, StringLiteral) else "scalar"

    def _fail(self, expr: Expr, message: str) -> NoReturn:
        raise ParseError(self.query, expr.start, message)

    def _expect(self, expr: Expr, wanted: ValueType, context: str) -> None:
        found = self.check(expr)
        if found != wanted:
            self._mistyped(expr, wanted, context, found)

    def _mistyped(self, expr: Expr, wanted: ValueType, context: str, found: ValueType) -> NoReturn:
        self._fail(expr, f"expected type {DOCUMENTED_TYPE[wanted]} in {context}, got {DOCUMENTED_TYPE[found]}")

    def _selector(self, selector: VectorSelector) -> None:
        if selector.name:
            for matcher in selector.matchers[:-1]:
                if matcher.name == "__name__":
                    names = f"{quoted(selector.name)} or {quoted(matcher.value)}"
                    self._fail(selector, f"metric name must not be set twice: {names}")
            return
        if selector.may_match_all:
            return
        for matcher in selector.matchers:
            if matcher.compiled is not None:
                if not matcher.compiled.matches(""):
                    return
            elif (matcher.op == "=") == bool(matcher.value):
                return
        self._fail(selector, "vector selector must contain at least one non-empty matcher")

    def _aggregate(self, expr: Aggregate) -> ValueType:
        self._expect(expr.expr, "vector", "aggregation expression")
        if expr.param is not None:
            self._expect(expr.param, "string" if expr.op == "count_values" else "scalar", "aggregation parameter")
        return "vector"

    def _call(self, call: Call) -> ValueType:
        function = call.function
        given, declared = len(call.args), len(function.arg_types)
        if given != declared:
            self._count(call, given, declared)
        if function.name == "info" and given > 1:
            self._info_selector(call)
        for place, arg in enumerate(call.args):
            wanted = function.arg_types[place if place < declared else -1]
            found = self.check(arg)
            if found != wanted:
                context = f"call to function {quoted(function.name)}"
                self._mistyped(arg, wanted, context, found)
        return function.return_type

    def _count(self, call: Call, given: int, declared: int) -> None:
        function = call.function
        in_call = f"argument(s) in call to {quoted(function.name)}, got {given}"
        if function.variadic == 0:
            self._fail(call, f"expected {declared} {in_call}")
        if given < declared - 1:
            self._fail(call, f"expected at least {declared - 1} {in_call}")
        if 0 < function.variadic < given - declared + 1:
            self._fail(call, f"expected at most {declared - 1 + function.variadic} {in_call}")

    def _info_selector(self, call: Call) -> None:
        selector = call.args[1]
        if isinstance(selector, VectorSelector):
            if selector.name:
                self._fail(selector, "expected label selectors only, got vector selector instead")
            selector.may_match_all = True
            return
        found = self.check(selector)
        if found != "vector":
            self._mistyped(call, "vector", 'call to function "info"', found)
        self._fail(selector, "expected label selectors only")

    def _binary(self, expr: Binary) -> ValueType:
        # A long chain of operators leans to the left; walking down it takes no stack.
        chain = [expr]
        while isinstance(chain[-1].left, Binary):
            chain.append(chain[-1].left)
        left = self.check(chain[-1].left)
        for node in reversed(chain):
            left = self._operator(node, left, self.check(node.right))
        return left

    def _operator(self, expr: Binary, left: ValueType, right: ValueType) -> ValueType:
        op, matching = expr.op, expr.matching
        if expr.return_bool and op not in COMPARISONS:
            self._fail_at_operator(expr, "bool modifier can only be used on comparison operators")
        if left == right == "scalar" and op in COMPARISONS and not expr.return_bool:
            self._fail_at_operator(expr, "comparisons between scalars must use BOOL modifier")
        if matching is not None and matching.on and matching.include:
            for label in matching.labels:
                if label in matching.include:
                    self._fail_at_operator(expr, f"label {quoted(label)} must not occur in ON and GROUP clause at once")
        for side, found in ((expr.left, left), (expr.right, right)):
            if found not in ("scalar", "vector"):
                self._fail(side, "binary expression must contain only scalar and instant vector types")
        if left == right == "vector":
            if op in SET_OPERATORS and matching is not None:
                self._set_operator(expr, matching)
            return "vector"
        if matching is not None:
            self._no_matching(expr, matching)
        if op in SET_OPERATORS:
            self._fail(expr, f"set operator {quoted(op)} not allowed in binary scalar expression")
        return "scalar" if left == right else "vector"

    def _set_operator(self, expr: Binary, matching: Matching) -> None:
        if matching.card != "one-to-one":
            self._fail(expr, f"no grouping allowed for {quoted(expr.op)} operation")
        if _fills(matching):
            self._fail(expr, "filling in missing series not allowed for set operators")
        matching.card = "many-to-many"

    def _no_matching(self, expr: Binary, matching: Matching) -> None:
        if matching.labels:
            self._fail(expr, "vector matching only allowed between instant vectors")
        if _fills(matching):
            self._fail(expr, "filling in missing series only allowed between instant vectors")
        expr.matching = None

    def _fail_at_operator(self, expr: Binary, message: str) -> NoReturn:
        position = expr.left.end
        while self.query[position].isspace():
            position += 1
        raise ParseError(self.query, position, message)


def _fills(matching: Matching) -> bool:
    return matching.fill_left is not None or matching.fill_right is not None


def type_of(expr: Expr) -> ValueType:
    """The type of an expression that was checked."""
    while isinstance(expr, Paren | Unary):
        expr = expr.expr
    if isinstance(expr, NumberLiteral):
        return "scalar"
    if isinstance(expr, StringLiteral):
        return "string"
    if isinstance(expr, MatrixSelector | Subquery):
        return "matrix"
    if isinstance(expr, Call):
        return expr.function.return_type
    while isinstance(expr, Binary):
        if expr.matching is not None:
            return "vector"
        right = type_of(expr.right)
        if right == "vector":
            return "vector"
        expr = expr.left
        while isinstance(expr, Paren | Unary):
            expr = expr.expr
    return "vector" if isinstance(expr, VectorSelector | Aggregate) else type_of(expr)
