"""Durations inside brackets and after `offset`: numbers with arithmetic, `step()`, `range()`, `min_of` and `max_of`."""

from __future__ import annotations

import math
from typing import NoReturn

from querier.promql.ast import Duration, DurationExpr, NumberLiteral
from querier.promql.cursor import MAX_DEPTH, Cursor
from querier.promql.tokens import DURATION, NUMBER, PRECEDENCE

_MAX_SECONDS = 2**63 / 1e9
_ARITHMETIC = frozenset("+-*/%^")
_EXPECTED = "number, duration, step(), or range()"


class DurationParser(Cursor):
    """Recursive descent; `context` and `expected` say how a token that does not fit is reported."""

    __slots__ = ("duration_operators",)

    def positive_duration(self, context: str, expected: str = _EXPECTED) -> Duration:
        """A duration in brackets. A literal must be above 0; expressions are checked when the query is planned."""
        self.duration_operators = 0
        duration = self._duration(1, context, expected)
        if isinstance(duration, NumberLiteral) and duration.value <= 0:
            self.fail(duration.start, "duration must be greater than 0")
        return duration

    def offset_duration(self) -> Duration:
        """After `offset` only a signed operand is taken, so that `a offset 5m + b` adds b; anything longer needs
        parentheses. Unsigned parentheses may be continued: the grammar of Prometheus reads `offset (1m) + 2` so."""
        self.duration_operators = 0
        kind = self.kinds[self.index]
        start = self.starts[self.index]
        if kind == "(":
            return self._duration(1, "offset", _EXPECTED)
        sign = kind if kind in ("+", "-") else ""
        if sign:
            self.index += 1
        operand = self._duration_operand("offset", _EXPECTED)
        return self._signed(sign, operand, start) if sign else operand

    def _duration(self, weakest: int, context: str, expected: str) -> Duration:
        self.descend()
        start = self.starts[self.index]
        sign = self.kinds[self.index]
        if sign in ("+", "-"):
            self.index += 1
            left = self._signed(sign, self._duration(PRECEDENCE["^"], context, expected), start)
        else:
            left = self._duration_operand(context, expected)
        while (op := self.kinds[self.index]) in _ARITHMETIC and PRECEDENCE[op] >= weakest:
            at = self.starts[self.index]
            self.duration_operators += 1
            if self.duration_operators > MAX_DEPTH:  # one after the other they are as deep as nested ones
                self.fail(at, f"duration has more than {MAX_DEPTH} operators")
            self.index += 1
            precedence = PRECEDENCE[op]
            right = self._duration(precedence + (op != "^"), context, expected)
            if op in "/%" and isinstance(right, NumberLiteral) and right.value == 0:
                self.fail(at, "division by zero" if op == "/" else "modulo by zero")
            left = DurationExpr(op, left, right, left.start, right.end)
        self.depth -= 1
        return left

    def _duration_operand(self, context: str, expected: str) -> Duration:
        kind = self.kinds[self.index]
        start = self.starts[self.index]
        if kind in (NUMBER, DURATION):
            return self._in_range(self.number_literal(), start)
        if kind in ("step", "range"):
            self.index += 1
            self._take("(", context, expected)
            return DurationExpr(kind, None, None, start, self._take(")", context, expected))
        if kind in ("min_of", "max_of"):
            self.index += 1
            self._take("(", context, expected)
            left = self._duration(1, context, expected)
            self._take(",", context, expected)
            right = self._duration(1, context, expected)
            return DurationExpr(kind, left, right, start, self._take(")", context, expected))
        if kind == "(":
            self.index += 1
            inner = self._duration(1, context, expected)
            end = self._take(")", context, expected)
            if isinstance(inner, DurationExpr):
                inner.is_wrapped = True
                return inner
            # A number cannot say that it stood in parentheses; a plus sign, which is not printed, can.
            return DurationExpr("+", None, inner, start, end, is_wrapped=True)
        return self._misfit(context, expected)

    def _take(self, kind: str, context: str, expected: str) -> int:
        if self.kinds[self.index] != kind:
            self._misfit(context, expected)
        self.index += 1
        return self.starts[self.index - 1] + 1

    def _misfit(self, context: str, expected: str) -> NoReturn:
        self.unexpected(f" in {context}, expected {expected}")

    def _signed(self, sign: str, operand: Duration, start: int) -> Duration:
        if isinstance(operand, NumberLiteral):
            value = -operand.value if sign == "-" else operand.value
            return self._in_range(NumberLiteral(value, operand.is_duration, start, operand.end), start)
        return DurationExpr("-", None, operand, start, operand.end) if sign == "-" else operand

    def _in_range(self, literal: NumberLiteral, start: int) -> NumberLiteral:
        if abs(literal.value) > _MAX_SECONDS:
            self.fail(start, "duration out of range")
        return literal


def literal_ms(duration: Duration) -> tuple[int, DurationExpr | None]:
    """A literal as milliseconds, an expression as itself with 0."""
    if isinstance(duration, NumberLiteral):
        if math.isnan(duration.value):
            return 0, None
        return int(round(duration.value * 1e9) / 1e6), None
    return 0, duration


def duration_ms(expr: DurationExpr, *, step_ms: int, range_ms: int, may_be_negative: bool) -> int:
    """The value of an expression in a query with that step and length. Raises ValueError with Prometheus's text."""
    seconds = _seconds(expr, step_ms / 1000, range_ms / 1000)
    if not math.isfinite(seconds):
        raise ValueError("duration is NaN or infinite")
    if seconds <= 0 and not may_be_negative:
        raise ValueError("duration must be greater than 0")
    if abs(seconds) > _MAX_SECONDS:
        raise ValueError("duration is out of range")
    return int(seconds * 1000)


def _seconds(expr: Duration, step_s: float, range_s: float) -> float:
    if isinstance(expr, NumberLiteral):
        return expr.value
    if expr.op == "step":
        return step_s
    if expr.op == "range":
        return range_s
    right = _seconds(expr.right, step_s, range_s) if expr.right is not None else 0.0
    if expr.left is None:
        return -right if expr.op == "-" else right
    return _apply(expr.op, _seconds(expr.left, step_s, range_s), right)


def _apply(op: str, left: float, right: float) -> float:
    if op == "+":
        return left + right
    if op == "-":
        return left - right
    if op == "*":
        return left * right
    if op in ("min_of", "max_of"):
        if math.isnan(left) or math.isnan(right):
            return math.nan
        return min(left, right) if op == "min_of" else max(left, right)
    if op == "^":
        return power(left, right)
    if right == 0:
        raise ValueError("division by zero" if op == "/" else "modulo by zero")
    if op == "/":
        return left / right
    return math.fmod(left, right) if math.isfinite(left) else math.nan


def power(base: float, exponent: float) -> float:
    """IEEE pow: what C gives, where Python raises or turns complex."""
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return -math.inf if base < 0 and exponent % 2 == 1 else math.inf
    except ValueError:
        if base == 0:
            return math.copysign(math.inf, base) if exponent % 2 == 1 else math.inf
        return math.nan
