"""What an ingester answers: from the heads of the partitions that it serves."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar, cast

from ingester.holdings import Holdings
from ingester.partition import Partition
from ingester.rpc.unsent import Unsent
from shared.errors import UnavailableError
from shared.native import Fold, FoldedPart, Head, HeadPart, HeadSearch, Matcher, NamesPart, NamesSearch, Query
from shared.rpc import ingester_pb2 as pb
from shared.rpc.settings import CATCH_UP_S, FRAME_BYTES, HEARTBEAT_S
from shared.seams.ingester_client import first_late

Part: TypeAlias = HeadPart | FoldedPart | NamesPart
AnyPart = TypeVar("AnyPart")


MAX_WAIT_S = 60.0
MAX_SELECTS = 16
"""Questions that read heads at the same time; further ones wait."""

PART_BYTES = 1 << 30
"""Of one partition's answer: the copy of what the head holds, and its bytes."""

UNSENT_BYTES = 1 << 30
"""Of all answers that wait to be taken by those who asked. While there are more no head is read."""

DIRECT_SERIES = 500
"""An instance with fewer in a head is looked through on the event loop: that takes less than handing it to a thread."""

DIRECT_STEPS = 10
"""An aggregation at fewer steps over so few series is evaluated there, too."""


@dataclass(frozen=True, slots=True)
class _Folding:
    """An aggregation, and how to get series for it alone."""

    parts_of: Callable[[Sequence[Head]], Sequence[HeadPart | None]]
    fold: Fold
    asked: pb.Fold
    splits: bool

    @property
    def is_short(self) -> bool:
        return self.asked.steps < DIRECT_STEPS

    def first_late(self, min_ms: int, complete_from_ms: int) -> int:
        asked = self.asked
        grid = (asked.start_ms, asked.step_ms, asked.steps)
        return first_late(grid, asked.range_ms + asked.offset_ms, min_ms, complete_from_ms)


@dataclass(frozen=True, slots=True)
class _Made:
    """The answer for one partition. With `late` the part is for early steps."""

    head: pb.HeadAnswer
    part: Part | None
    late: FoldedPart | None = None


