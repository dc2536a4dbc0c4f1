"""Matchers of one side of a binary operator that may stand on the other side as well, so that less is read there.

Where two elements meet only if they agree in a label, what the matchers of one side say of that label holds for every
element of the other side that meets any. Prometheus reads the others too and drops them; that they are not read changes
the result in no way only if

- they do not come out by themselves: not of `or`, not of `unless` on its left side, not with `fill`;
- they cannot make the query fail: nothing fails that two of them have equal labels, because the side on which elements
  must be unique has them unique as it is built.

What is said of elements that meet none, as the info that a metric might not be a counter, is not said any more.
"""

from __future__ import annotations

from collections import Counter
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
    without_parens,
)
from querier.promql.tokens import COMPARISONS, SET_OPERATORS
from querier.promql.types import type_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from querier.promql.ast import Matching

_NAMES = frozenset({"__name__", "__type__", "__unit__"})
_FOLDS = frozenset({"sum", "avg", "count", "min", "max", "group", "stddev", "stdvar", "quantile"})

_Narrowed = dict[int, list[LabelMatcher]]


def narrowed(expr: Expr) -> _Narrowed:
    """id of a selector → matchers that may be added to its own."""
    selectors = list(_selectors(expr))
    if len(selectors) < 2:
        return {}
    found: _Narrowed = {}
    for node in _binaries(expr):
        if node.matching is not None:
            _narrow(node, node.matching, found)
    # A selector that stands elsewhere too is read once for all, as it is.
    written = Counter(map(_key, selectors))
    return {
        id(selector): fresh
        for selector in selectors
        if written[_key(selector)] == 1
        and (fresh := [matcher for matcher in found.get(id(selector), ()) if matcher not in selector.matchers])
    }


def _narrow(node: Binary, matching: Matching, found: _Narrowed) -> None:
    if node.op == "or" or matching.fill_left is not None or matching.fill_right is not None:
        return
    is_matched = _matched(matching)
    if node.op not in SET_OPERATORS:
        one_side = node.left if matching.card == "one-to-many" else node.right
        if not _is_unique(one_side, matching):
            return
    left, right = (
        [matcher for matcher in _holds(side) if is_matched(matcher.name)] for side in (node.left, node.right)
    )
    _push(node.right, left, found)
    if node.op != "unless":
        _push(node.left, right, found)


def _holds(expr: Expr) -> Sequence[LabelMatcher]:
    """What all elements of an expression match."""
    expr = without_parens(expr)
    if isinstance(expr, VectorSelector):
        return [matcher for matcher in expr.matchers if matcher.name not in _NAMES]
    inner, keeps = _through(expr)
    return [] if inner is None else [matcher for matcher in _holds(inner) if keeps(matcher.name)]


def _push(expr: Expr, matchers: Sequence[LabelMatcher], found: _Narrowed) -> None:
    """Adds matchers to the selector of an expression whose elements tell apart the labels that they are of."""
    expr = without_parens(expr)
    if isinstance(expr, VectorSelector):
        known = found.setdefault(id(expr), [])
        known += [matcher for matcher in matchers if matcher not in known]
        return
    inner, keeps = _through(expr)
    if inner is not None:
        _push(inner, [matcher for matcher in matchers if keeps(matcher.name)], found)


def _through(expr: Expr) -> tuple[Expr | None, Callable[[str], bool]]:
    """The operand of which each element makes a part of one element, and the labels that both have alike."""
    if isinstance(expr, Call) and "matrix" in expr.function.arg_types and expr.function.name != "absent_over_time":
        for arg in map(without_parens, expr.args):
            if isinstance(arg, MatrixSelector) and _has_name(arg.selector):
                return arg.selector, lambda _: True
    if isinstance(expr, Aggregate) and expr.op in _FOLDS:
        grouping = frozenset(expr.grouping)
        return expr.expr, lambda label: (label in grouping) != expr.without
    if isinstance(expr, Binary) and expr.matching is None and expr.op in COMPARISONS and not expr.return_bool:
        return (expr.left if type_of(expr.left) == "vector" else expr.right), lambda _: True
    return None, lambda _: False


def _matched(matching: Matching) -> Callable[[str], bool]:
    """Whether elements that meet agree in a label."""
    labels = frozenset(matching.labels)
    return lambda label: label not in _NAMES and (label in labels) == matching.on


def _is_unique(expr: Expr, matching: Matching) -> bool:
    """Whether no two elements can agree in all labels that are matched."""
    expr = without_parens(expr)
    if isinstance(expr, VectorSelector):
        # Of one metric series differ in a label besides the name; all of those have to be matched.
        return _has_name(expr) and not (matching.on or matching.labels)
    if isinstance(expr, Aggregate) and expr.op in _FOLDS and not expr.without:
        return all(map(_matched(matching), expr.grouping))
    inner, _ = _through(expr)
    return inner is not None and not isinstance(expr, Aggregate) and _is_unique(inner, matching)


def _has_name(selector: VectorSelector) -> bool:
    return any(matcher.name == "__name__" and matcher.op == "=" for matcher in selector.matchers)


def _key(selector: VectorSelector) -> tuple[tuple[str, str, str], ...]:
    return tuple((matcher.name, matcher.op, matcher.value) for matcher in selector.matchers)


def _selectors(expr: Expr) -> Iterator[VectorSelector]:
    for node in _nodes(expr):
        if isinstance(node, VectorSelector):
            yield node


def _binaries(expr: Expr) -> Iterator[Binary]:
    for node in _nodes(expr):
        if isinstance(node, Binary):
            yield node


def _nodes(expr: Expr) -> Iterator[Expr]:
    waiting: list[Expr] = [expr]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, Binary):
            waiting += (node.left, node.right)
        elif isinstance(node, Call):
            waiting += node.args
        elif isinstance(node, Aggregate):
            waiting += (node.expr,) if node.param is None else (node.param, node.expr)
        elif isinstance(node, MatrixSelector):
            waiting.append(node.selector)
        elif isinstance(node, Paren | Unary | Subquery):
            waiting.append(node.expr)
