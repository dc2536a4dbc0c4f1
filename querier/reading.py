"""One query's view of an instance: heads first, then directories that cover their answers, then blocks."""

from __future__ import annotations

import asyncio
import time
from copy import copy
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol, TypeVar

from shared.errors import InternalError, NotFoundError, UnavailableError
from shared.native import BlockReader, CorruptError, FoldedPart, Names, Selection
from shared.seams.ingester_client import Answer, Answers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from querier.cache import BlockCache
    from querier.directories import Directories
    from querier.freshness import Freshness
    from querier.tracing import Trace
    from shared.native import HeadPart, Matcher, Query, SeriesSet
    from shared.seams.ingester_client import Fold, IngesterClient
    from shared.seams.store import Directory

DIRECT_S = 0.001
"""After something that took longer, the rest is done in worker threads: handing it over costs about a tenth of this."""

_ATTEMPTS = 10  # each repetition needs a compaction in the middle of one selection

_Part = TypeVar("_Part")
_PartIn = TypeVar("_PartIn", contravariant=True)


class _Target(Protocol[_PartIn]):
    """A `Selection` or `Names`."""

    def add_block(self, reader: BlockReader) -> Sequence[int] | None: ...
    def add_part(self, part: _PartIn) -> None: ...


class Folds(Enum):
    """What becomes of aggregations over series of partitions whose heads hold all that there is of them.

    Folding a partition by itself is right if no series is in two of them. `HERE` and `PUSHED` give the same results to
    the last bit.
    """

    NONE = "none"  # everything is folded together
    HERE = "here"  # each such partition is folded by itself, from its series
    PUSHED = "pushed"  # and where the ingester can, there


class _MovedError(Exception):
    """Blocks were replaced while we were reading: start again."""


class PayloadSource(Protocol):
    """The part of `shared.seams.store.BlockStore` that readings use."""

    async def fetch(self, keys: Sequence[str]) -> list[bytes]: ...


class HeadSource(Protocol):
    """The part of `shared.seams.ingester_client.IngesterClient` that selections use."""

    async def select(
        self,
        query: Query,
        uid: bytes,
        partitions: Mapping[int, int],
        matchers: Sequence[Matcher],
        min_ms: int,
        max_ms: int,
        fold: Fold | None = None,
    ) -> Answers[HeadPart | FoldedPart]: ...


@dataclass(frozen=True, slots=True)
class Sources:
    """What all readings of a querier share."""

    store: PayloadSource
    directories: Directories
    cache: BlockCache
    heads: HeadSource
    client: IngesterClient


