"""Canonical text of a query: one line where 100 characters suffice, else split and indented, as Prometheus does."""

from __future__ import annotations

from querier.promql.ast import (
    Aggregate,
    Binary,
    Call,
    DurationExpr,
    Expr,
    LabelMatcher,
    MatrixSelector,
    NumberLiteral,
    Paren,
    StringLiteral,
    Subquery,
    Unary,
    VectorSelector,
    When,
)
from querier.promql.numbers import format_general, format_plain
from querier.promql.tokens import quoted
from shared.durations import format_duration

MAX_LINE = 100
_INDENT = "  "


def canonical(expr: Expr) -> str:
    """The query on one line."""
    return _Line().of(expr)


def pretty(expr: Expr) -> str:
    """The query as `format_query` answers it."""
    return _pretty(expr, 0, _Line())


class _Line:
    """One-line texts. A node's text is needed again at every level above it while splitting, so each is kept."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}

    def of(self, expr: Expr) -> str:
        known = self._known.get(id(expr))
        if known is None:
            known = self._known[id(expr)] = self._chain(expr) if isinstance(expr, Binary) else self._other(expr)
        return known

    def _chain(self, expr: Binary) -> str:
        chain = [expr]
        while isinstance(chain[-1].left, Binary):
            chain.append(chain[-1].left)
        parts = [self.of(chain[-1].left)]
        parts += (f" {_operator(node)} {self.of(node.right)}" for node in reversed(chain))
        return "".join(parts)

    def _other(self, expr: Expr) -> str:
        if isinstance(expr, VectorSelector):
            return _bare_selector(expr) + _at(expr.when) + _extension(expr) + _offset(expr.when)
        if isinstance(expr, MatrixSelector):
            selector = expr.selector
            extent = _extent(expr.range_ms, expr.range_expr)
            suffix = _extension(selector) + _at(selector.when) + _offset(selector.when)
            return f"{_bare_selector(selector)}[{extent}]{suffix}"
        if isinstance(expr, Subquery):
            return self.of(expr.expr) + _subquery_suffix(expr)
        if isinstance(expr, Call):
            return f"{expr.function.name}({', '.join(map(self.of, expr.args))})"
        if isinstance(expr, Aggregate):
            param = "" if expr.param is None else self.of(expr.param) + ", "
            return f"{_aggregation(expr)}({param}{self.of(expr.expr)})"
        if isinstance(expr, Unary):
            return expr.op + self.of(expr.expr)
        if isinstance(expr, Paren):
            return f"({self.of(expr.expr)})"
        if isinstance(expr, NumberLiteral):
            return _number(expr)
        if isinstance(expr, StringLiteral):
            return quoted(expr.value)
        raise TypeError(f"not an expression with a text of its own: {type(expr).__name__}")


def _pretty(expr: Expr, level: int, line: _Line) -> str:
    indent = _INDENT * level
    text = line.of(expr)
    if isinstance(expr, Unary):
        return indent + expr.op + _pretty(expr.expr, level, line).strip()
    if isinstance(expr, Subquery):
        if len(text.encode()) <= MAX_LINE:
            return text
        return _pretty(expr.expr, level, line) + _subquery_suffix(expr)
    if len(text.encode()) <= MAX_LINE or isinstance(
        expr, VectorSelector | MatrixSelector | NumberLiteral | StringLiteral
    ):
        return indent + text
    if isinstance(expr, Aggregate):
        param = "" if expr.param is None else _pretty(expr.param, level + 1, line) + ",\n"
        return f"{indent}{_aggregation(expr)}(\n{param}{_pretty(expr.expr, level + 1, line)}\n{indent})"
    if isinstance(expr, Call):
        args = ",\n".join(_pretty(arg, level + 1, line) for arg in expr.args)
        return f"{indent}{expr.function.name}(\n{args}\n{indent})"
    if isinstance(expr, Paren):
        return f"{indent}(\n{_pretty(expr.expr, level + 1, line)}\n{indent})"
    return _pretty_chain(expr, level, line)


def _pretty_chain(expr: Binary, level: int, line: _Line) -> str:
    """Operators from the innermost left operand outwards; each further left stands one level deeper."""
    chain = [expr]
    while isinstance(left := chain[-1].left, Binary) and len(line.of(left).encode()) > MAX_LINE:
        chain.append(left)
    depth = level + len(chain)
    parts = [_pretty(chain[-1].left, depth, line)]
    for node in reversed(chain):
        depth -= 1
        parts.append(f"\n{_INDENT * depth}{_operator(node)}\n{_pretty(node.right, depth + 1, line)}")
    return "".join(parts)


def format_matcher(matcher: LabelMatcher) -> str:
    name = matcher.name if is_plain_label(matcher.name) else quoted(matcher.name)
    return f"{name}{matcher.op}{quoted(matcher.value)}"


def is_plain_label(name: str) -> bool:
    """Whether a label's name may stand unquoted."""
    return name.isascii() and name.isidentifier()