class Service:
    """Messages in, messages out. UnavailableError and native errors are the caller's to translate."""

    def __init__(self, holdings: Holdings, *, window_ms: int, flush: Callable[[], Awaitable[None]]) -> None:
        self._holdings = holdings
        self._window_ms = window_ms
        self._flush = flush
        self._selects = asyncio.Semaphore(MAX_SELECTS)
        self._unsent = Unsent(UNSENT_BYTES)

    async def wait_applied(self, request: pb.WaitRequest) -> pb.WaitReply:
        serving, missing = self._serving(request.ends)
        lag = await self._caught_up({p.number: request.ends[p.number] for p in serving}, request.timeout_ms / 1000)
        return pb.WaitReply(lag=lag, missing=missing)

    async def select(self, request: pb.SelectRequest) -> AsyncIterator[pb.Frame]:
        matchers = [_matcher(matcher) for matcher in request.matchers]
        query = _query(request.limits, request.fold, uses_starts=request.uses_starts)
        search = HeadSearch(query, request.uid, matchers, request.min_ms, request.max_ms)
        folding: _Folding | None = None
        if request.HasField("fold"):
            fold = _fold(query, request.fold)
            narrow = HeadSearch(query, request.uid, matchers, request.min_ms, request.max_ms, fold)
            folding = _Folding(narrow.parts, fold, request.fold, request.splits)
        async for frame in self._answer(request, query, search.parts, folding):
            yield frame

    async def names(self, request: pb.NamesRequest) -> AsyncIterator[pb.Frame]:
        sets = [[_matcher(matcher) for matcher in each.matchers] for each in request.sets]
        query = _query(request.limits)
        search = NamesSearch(query, request.uid, sets, request.min_ms, request.max_ms)
        async for frame in self._answer(request, query, search.parts):
            yield frame

    async def metadata(self, request: pb.MetadataRequest) -> AsyncIterator[pb.MetadataReply]:
        """In pieces, the first with what is missing."""
        serving, missing = self._serving(request.partitions)
        yield pb.MetadataReply(missing=missing)
        seen: set[str] = set()
        piece, size = pb.MetadataReply(), 0
        for partition in serving:
            for family, kind, text, unit in partition.head.metadata(request.uid):
                if family in seen:
                    continue
                seen.add(family)
                piece.families.add(name=family, type=kind, help=text, unit=unit)
                size += len(family) + len(text) + len(unit)
                if size >= FRAME_BYTES:
                    yield piece
                    piece, size = pb.MetadataReply(), 0
        if size:
            yield piece

    async def pushed(self, request: pb.PushedRequest) -> AsyncIterator[pb.PushedReply]:
        """In pieces, the first with what is missing."""
        serving, missing = self._serving(request.partitions)
        yield pb.PushedReply(missing=missing)
        for partition in serving:
            groups = await asyncio.to_thread(
                partition.shown, request.uid, request.now_ms, as_families=request.as_families
            )
            for at in range(0, len(groups), FRAME_BYTES):
                yield pb.PushedReply(groups=groups[at : at + FRAME_BYTES], partition=partition.number)

    async def exemplars(self, request: pb.ExemplarsRequest) -> pb.ExemplarsReply:
        serving, missing = self._serving([request.partition])
        if not serving:
            return pb.ExemplarsReply(missing=missing[request.partition])
        sets = [[_matcher(matcher) for matcher in each.matchers] for each in request.sets]
        [partition] = serving
        found = await asyncio.to_thread(partition.head.exemplars, request.uid, sets, request.min_ms, request.max_ms)
        return pb.ExemplarsReply(exemplars=found)

    async def flush(self, _request: pb.FlushRequest) -> pb.FlushReply:
        await self._flush()
        return pb.FlushReply()

    async def active_series(self, request: pb.ActiveSeriesRequest) -> pb.ActiveSeriesReply:
        def of(partition: Partition) -> pb.ActiveSeries:
            head, uids = partition.head, request.uids
            return pb.ActiveSeries(
                partition=partition.number,
                series=[head.active_series(uid) for uid in uids],
                largest_metric=[head.largest_metric(uid) for uid in uids],
                samples_per_second=[head.samples_per_second(uid, request.now_ms) for uid in uids if request.now_ms],
            )

        return pb.ActiveSeriesReply(partitions=[of(partition) for partition in self._holdings.live])

    async def metric_series(self, request: pb.MetricSeriesRequest) -> pb.MetricSeriesReply:
        return pb.MetricSeriesReply(
            partitions=[
                pb.MetricSeries(
                    partition=partition.number,
                    series=await asyncio.to_thread(partition.head.metric_series, request.uid, request.metrics),
                )
                for partition in self._holdings.live
            ]
        )

    async def known_series(self, request: pb.KnownSeriesRequest) -> pb.KnownSeriesReply:
        serving, _ = self._serving(request.keys)
        return pb.KnownSeriesReply(
            held={
                partition.number: await asyncio.to_thread(
                    partition.head.holds, request.uid, request.keys[partition.number]
                )
                for partition in serving
            }
        )

    async def _answer(
        self,
        request: pb.SelectRequest | pb.NamesRequest,
        query: Query,
        parts_of: Callable[[Sequence[Head]], Sequence[Part | None]],
        folding: _Folding | None = None,
    ) -> AsyncIterator[pb.Frame]:
        """One partition after the other, so that what waits to be sent is one partition's."""
        serving, missing = self._serving(request.partitions)
        for number, why in missing.items():
            yield pb.Frame(missing=pb.Missing(partition=number, why=why))
        try:
            lag = await self._caught_up({p.number: request.partitions[p.number] for p in serving}, CATCH_UP_S)
            for partition in serving:
                if (behind := lag.get(partition.number)) is not None:
                    why = f"partition {partition.number} is {behind} records behind"
                    yield pb.Frame(missing=pb.Missing(partition=partition.number, why=why))
                    continue
                is_small = partition.head.active_series(request.uid) < DIRECT_SERIES
                if is_small and folding is None:
                    [part] = parts_of([partition.head])
                    made = _Made(self._head_answer(partition, request), part)
                else:
                    work = asyncio.create_task(self._made(partition, request, parts_of, folding, is_small=is_small))
                    async for sign in _signs_of_life(work):
                        yield sign
                    made = work.result()
                async with aclosing(self._sent(made, is_small=is_small)) as frames:
                    async for frame in frames:
                        yield frame
        except asyncio.CancelledError:
            query.cancel()  # a worker thread may be at it still
            raise

    async def _sent(self, made: _Made, *, is_small: bool) -> AsyncGenerator[pb.Frame, None]:
        head, parts = made.head, [part for part in (made.part, made.late) if part is not None]
        encoded = [part.encode() if is_small else await asyncio.to_thread(part.encode) for part in parts]
        if encoded:
            head.bytes = len(encoded[0])
        if made.late is not None:
            head.late_bytes = len(encoded[1])
        with self._unsent.holding(sum(map(len, encoded))):
            yield pb.Frame(head=head)
            for data in encoded:
                for at in range(0, len(data), FRAME_BYTES):
                    yield pb.Frame(piece=data.frame(at, FRAME_BYTES))

    async def _made(
        self,
        partition: Partition,
        request: pb.SelectRequest | pb.NamesRequest,
        parts_of: Callable[[Sequence[Head]], Sequence[Part | None]],
        folding: _Folding | None,
        *,
        is_small: bool,
    ) -> _Made:
        if folding is not None and folding.first_late(request.min_ms, partition.complete_from_ms(request.max_ms)) == 0:
            made = await self._folded(partition, request, folding, is_small=is_small)
            if made is not None:
                return made
        heads = [partition.head]
        parts: Sequence[Part | None] = parts_of(heads) if is_small else await self._in_turn(parts_of, heads)
        head, part = self._head_answer(partition, request), parts[0]
        if folding is None or not folding.splits or not isinstance(part, HeadPart):
            return _Made(head, part)
        first = folding.first_late(request.min_ms, head.complete_from_ms)
        if not 0 < first < folding.asked.steps:
            return _Made(head, part)
        if is_small and folding.is_short:
            return _Made(head, part, part.fold(folding.fold, first))
        return _Made(head, part, await asyncio.to_thread(part.fold, folding.fold, first))

    async def _folded(
        self, partition: Partition, request: pb.SelectRequest | pb.NamesRequest, folding: _Folding, *, is_small: bool
    ) -> _Made | None:
        """A whole partition. None: series are needed after all."""
        heads = [partition.head]
        [part] = folding.parts_of(heads) if is_small else await self._in_turn(folding.parts_of, heads)
        head = self._head_answer(partition, request)
        if folding.first_late(request.min_ms, head.complete_from_ms) > 0:  # cut meanwhile
            return None
        if part is None:
            return _Made(head, None)
        is_direct = is_small and folding.is_short
        folded = part.fold(folding.fold) if is_direct else await asyncio.to_thread(part.fold, folding.fold)
        head.is_folded = folded is not None
        return None if folded is None else _Made(head, folded)

    def _head_answer(self, partition: Partition, request: pb.SelectRequest | pb.NamesRequest) -> pb.HeadAnswer:
        """Made after the head was read: it lets go of nothing before it has told what follows."""
        return pb.HeadAnswer(
            partition=partition.number,
            generation=partition.generation,
            through=self._through(partition.boundaries, request.min_ms, request.max_ms),
            complete_from_ms=partition.complete_from_ms(request.max_ms),
        )

    async def _in_turn(
        self, parts_of: Callable[[Sequence[Head]], Sequence[AnyPart | None]], heads: Sequence[Head]
    ) -> Sequence[AnyPart | None]:
        async with self._selects:
            await self._unsent.bearable()
            return await asyncio.to_thread(parts_of, heads)

    def _through(self, boundaries: Mapping[int, int], min_ms: int, max_ms: int) -> dict[int, int]:
        """Of the windows that overlap the times."""
        first = min_ms - self._window_ms
        return {window: offset for window, offset in boundaries.items() if first < window <= max_ms}

    def _serving(self, numbers: Iterable[int]) -> tuple[list[Partition], dict[int, str]]:
        serving, missing = [], {}
        for number in numbers:
            try:
                serving.append(self._holdings.serving(number))
            except UnavailableError as error:
                missing[number] = str(error)
        return serving, missing

    async def _caught_up(self, ends: Mapping[int, int], timeout_s: float) -> dict[int, int]:
        """The lag of those that have not applied everything below their ends in time."""
        if any(ends.values()):
            self._holdings.consumer.keep_close()
        if self._holdings.lag(ends):
            try:
                async with asyncio.timeout(min(timeout_s, MAX_WAIT_S)):
                    await self._holdings.reached(ends)
            except TimeoutError:
                return self._holdings.lag(ends)
        return {}


