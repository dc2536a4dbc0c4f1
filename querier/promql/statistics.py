"""Which selectors need no buckets of native histograms, because only number and sum of observations are asked for."""

from __future__ import annotations

from querier.promql.ast import Aggregate, Binary, Call, Expr, MatrixSelector, Paren, Unary, VectorSelector
from querier.promql.tokens import TRIMMERS

_ASK_FOR_STATISTICS = frozenset({"histogram_avg", "histogram_count", "histogram_sum"})
_ASK_FOR_BUCKETS = frozenset({"histogram_fraction", "histogram_quantile", "histogram_quantiles"})


class StatisticsOnly:
    """Computed once for a tree. A subquery keeps the buckets: it looks for counter resets itself."""

    __slots__ = ("_selectors",)

    def __init__(self, expr: Expr) -> None:
        self._selectors: set[int] = set()
        # (node, whether something above asks for statistics)
        waiting: list[tuple[Expr, bool]] = [(expr, False)]
        while waiting:
            node, is_asked = waiting.pop()
            if isinstance(node, VectorSelector):
                if is_asked:
                    self._selectors.add(id(node))
            elif isinstance(node, MatrixSelector):
                waiting.append((node.selector, is_asked))
            elif isinstance(node, Call):
                waiting.extend(self._of_call(node, is_asked=is_asked))
            elif isinstance(node, Binary):
                if node.op not in TRIMMERS:
                    waiting += [(node.left, is_asked), (node.right, is_asked)]
            elif isinstance(node, Aggregate | Paren | Unary):
                waiting.append((node.expr, is_asked))

    @staticmethod
    def _of_call(call: Call, *, is_asked: bool) -> list[tuple[Expr, bool]]:
        name = call.function.name
        if name in _ASK_FOR_BUCKETS:
            return []
        return [(arg, is_asked or name in _ASK_FOR_STATISTICS) for arg in call.args]

    def holds(self, selector: VectorSelector) -> bool:
        return id(selector) in self._selectors
