"""A query's text read once: its tree, and what is known of it whatever the times."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from querier.promql.height import height
from querier.promql.invariance import Invariance
from querier.promql.narrowing import narrowed
from querier.promql.parser import parse_measured
from querier.promql.statistics import StatisticsOnly
from querier.promql.types import type_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from querier.promql.ast import Expr, LabelMatcher
    from querier.promql.features import Features
    from querier.promql.functions import ValueType

BYTES_PER_CHARACTER = 256
"""Of a tree and what is known of it, about."""

CACHED_BYTES = 16 << 20
"""Of all texts that are remembered, as estimated; one may take a sixteenth of it."""


@dataclass(slots=True, frozen=True)
class Parsed:
    """`narrowed`: matchers that may be added to a selector's own, by its id. Nothing of it is ever changed."""

    expr: Expr
    type: ValueType
    height: int
    invariance: Invariance
    statistics: StatisticsOnly
    narrowed: Mapping[int, Sequence[LabelMatcher]]


class ParsedQueries:
    """Those asked for last: dashboards and rules ask the same again and again, at other times. Any thread may call."""

    def __init__(self, capacity_bytes: int = CACHED_BYTES) -> None:
        self._capacity = capacity_bytes
        self._held = 0
        self._known: OrderedDict[tuple[str, Features], tuple[Parsed, int]] = OrderedDict()
        self._lock = Lock()

    def of(self, query: str, features: Features) -> Parsed:
        """Raises ParseError, which is not remembered."""
        key = (query, features)
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known[0]
        expr, regex_bytes = parse_measured(query, features)
        parsed = Parsed(expr, type_of(expr), height(expr), Invariance(expr), StatisticsOnly(expr), narrowed(expr))
        cost = len(query) * BYTES_PER_CHARACTER + regex_bytes
        if cost <= self._capacity // 16:
            self._remember(key, parsed, cost)
        return parsed

    def _remember(self, key: tuple[str, Features], parsed: Parsed, cost: int) -> None:
        with self._lock:
            if key in self._known:
                return
            self._known[key] = (parsed, cost)
            self._held += cost
            while self._held > self._capacity:
                _, (_, freed) = self._known.popitem(last=False)
                self._held -= freed


PARSED = ParsedQueries()
"""What this process has read. A text means the same to every instance with the same features."""