async def _signs_of_life(work: asyncio.Task[Any]) -> AsyncIterator[pb.Frame]:
    """An empty frame now and then, until the work is done; it is cancelled with its reader."""
    try:
        while not (await asyncio.wait({work}, timeout=HEARTBEAT_S))[0]:
            yield pb.Frame()
    finally:
        work.cancel()


def _fold(query: Query, asked: pb.Fold) -> Fold:
    return Fold(
        query,
        (asked.start_ms, asked.step_ms, asked.steps),
        asked.function or None,
        range_ms=asked.range_ms,
        offset_ms=asked.offset_ms,
        op=asked.op,
        without=asked.without,
        labels=asked.labels,
    )


def _query(limits: pb.Limits, fold: pb.Fold | None = None, *, uses_starts: bool = False) -> Query:
    """What one answer may use here: not more than the whole query there."""
    return Query(
        max_samples=limits.max_samples or None,
        max_series=limits.max_series or None,
        max_bytes=min(limits.max_bytes or PART_BYTES, PART_BYTES),
        delays_names=fold is not None and fold.delays_names,
        uses_starts=uses_starts,
        uses_types=fold is not None and fold.uses_types,
    )


def _matcher(message: pb.Matcher) -> Matcher:
    return Matcher(message.name, cast("Literal['=', '!=', '=~', '!~']", message.op), message.value)
