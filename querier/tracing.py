"""What one reading takes from heads and from the store: both seams under a stopwatch, for those who ask."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from shared.native import FoldedPart

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from querier.reading import PayloadSource, Sources
    from shared.native import HeadPart, Matcher, Query
    from shared.seams.ingester_client import Answer, Answers, Fold, HeadSource


@dataclass(slots=True)
class HeadFigures:
    """What the head of one partition gave. `replica` is the address that answered, None within one process."""

    partition: int
    replica: str | None
    series: int
    bytes: int
    folded: int
    """Of so many steps, the last ones, the ingester gave partial results."""


@dataclass(slots=True)
class Trace:
    """Of one selection. Heads are asked at the same time, so that their seconds are those of the slowest."""

    seconds: float = 0.0
    series: int = 0
    head_seconds: float = 0.0
    heads: list[HeadFigures] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    store_seconds: float = 0.0
    store_fetches: int = 0
    store_values: int = 0
    store_bytes: int = 0

    def around(self, sources: Sources) -> Sources:
        """The same sources, watched."""
        return replace(sources, heads=_TracedHeads(sources.heads, self), store=_TracedStore(sources.store, self))

    def shown(self) -> dict[str, Any]:
        """For an explanation; docs/promql.md describes it."""
        heads = [
            {"partition": head.partition, "series": head.series, "bytes": head.bytes}
            | ({} if head.replica is None else {"replica": head.replica})
            | ({"folded": head.folded} if head.folded else {})
            for head in self.heads
        ]
        return {
            "seconds": self.seconds,
            "series": self.series,
            "sources": {
                "heads": {"seconds": self.head_seconds, "partitions": heads, "missing": self.missing},
                "store": {
                    "seconds": self.store_seconds,
                    "fetches": self.store_fetches,
                    "values": self.store_values,
                    "bytes": self.store_bytes,
                },
            },
        }


class _TracedHeads:
    """`shared.seams.ingester_client.HeadSource`"""

    def __init__(self, heads: HeadSource, trace: Trace) -> None:
        self._heads = heads
        self._trace = trace

    async def select(
        self,
        query: Query,
        uid: bytes,
        partitions: Mapping[int, int],
        matchers: Sequence[Matcher],
        min_ms: int,
        max_ms: int,
        fold: Fold | None = None,
    ) -> Answers[HeadPart | FoldedPart]:
        began = perf_counter()
        answers = await self._heads.select(query, uid, partitions, matchers, min_ms, max_ms, fold)
        self._trace.head_seconds += perf_counter() - began
        self._trace.missing = sorted(answers.missing)
        # A repetition counts once: what counts is what the answer is made of.
        self._trace.heads = [head for head in self._trace.heads if head.partition not in partitions] + [
            _figures(answer) for answer in answers.given
        ]
        return answers


def _figures(answer: Answer[HeadPart | FoldedPart]) -> HeadFigures:
    part = answer.part
    series, size = (0, 0) if part is None else part.size
    folded = part if isinstance(part, FoldedPart) else answer.late
    if answer.late is not None:
        size += answer.late.size[1]
    return HeadFigures(answer.partition, answer.replica, series, size, 0 if folded is None else folded.steps)


class _TracedStore:
    """`querier.reading.PayloadSource`"""

    def __init__(self, store: PayloadSource, trace: Trace) -> None:
        self._store = store
        self._trace = trace

    async def fetch(self, keys: Sequence[str]) -> list[bytes]:
        began = perf_counter()
        values = await self._store.fetch(keys)
        trace = self._trace
        trace.store_seconds += perf_counter() - began
        trace.store_fetches += 1
        trace.store_values += len(values)
        trace.store_bytes += sum(map(len, values))
        return values
