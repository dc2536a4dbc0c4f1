"""One query's view of an instance: heads first, then directories that cover their answers, then blocks."""

from __future__ import annotations

import asyncio
import time
from copy import copy
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

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
    from shared.seams.ingester_client import Fold, HeadSource, IngesterClient
    from shared.seams.store import Directory

DIRECT_S = 0.001
"""After something that took longer, the rest is done in worker threads: handing it over costs about a tenth of this."""

_ATTEMPTS = 10  # each repetition needs a compaction in the middle of one selection

_Args = ParamSpec("_Args")
_Part = TypeVar("_Part")
_Result = TypeVar("_Result")
_PartIn = TypeVar("_PartIn", contravariant=True)


class _Target(Protocol[_PartIn]):
    """A `Selection` or `Names`."""

    def add_block(self, reader: BlockReader) -> Sequence[int] | None: ...
    def add_part(self, part: _PartIn) -> None: ...


class Folds(Enum):
    """What becomes of aggregations over series: docs/cluster.md tells which steps are late.

    Folding a partition by itself is right if no series is in two of them. `HERE` and `PUSHED` give the same results to
    the last bit.
    """

    NONE = "none"  # everything is folded together
    HERE = "here"  # each partition is folded by itself, and so are its late steps
    PUSHED = "pushed"  # and those where the ingester can, there


class _Pace:
    """Work on one selection: once some of it took long, the rest is done in worker threads."""

    __slots__ = ("_is_heavy",)

    def __init__(self) -> None:
        self._is_heavy = False

    async def run(self, work: Callable[_Args, _Result], *args: _Args.args, **kwargs: _Args.kwargs) -> _Result:
        if self._is_heavy:
            return await asyncio.to_thread(work, *args, **kwargs)
        began = time.perf_counter()
        result = work(*args, **kwargs)
        self._is_heavy = time.perf_counter() - began > DIRECT_S
        return result


class _MovedError(Exception):
    """Blocks were replaced while we were reading: start again."""


class PayloadSource(Protocol):
    """The part of `shared.seams.store.BlockStore` that readings use."""

    async def fetch(self, keys: Sequence[str]) -> list[bytes]: ...


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
                pace = _Pace()
                if fold is None:
                    await self._fill(selection, _all_series(answers), min_ms, max_ms, pace)
                else:
                    await self._fill_apart(selection, answers, fold, min_ms, max_ms, pace)
                return await pace.run(selection.finish)
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
                await self._fill(names, answers, min_ms, max_ms, _Pace())
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

    async def _fill(
        self, target: _Target[_Part], answers: Answers[_Part], min_ms: int, max_ms: int, pace: _Pace
    ) -> None:
        """Adds every partition."""
        if answers.missing:
            self._note_missing(answers.missing)
        for number in answers.missing:
            directory = await self._sources.directories.fresh(number)
            await self._add_blocks(target, directory, min_ms, max_ms, pace)
        for answer in answers.given:
            await self._add_blocks(target, await self._directory(answer), min_ms, max_ms, pace)
            if answer.part is not None:
                await pace.run(target.add_part, answer.part)

    async def _fill_apart(
        self,
        selection: Selection,
        answers: Answers[HeadPart | FoldedPart],
        fold: Fold,
        min_ms: int,
        max_ms: int,
        pace: _Pace,
    ) -> None:
        """As `_fill`, for an aggregation of each partition by itself."""
        if answers.missing:
            self._note_missing(answers.missing)
        steps = fold.grid[2]
        for number in answers.missing:
            directory = await self._sources.directories.fresh(number)
            await self._add_blocks(selection, directory, min_ms, max_ms, pace)
            await pace.run(selection.close, steps)
        for answer in answers.given:
            part, first = answer.part, fold.first_late(min_ms, answer.complete_from_ms)
            if first == 0:
                if isinstance(part, FoldedPart):
                    selection.add_folded(part)
                elif part is not None:
                    selection.add_whole(part)
                continue
            await self._add_blocks(selection, await self._directory(answer), min_ms, max_ms, pace)
            series = _series(answer).part
            if series is None:
                await pace.run(selection.close, first)
            elif answer.late is not None:
                await pace.run(selection.add_part, series)
                await pace.run(selection.close_folded, answer.late, first)
            elif first < steps and not series.has_histograms:
                await pace.run(selection.close_split, series, first)
            else:
                await pace.run(selection.add_part, series)
                await pace.run(selection.close, steps)

    async def _directory(self, answer: Answer[object]) -> Directory:
        """One that covers the answer."""
        directories = self._sources.directories
        return directories.known(answer) or await directories.covering(answer)

    def _note_missing(self, missing: Mapping[int, str]) -> None:
        """Raises UnavailableError unless parts are good enough."""
        reasons = "; ".join(why for _, why in sorted(missing.items()))
        if not self._is_partial:
            raise UnavailableError(f"recent samples cannot be read: {reasons}", retry_after_s=5)
        warning = f"partial response, recent samples are missing: {reasons}"
        if warning not in self.warnings:
            self.warnings.append(warning)

    async def _add_blocks(
        self, target: _Target[_Part], directory: Directory, min_ms: int, max_ms: int, pace: _Pace
    ) -> None:
        """In log order."""
        try:
            for manifest in directory.manifests.get(self._uid, ()):
                if manifest.max_time < min_ms or manifest.min_time > max_ms:
                    continue
                reader = self._sources.cache.root(manifest.root_key) or await self._open(manifest.root_key)
                pages = await pace.run(target.add_block, reader)
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


def _all_series(answers: Answers[HeadPart | FoldedPart]) -> Answers[HeadPart]:
    return Answers([_series(answer) for answer in answers.given], answers.missing)


def _series(answer: Answer[HeadPart | FoldedPart]) -> Answer[HeadPart]:
    part = answer.part
    if isinstance(part, FoldedPart):
        raise InternalError(f"partition {answer.partition}: a partial result, though series are needed")
    return Answer(answer.partition, answer.generation, answer.through, part, answer.complete_from_ms)


def _restless() -> UnavailableError:
    return UnavailableError(f"blocks moved {_ATTEMPTS} times while they were being read; try again")
