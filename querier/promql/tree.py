"""The syntax tree as JSON, for `parse_query`: the shape that Prometheus's user interface reads.

Text is written directly, as a long chain of operators nests deeper than an encoder may recurse.
"""

from __future__ import annotations

import json
import math
from typing import Any

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
from querier.promql.numbers import format_plain


def tree_json(expr: Expr) -> str:
    if isinstance(expr, Binary):
        return _chain(expr)
    if isinstance(expr, VectorSelector):
        return json.dumps({"type": "vectorSelector", **_selector(expr)})
    if isinstance(expr, MatrixSelector):
        extent = {"range": expr.range_ms, "rangeExpr": _duration(expr.range_expr)}
        return json.dumps({"type": "matrixSelector", **_selector(expr.selector), **extent})
    if isinstance(expr, Subquery):
        extent = {"range": expr.range_ms, "rangeExpr": _duration(expr.range_expr)}
        step = {"step": expr.step_ms, "stepExpr": _duration(expr.step_expr)}
        return _node({"type": "subquery", **extent, **step, **_when(expr.when)}, expr=tree_json(expr.expr))
    if isinstance(expr, Call):
        function = expr.function
        signature = {
            "name": function.name,
            "argTypes": list(function.arg_types),
            "variadic": function.variadic,
            "returnType": function.return_type,
        }
        return _node({"type": "call", "func": signature}, args=f"[{', '.join(map(tree_json, expr.args))}]")
    if isinstance(expr, Aggregate):
        head = {"type": "aggregation", "op": expr.op, "grouping": expr.grouping, "without": expr.without}
        param = "null" if expr.param is None else tree_json(expr.param)
        return _node(head, expr=tree_json(expr.expr), param=param)
    if isinstance(expr, Paren):
        return _node({"type": "parenExpr"}, expr=tree_json(expr.expr))
    if isinstance(expr, Unary):
        return _node({"type": "unaryExpr", "op": expr.op}, expr=tree_json(expr.expr))
    return _literal(expr)


def _literal(literal: NumberLiteral | StringLiteral) -> str:
    if isinstance(literal, NumberLiteral):
        return json.dumps({"type": "numberLiteral", "val": format_plain(literal.value)})
    return json.dumps({"type": "stringLiteral", "val": literal.value})


def _node(head: dict[str, Any], **children: str) -> str:
    """`head` and children that are JSON already."""
    return json.dumps(head)[:-1] + "".join(f', "{name}": {text}' for name, text in children.items()) + "}"


def _chain(expr: Binary) -> str:
    parts = []
    levels = 0
    operand: Expr = expr
    while isinstance(operand, Binary):
        head = {
            "type": "binaryExpr",
            "op": operand.op,
            "bool": operand.return_bool,
            "matching": _matching(operand),
        }
        parts.append(_node(head, rhs=tree_json(operand.right))[:-1] + ', "lhs": ')
        levels += 1
        operand = operand.left
    return "".join(parts) + tree_json(operand) + "}" * levels


def _matching(expr: Binary) -> dict[str, Any] | None:
    matching = expr.matching
    if matching is None:
        return None
    return {
        "card": matching.card,
        "labels": matching.labels,
        "on": matching.on,
        "include": matching.include,
        "fillValues": {"lhs": _fill(matching.fill_left), "rhs": _fill(matching.fill_right)},
    }


def _fill(value: float | None) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if value is not None and math.isfinite(value) else None


def _selector(selector: VectorSelector) -> dict[str, Any]:
    return {
        "name": selector.name,
        "matchers": [_matcher(matcher) for matcher in selector.matchers],
        "anchored": selector.is_anchored,
        "smoothed": selector.is_smoothed,
        **_when(selector.when),
    }


def _matcher(matcher: LabelMatcher) -> dict[str, str]:
    return {"name": matcher.name, "value": matcher.value, "type": matcher.op}


def _when(when: When) -> dict[str, Any]:
    return {
        "offset": when.offset_ms,
        "offsetExpr": _duration(when.offset_expr),
        "timestamp": when.at_ms,
        "startOrEnd": when.at_edge,
    }


def _duration(expr: DurationExpr | NumberLiteral | None) -> dict[str, Any] | None:
    if expr is None:
        return None
    if isinstance(expr, NumberLiteral):
        return {"type": "numberLiteral", "val": format_plain(expr.value), "duration": expr.is_duration}
    return {
        "type": "durationExpr",
        "op": expr.op,
        "lhs": _duration(expr.left),
        "rhs": _duration(expr.right),
        "wrapped": expr.is_wrapped,
    }
