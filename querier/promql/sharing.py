"""Finds what a plan would evaluate more than once.

Two operators are equal if they differ in nothing but their place, and all that stands below them by the same distance:
then the notes of one are those of the other, that far behind.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from querier.promql.operators.common import Common
from querier.promql.operators.sources import Source
from querier.promql.operators.tree import below, evaluated_below, is_node, own_fields, rebuilt

if TYPE_CHECKING:
    from querier.promql.operators.tree import Node
    from querier.promql.run import Operator


def shared(root: Operator) -> Operator:
    """The same plan, in which operators that are equal and read samples are one."""
    operator: Operator = _Sharing(root).build(root)
    return operator


@dataclass(slots=True, frozen=True)
class _Kind:
    """`number` is the same for equal operators. `first` is the lowest place in them, None if they have none."""

    number: int
    first: int | None
    reads: bool


class _Sharing:
    __slots__ = ("_counts", "_firsts", "_kinds", "_numbers")

    def __init__(self, root: Node) -> None:
        self._numbers: dict[tuple[Any, ...], int] = {}
        self._kinds: dict[int, _Kind] = {}
        self._counts: Counter[int] = Counter()
        self._firsts: dict[int, tuple[Operator, int]] = {}
        self._classify(root)
        self._count(root)

    def _classify(self, node: Node) -> _Kind:
        known = self._kinds.get(id(node))
        if known is not None:
            return known
        inner = [self._classify(child) for child in below(node)]
        own, leaves, others = own_fields(node)
        first: int | None = min(own, default=None)
        reads = isinstance(node, Source)
        for kind in inner:
            reads |= kind.reads
            if kind.first is not None and (first is None or kind.first < first):
                first = kind.first
        origin = first or 0
        signature = (
            type(node),
            leaves,
            *[place - origin for place in own],
            *[(kind.number, None if kind.first is None else kind.first - origin) for kind in inner],
            *[_bare(other) for other in others],
        )
        kind = self._kinds[id(node)] = _Kind(self._numbers.setdefault(signature, len(self._numbers)), first, reads)
        return kind

    def _is_candidate(self, node: Node) -> bool:
        return self._kinds[id(node)].reads and hasattr(node, "evaluate")

    def _count(self, node: Node) -> None:
        """Occurrences; what stands in the second of two equal ones is never evaluated and does not count."""
        if self._is_candidate(node):
            number = self._kinds[id(node)].number
            self._counts[number] += 1
            if self._counts[number] > 1:
                return
        for child in evaluated_below(node):
            self._count(child)

    def build(self, node: Node) -> Node:
        kind = self._kinds[id(node)]
        if not self._is_candidate(node) or self._counts[kind.number] < 2:
            return rebuilt(node, self.build)
        place = kind.first or 0
        if kind.number not in self._firsts:
            self._firsts[kind.number] = (rebuilt(node, self.build), place)
        operator, first = self._firsts[kind.number]
        return Common(operator, kind.number, self._counts[kind.number], place - first)


def _bare(value: object) -> object:
    """What a field says by itself, to be compared; nodes are compared as such."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, list | tuple):
        return tuple(map(_bare, value))
    # As text: -0 is not 0, and not everything has a hash.
    return "node" if is_node(value) else repr(value)