class Reading:
    """Complete, or it fails; with `is_partial` what nobody can answer for is missing, and `warnings` name it.

    For each partition the head is asked first. What is not in its answer is in any directory that covers the answer, so
    one that does is read next, then its blocks. Blocks are added in log order and the head behind them; samples that
    are seen twice merge.
    """

    __slots__ = ("_folds", "_freshness", "_is_partial", "_oldest_ms", "_sources", "_uid", "warnings")

    def __init__(
        self,
        sources: Sources,
        uid: bytes,
        freshness: Freshness,
        *,
        oldest_ms: int,
        warnings: list[str],
        is_partial: bool,
        folds: Folds,
    ) -> None:
        """`freshness` is of all partitions that are read. `oldest_ms`: what is older is not shown."""
        self._sources = sources
        self._uid = uid
        self._freshness = freshness
        self._oldest_ms = oldest_ms
        self.warnings = warnings
        self._is_partial = is_partial
        self._folds = folds

    def traced(self, trace: Trace) -> Reading:
        """The same reading, watched."""
        watched = copy(self)
        watched._sources = trace.around(self._sources)  # noqa: SLF001  it is one of us
        return watched

    async def select(
        self, query: Query, matchers: Sequence[Matcher], min_ms: int, max_ms: int, fold: Fold | None = None
    ) -> SeriesSet:
        """The series that match and their samples with min_ms <= time <= max_ms, as far back as the retention goes.
        Blocks are read by runs of samples, so that a few more may come along.

        With `fold` the series are for that aggregation alone.
        """
        if self._folds is Folds.NONE:
            fold = None
        pushed = fold if self._folds is Folds.PUSHED else None
        min_ms = max(min_ms, self._oldest_ms)
        for _ in range(_ATTEMPTS):
            selection = Selection(query, matchers, min_ms, max_ms)
            try:
                answers = await self._heads(
                    lambda ends: self._sources.heads.select(query, self._uid, ends, matchers, min_ms, max_ms, pushed)
                )
                rest = _without_whole(selection, answers, min_ms) if fold is not None else _all_series(answers)
                is_heavy = await self._fill(selection, rest, min_ms, max_ms)
                return await asyncio.to_thread(selection.finish) if is_heavy else selection.finish()
            except _MovedError:
                continue
            except asyncio.CancelledError:
                query.cancel()  # a worker thread may be at it still
                raise
        raise _restless()

    async def names(
        self,
        query: Query,
        matcher_sets: Sequence[Sequence[Matcher]],
        min_ms: int,
        max_ms: int,
        label: str | None = None,
    ) -> Names:
        """The labels of series that match one of the sets, or of all without any, and have samples in the range. With
        `label` its values are all that is asked for.
        """
        min_ms = max(min_ms, self._oldest_ms)
        for _ in range(_ATTEMPTS):
            names = Names(query, matcher_sets, min_ms, max_ms, label)
            try:
                answers = await self._heads(
                    lambda ends: self._sources.client.names(query, self._uid, ends, matcher_sets, min_ms, max_ms)
                )
                await self._fill(names, answers, min_ms, max_ms)
            except _MovedError:
                continue
            except asyncio.CancelledError:
                query.cancel()
                raise
            return names
        raise _restless()

    async def metadata(self) -> dict[str, tuple[int, str, str]]:
        """family -> (type number, help, unit)."""
        described = await self._sources.client.metadata(self._uid, await self._freshness.settle())
        if described.missing:
            self._note_missing(described.missing)
        return described.families

    async def exemplars(self, matcher_sets: Sequence[Sequence[Matcher]], min_ms: int, max_ms: int) -> list[bytes]:
        """For `json_exemplars`, as far back as the retention goes."""
        min_ms = max(min_ms, self._oldest_ms)
        ends = await self._freshness.settle()
        found = await self._sources.client.exemplars(self._uid, ends, matcher_sets, min_ms, max_ms)
        if found.missing:
            self._note_missing(found.missing)
        return found.parts

    async def _heads(self, ask: Callable[[Mapping[int, int]], Awaitable[Answers[_Part]]]) -> Answers[_Part]:
        """`ask` asks the heads of partitions for what has to contain all below an offset. Who has not got that in time
        is asked again, for what has come in the end.
        """
        freshness = self._freshness
        answers = await ask(freshness.ends)
        if not answers.missing:
            freshness.is_settled = True
        if freshness.is_settled:
            return answers
        ends = await freshness.settle()
        late = await ask({number: ends[number] for number in answers.missing})
        given = sorted((*answers.given, *late.given), key=lambda answer: answer.partition)
        return Answers(given, late.missing)

    async def _fill(self, target: _Target[_Part], answers: Answers[_Part], min_ms: int, max_ms: int) -> bool:
        """Adds every partition; whether one of the steps was much work, so that the rest was done in worker threads."""
        if answers.missing:
            self._note_missing(answers.missing)
        is_heavy = False
        directories = self._sources.directories
        for number in answers.missing:
            directory = await directories.fresh(number)
            is_heavy = await self._add_blocks(target, directory, min_ms, max_ms, is_heavy=is_heavy)
        for answer in answers.given:
            directory = directories.known(answer) or await directories.covering(answer)
            if self._uid in directory.manifests:
                is_heavy = await self._add_blocks(target, directory, min_ms, max_ms, is_heavy=is_heavy)
            part = answer.part
            if part is None:
                continue
            if is_heavy:
                await asyncio.to_thread(target.add_part, part)
            else:
                began = time.perf_counter()
                target.add_part(part)
                is_heavy = time.perf_counter() - began > DIRECT_S
        return is_heavy

    def _note_missing(self, missing: Mapping[int, str]) -> None:
        """Raises UnavailableError unless parts are good enough."""
        reasons = "; ".join(why for _, why in sorted(missing.items()))
        if not self._is_partial:
            raise UnavailableError(f"recent samples cannot be read: {reasons}", retry_after_s=5)
        warning = f"partial response, recent samples are missing: {reasons}"
        if warning not in self.warnings:
            self.warnings.append(warning)

    async def _add_blocks(
        self, target: _Target[_Part], directory: Directory, min_ms: int, max_ms: int, *, is_heavy: bool
    ) -> bool:
        """In log order; whether this or something before was much work."""
        try:
            for manifest in directory.manifests.get(self._uid, ()):
                if manifest.max_time < min_ms or manifest.min_time > max_ms:
                    continue
                reader = self._sources.cache.root(manifest.root_key) or await self._open(manifest.root_key)
                if is_heavy:
                    pages = await asyncio.to_thread(target.add_block, reader)
                else:
                    began = time.perf_counter()
                    pages = target.add_block(reader)
                    is_heavy = time.perf_counter() - began > DIRECT_S
                if pages and isinstance(target, Selection):
                    await self._supply(target, [manifest.page_keys[page] for page in pages])
        except NotFoundError as error:
            current = await self._sources.directories.fresh(directory.partition)
            if current.manifests.get(self._uid) != directory.manifests.get(self._uid):
                raise _MovedError from error
            raise InternalError(
                f"partition {directory.partition}: the directory names payload that is gone: {error}"
            ) from error
        except CorruptError as error:
            raise InternalError(f"partition {directory.partition}: {error}") from error
        return is_heavy

    async def _open(self, root_key: str) -> BlockReader:
        [root] = await self._sources.store.fetch([root_key])
        reader = BlockReader.open(root)
        self._sources.cache.add_root(root_key, reader)
        return reader

    async def _supply(self, selection: Selection, keys: Sequence[str]) -> None:
        """The pages of a block, of which the store is asked for those that are not here."""
        cache = self._sources.cache
        pages = dict(zip(keys, cache.pages(keys), strict=True))
        missing = [key for key, page in pages.items() if page is None]
        fetched = list(zip(missing, await self._sources.store.fetch(missing), strict=True)) if missing else []
        held = {key: page for key, page in pages.items() if page is not None} | dict(fetched)
        selection.supply([held[key] for key in keys])
        cache.add_pages(fetched)  # only now: they were checked


def _without_whole(selection: Selection, answers: Answers[HeadPart | FoldedPart], min_ms: int) -> Answers[HeadPart]:
    """Adds what is all that there is of its partition; the other answers are left."""
    rest: list[Answer[HeadPart]] = []
    for answer in answers.given:
        part, complete_from_ms = answer.part, answer.complete_from_ms
        if complete_from_ms is None or complete_from_ms > min_ms:
            rest.append(_series(answer))
        elif isinstance(part, FoldedPart):
            selection.add_folded(part)
        elif part is not None:
            selection.add_whole(part)
    return Answers(rest, answers.missing)


def _all_series(answers: Answers[HeadPart | FoldedPart]) -> Answers[HeadPart]:
    return Answers([_series(answer) for answer in answers.given], answers.missing)


def _series(answer: Answer[HeadPart | FoldedPart]) -> Answer[HeadPart]:
    part = answer.part
    if isinstance(part, FoldedPart):
        raise InternalError(f"partition {answer.partition}: a partial result, though series are needed")
    return Answer(answer.partition, answer.generation, answer.through, part, answer.complete_from_ms)


def _restless() -> UnavailableError:
    return UnavailableError(f"blocks moved {_ATTEMPTS} times while they were being read; try again")
