"""The ingester in the same process, as queriers see it."""

from __future__ import annotations

import asyncio
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from shared.errors import UnavailableError
from shared.native import HeadSearch, NamesSearch
from shared.seams.ingester_client import Answer, Answers, Described, Exemplars, Pushed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ingester.holdings import Holdings
    from ingester.partition import Partition
    from shared.native import HeadPart, Matcher, NamesPart, Query
    from shared.seams.ingester_client import Fold

Part = TypeVar("Part")

_NO_WINDOWS: MappingProxyType[int, int] = MappingProxyType({})

DIRECT_S = 0.001
"""Once heads have taken so long, the others are asked in a worker thread. Handing over costs about a tenth of it."""


class LocalClient:
    """`shared.seams.ingester_client.IngesterClient` by direct calls."""

    waits_itself = False
    """A wait of its own costs next to nothing within a process."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings

    async def wait_applied(self, ends: Mapping[int, int], *, timeout_s: float) -> dict[int, int]:
        if self._holdings.lag(ends):
            try:
                async with asyncio.timeout(timeout_s):
                    await self._holdings.reached(ends)
            except TimeoutError:
                return self._holdings.lag(ends)
        return {}

    async def select(
        self,
        query: Query,
        uid: bytes,
        partitions: Mapping[int, int],
        matchers: Sequence[Matcher],
        min_ms: int,
        max_ms: int,
        fold: Fold | None = None,  # noqa: ARG002
    ) -> Answers[HeadPart]:
        """Series, whatever is to become of them: who asks folds them in this process as well."""
        search = HeadSearch(query, uid, matchers, min_ms, max_ms)
        return await self._ask(partitions, search.parts, max_ms)

    async def names(
        self,
        query: Query,
        uid: bytes,
        partitions: Mapping[int, int],
        matcher_sets: Sequence[Sequence[Matcher]],
        min_ms: int,
        max_ms: int,
    ) -> Answers[NamesPart]:
        return await self._ask(partitions, NamesSearch(query, uid, matcher_sets, min_ms, max_ms).parts)

    async def metadata(self, uid: bytes, partitions: Mapping[int, int]) -> Described:
        serving, missing = self._serving(partitions)
        described = Described({}, missing)
        for partition in serving:
            for family, kind, text, unit in partition.head.metadata(uid):
                described.families.setdefault(family, (kind, text, unit))
        return described

    async def pushed(
        self, uid: bytes, partitions: Mapping[int, int], now_ms: int, *, as_families: bool = False
    ) -> Pushed:
        serving, missing = self._serving(partitions)
        pieces = await asyncio.to_thread(
            lambda: [partition.shown(uid, now_ms, as_families=as_families) for partition in serving]
        )
        return Pushed([piece for piece in pieces if piece], missing)

    async def exemplars(
        self,
        uid: bytes,
        partitions: Mapping[int, int],
        matcher_sets: Sequence[Sequence[Matcher]],
        min_ms: int,
        max_ms: int,
    ) -> Exemplars:
        serving, missing = self._serving(partitions)
        heads = [partition.head for partition in serving]

        def search() -> list[bytes]:
            return [head.exemplars(uid, matcher_sets, min_ms, max_ms) for head in heads]

        return Exemplars(await asyncio.to_thread(search), missing)

    def _serving(self, partitions: Iterable[int]) -> tuple[list[Partition], dict[int, str]]:
        serving, missing = [], {}
        for number in partitions:
            try:
                serving.append(self._holdings.serving(number))
            except UnavailableError as error:
                missing[number] = str(error)
        return serving, missing

    async def _ask(
        self,
        partitions: Mapping[int, int],
        parts_of: Callable[..., list[Part | None]],
        complete_to_ms: int | None = None,
    ) -> Answers[Part]:
        """With `complete_to_ms` answers say from when on to there they are complete.

        `partitions` need no look at their offsets: a head in this process has applied what a wait saw it apply."""
        serving, missing = self._serving(partitions)
        heads = [partition.head for partition in serving]
        parts = parts_of(heads, DIRECT_S)
        if len(parts) < len(heads):
            parts += await asyncio.to_thread(parts_of, heads[len(parts) :])
        # The generation is read after the heads: it is raised before a head lets go of anything. The store is in this
        # process, too: it is never turned back while heads live, and no window needs naming.
        given = [
            Answer(
                partition.number,
                partition.generation,
                _NO_WINDOWS,
                part,
                None if complete_to_ms is None else partition.complete_from_ms(complete_to_ms),
            )
            for partition, part in zip(serving, parts, strict=True)
        ]
        return Answers(given, missing)
