"""A syntax tree as the JSON of /api/v1/parse_query, which Prometheus's own user interface draws."""

import math
from typing import Any

from querier.promql.ast import (
    Aggregate,
    Binary,
    Call,
    Duration,
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

Node = dict[str, Any]


def tree(expr: Expr) -> Node:
    """Recursive: the caller bounds the depth."""
    match expr:
        case NumberLiteral():
            return {"type": "numberLiteral", "val": format_plain(expr.value)}
        case StringLiteral():
            return {"type": "stringLiteral", "val": expr.value}
        case Paren():
            return {"type": "parenExpr", "expr": tree(expr.expr)}
        case Unary():
            return {"type": "unaryExpr", "op": expr.op, "expr": tree(expr.expr)}
        case Call():
            return _call(expr)
        case Aggregate():
            return {
                "type": "aggregation",
                "op": expr.op,
                "expr": tree(expr.expr),
                "param": tree(expr.param) if expr.param is not None else None,
                "grouping": expr.grouping,
                "without": expr.without,
            }
        case Binary():
            return _binary(expr)
        case VectorSelector():
            return {"type": "vectorSelector", **_selector(expr)}
        case MatrixSelector():
            return {
                "type": "matrixSelector",
                **_selector(expr.selector),
                "range": expr.range_ms,
                "rangeExpr": _duration(expr.range_expr),
            }
        case Subquery():
            return {
                "type": "subquery",
                "expr": tree(expr.expr),
                "range": expr.range_ms,
                "rangeExpr": _duration(expr.range_expr),
                "step": expr.step_ms,
                "stepExpr": _duration(expr.step_expr),
                **_when(expr.when),
            }


def _call(expr: Call) -> Node:
    function = expr.function
    return {
        "type": "call",
        "func": {
            "name": function.name,
            "argTypes": list(function.arg_types),
            "variadic": function.variadic,
            "returnType": function.return_type,
        },
        "args": [tree(arg) for arg in expr.args],
    }


def _binary(expr: Binary) -> Node:
    matching = expr.matching and {
        "card": expr.matching.card,
        "labels": expr.matching.labels,
        "on": expr.matching.on,
        "include": expr.matching.include,
        "fillValues": {"lhs": _fill(expr.matching.fill_left), "rhs": _fill(expr.matching.fill_right)},
    }
    return {
        "type": "binaryExpr",
        "op": expr.op,
        "lhs": tree(expr.left),
        "rhs": tree(expr.right),
        "matching": matching,
        "bool": expr.return_bool,
    }


def _fill(value: float | None) -> float | str | None:
    """JSON has no number for NaN and the infinities, with which Prometheus fails here: they come as text."""
    return value if value is None or math.isfinite(value) else format_plain(value)


def _selector(selector: VectorSelector) -> Node:
    return {
        "name": selector.name,
        "matchers": [_matcher(matcher) for matcher in selector.matchers],
        **_when(selector.when),
        "anchored": selector.is_anchored,
        "smoothed": selector.is_smoothed,
    }


def _matcher(matcher: LabelMatcher) -> Node:
    return {"name": matcher.name, "value": matcher.value, "type": matcher.op}


def _when(when: When) -> Node:
    return {
        "offset": when.offset_ms,
        "offsetExpr": _duration(when.offset_expr),
        "timestamp": when.at_ms,
        "startOrEnd": when.at_edge,
    }


def _duration(duration: Duration | None) -> Node | None:
    if duration is None:
        return None
    if isinstance(duration, DurationExpr):
        return {
            "type": "durationExpr",
            "op": duration.op,
            "lhs": _duration(duration.left),
            "rhs": _duration(duration.right),
            "wrapped": duration.is_wrapped,
        }
    return tree(duration)
