"""What one reading takes from heads and from the store: both seams under a stopwatch, for those who ask."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from shared.native import FoldedPart

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from querier.reading import PayloadSource, Sources
    from shared.native import HeadPart, Matcher, NamesPart, Query
    from shared.seams.ingester_client import Answers, Described, Exemplars, Fold, IngesterClient, Pushed


@dataclass(slots=True)
class HeadFigures:
    """What the head of one partition gave. `replica` is the address that answered, None within one process."""

    partition: int
    replica: str | None
    series: int
    bytes: int
    is_folded: bool
    """The ingester gave partial results."""


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
        return replace(sources, client=_TracedClient(sources.client, self), store=_TracedStore(sources.store, self))

    def shown(self) -> dict[str, Any]:
        """For an explanation; docs/promql.md describes it."""
        heads = [
            {"partition": head.partition, "series": head.series, "bytes": head.bytes}
            | ({} if head.replica is None else {"replica": head.replica})
            | ({"folded": True} if head.is_folded else {})
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


class _TracedClient:
    """`shared.seams.ingester_client.IngesterClient`"""

    def __init__(self, client: IngesterClient, trace: Trace) -> None:
        self._client = client
        self._trace = trace

    async def wait_applied(self, ends: Mapping[int, int], *, timeout_s: float) -> dict[int, int]:
        return await self._client.wait_applied(ends, timeout_s=timeout_s)

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
        answers = await self._client.select(query, uid, partitions, matchers, min_ms, max_ms, fold)
        self._trace.head_seconds += perf_counter() - began
        self._trace.missing = sorted(answers.missing)
        # A repetition counts once: what counts is what the answer is made of.
        self._trace.heads = [
            HeadFigures(
                answer.partition,
                answer.replica,
                *((0, 0) if answer.part is None else answer.part.size),
                is_folded=isinstance(answer.part, FoldedPart),
            )
            for answer in answers.given
        ]
        return answers

    async def names(
        self,
        query: Query,
        uid: bytes,
        partitions: Mapping[int, int],
        matcher_sets: Sequence[Sequence[Matcher]],
        min_ms: int,
        max_ms: int,
    ) -> Answers[NamesPart]:
        return await self._client.names(query, uid, partitions, matcher_sets, min_ms, max_ms)

    async def metadata(self, uid: bytes, partitions: Mapping[int, int]) -> Described:
        return await self._client.metadata(uid, partitions)

    async def exemplars(
        self,
        uid: bytes,
        partitions: Mapping[int, int],
        matcher_sets: Sequence[Sequence[Matcher]],
        min_ms: int,
        max_ms: int,
    ) -> Exemplars:
        return await self._client.exemplars(uid, partitions, matcher_sets, min_ms, max_ms)

    async def pushed(self, uid: bytes, partitions: Mapping[int, int], now_ms: int) -> Pushed:
        return await self._client.pushed(uid, partitions, now_ms)


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