def _labels(names: list[str]) -> str:
    return ", ".join(name if is_plain_label(name) else quoted(name) for name in names)


def _bare_selector(selector: VectorSelector) -> str:
    shown = sorted(
        format_matcher(matcher)
        for matcher in selector.matchers
        if not (matcher.name == "__name__" and matcher.op == "=" and matcher.value == selector.name != "")
    )
    return selector.name + ("{" + ",".join(shown) + "}" if shown else "")


def _at(when: When) -> str:
    if when.at_ms is not None:
        return f" @ {when.at_ms / 1000:.3f}"
    return f" @ {when.at_edge}()" if when.at_edge else ""


def _offset(when: When) -> str:
    if when.offset_expr is not None:
        return " offset " + _duration(when.offset_expr)
    return " offset " + format_duration(when.offset_ms) if when.offset_ms else ""


def _extension(selector: VectorSelector) -> str:
    return " anchored" if selector.is_anchored else " smoothed" if selector.is_smoothed else ""


def _extent(extent_ms: int, expr: DurationExpr | None) -> str:
    return format_duration(extent_ms) if expr is None else _duration(expr)


def _subquery_suffix(expr: Subquery) -> str:
    step = _extent(expr.step_ms, expr.step_expr) if expr.step_ms or expr.step_expr is not None else ""
    return f"[{_extent(expr.range_ms, expr.range_expr)}:{step}]{_at(expr.when)}{_offset(expr.when)}"


def _aggregation(expr: Aggregate) -> str:
    if expr.without:
        return f"{expr.op} without ({_labels(expr.grouping)}) "
    return f"{expr.op} by ({_labels(expr.grouping)}) " if expr.grouping else expr.op


def _operator(expr: Binary) -> str:
    out = expr.op + (" bool" if expr.return_bool else "")
    matching = expr.matching
    if matching is None:
        return out
    has_group = matching.card in ("many-to-one", "one-to-many")
    if matching.labels or matching.on or has_group:
        out += f" {'on' if matching.on else 'ignoring'} ({_labels(matching.labels)})"
    if has_group:
        out += f" group_{'left' if matching.card == 'many-to-one' else 'right'} ({_labels(matching.include)})"
    left, right = matching.fill_left, matching.fill_right
    if left is not None and matching.is_one_fill:
        return f"{out} fill ({format_general(left)})"
    if left is not None:
        out += f" fill_left ({format_general(left)})"
    return out if right is None else f"{out} fill_right ({format_general(right)})"


def _number(literal: NumberLiteral) -> str:
    if literal.is_duration:
        return format_duration(int(literal.value * 1e9 / 1e6))
    return format_plain(literal.value)


def _duration(expr: DurationExpr | NumberLiteral) -> str:
    if isinstance(expr, NumberLiteral):
        return _number(expr)
    if expr.op in ("step", "range"):
        text = expr.op + "()"
    elif expr.left is None:
        text = ("-" if expr.op == "-" else "") + (_duration(expr.right) if expr.right is not None else "")
    else:
        left, right = _duration(expr.left), _duration(expr.right) if expr.right is not None else ""
        text = f"{expr.op}({left}, {right})" if expr.op in ("min_of", "max_of") else f"{left} {expr.op} {right}"
    return f"({text})" if expr.is_wrapped else text
