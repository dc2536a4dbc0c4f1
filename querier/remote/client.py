"""The ingesters of a cluster, as queriers see them."""

from __future__ import annotations

from contextlib import aclosing
from time import monotonic
from typing import TYPE_CHECKING

from querier.remote.arriving import Arriving
from shared.errors import UnavailableError
from shared.native import CorruptError, UnsupportedError
from shared.rpc import ingester_pb2 as pb
from shared.rpc.fanout import ask
from shared.rpc.methods import EXEMPLARS, METADATA, NAMES, PUSHED, SELECT, WAIT
from shared.rpc.settings import CATCH_UP_S, HEARTBEAT_S
from shared.seams.ingester_client import Answers, Described, Exemplars, Pushed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from querier.remote.arriving import Part
    from shared.native import FoldedPart, HeadPart, IncomingPart, Matcher, NamesPart, Query
    from shared.rpc.channels import Channels
    from shared.rpc.replicas import Replicas
    from shared.seams.ingester_client import Answer, Fold

SPARE_S = 0.5
"""What a call that waits may take beyond the wait."""


class RemoteClient:
    """`shared.seams.ingester_client.IngesterClient` over gRPC."""

    waits_itself = True

    def __init__(self, replicas: Replicas, channels: Channels, *, timeout_s: float) -> None:
        """`timeout_s`: longest that a call may take, whatever its caller says."""
        self._replicas = replicas
        self._channels = channels
        self._timeout_s = timeout_s

    async def wait_applied(self, ends: Mapping[int, int], *, timeout_s: float) -> dict[int, int]:
        end_s = monotonic() + timeout_s
        lag: dict[int, int] = {}

        async def wait(address: str, wanted: dict[int, int], answers: dict[int, bool]) -> dict[int, str]:
            # The first that is asked leaves time for another one.
            left_s = max(end_s - monotonic(), 0.0)
            share_s = left_s / 2 if len(self._replicas.of(next(iter(wanted)))) > 1 and not lag else left_s
            request = pb.WaitRequest(ends=wanted, timeout_ms=int(share_s * 1000))
            reply = await self._channels.call(address, WAIT, request, share_s + SPARE_S)
            for partition, behind in reply.lag.items():
                lag[partition] = min(lag.get(partition, behind), behind)
            missing = dict.fromkeys(reply.lag, "it lags behind the log") | dict(reply.missing)
            answers.update((partition, True) for partition in wanted if partition not in missing)
            return missing

        answers, _ = await ask(self._replicas, ends, wait)
        return {partition: behind for partition, behind in lag.items() if partition not in answers}

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
        messages = _messages(matchers)
        folding = None if fold is None else _fold(query, fold)

        async def select(
            address: str, wanted: dict[int, int], answers: dict[int, Answer[HeadPart | FoldedPart]]
        ) -> dict[int, str]:
            request = pb.SelectRequest(
                uid=uid,
                partitions=wanted,
                matchers=messages,
                min_ms=min_ms,
                max_ms=max_ms,
                limits=_limits(query),
                fold=folding,
                splits=folding is not None,
                uses_starts=query.uses_starts,
            )
            frames = self._channels.stream(address, SELECT, request, self._timeout_s, _patience_s(wanted))
            return await _collect(query, frames, answers, _selected, address)

        return _sorted(*await ask(self._replicas, partitions, select))

    async def names(
        self,
        query: Query,
        uid: bytes,
        partitions: Mapping[int, int],
        matcher_sets: Sequence[Sequence[Matcher]],
        min_ms: int,
        max_ms: int,
    ) -> Answers[NamesPart]:
        sets = [pb.MatcherSet(matchers=_messages(matchers)) for matchers in matcher_sets]

        async def names(address: str, wanted: dict[int, int], answers: dict[int, Answer[NamesPart]]) -> dict[int, str]:
            request = pb.NamesRequest(
                uid=uid, partitions=wanted, sets=sets, min_ms=min_ms, max_ms=max_ms, limits=_limits(query)
            )
            frames = self._channels.stream(address, NAMES, request, self._timeout_s, _patience_s(wanted))
            return await _collect(query, frames, answers, _named, address)

        return _sorted(*await ask(self._replicas, partitions, names))

    async def metadata(self, uid: bytes, partitions: Mapping[int, int]) -> Described:
        families: dict[str, tuple[int, str, str]] = {}

        async def metadata(address: str, wanted: dict[int, int], answers: dict[int, bool]) -> dict[int, str]:
            request = pb.MetadataRequest(uid=uid, partitions=wanted)
            missing: dict[int, str] = {}
            replies = self._channels.stream(address, METADATA, request, self._timeout_s)
            async with aclosing(replies):
                async for reply in replies:
                    missing.update(reply.missing)
                    for family in reply.families:
                        families.setdefault(family.name, (family.type, family.help, family.unit))
            answers.update((partition, True) for partition in wanted if partition not in missing)
            return missing

        _, missing = await ask(self._replicas, partitions, metadata)
        return Described(families, missing)

    async def pushed(
        self, uid: bytes, partitions: Mapping[int, int], now_ms: int, *, as_families: bool = False
    ) -> Pushed:
        groups: list[bytes] = []

        async def pushed(address: str, wanted: dict[int, int], answers: dict[int, bool]) -> dict[int, str]:
            request = pb.PushedRequest(uid=uid, partitions=wanted, now_ms=now_ms, as_families=as_families)
            missing: dict[int, str] = {}
            parts: dict[int, bytearray] = {}
            replies = self._channels.stream(address, PUSHED, request, self._timeout_s)
            async with aclosing(replies):
                async for reply in replies:
                    missing.update(reply.missing)
                    parts.setdefault(reply.partition, bytearray()).extend(reply.groups)
            groups.extend(bytes(part) for part in parts.values() if part)
            answers.update((partition, True) for partition in wanted if partition not in missing)
            return missing

        _, missing = await ask(self._replicas, partitions, pushed)
        return Pushed(groups, missing)

    async def exemplars(
        self,
        uid: bytes,
        partitions: Mapping[int, int],
        matcher_sets: Sequence[Sequence[Matcher]],
        min_ms: int,
        max_ms: int,
    ) -> Exemplars:
        sets = [pb.MatcherSet(matchers=_messages(matchers)) for matchers in matcher_sets]

        async def exemplars(address: str, wanted: dict[int, int], answers: dict[int, bytes]) -> dict[int, str]:
            missing = {}
            for number in wanted:
                request = pb.ExemplarsRequest(uid=uid, partition=number, sets=sets, min_ms=min_ms, max_ms=max_ms)
                reply = await self._channels.call(address, EXEMPLARS, request, self._timeout_s)
                if reply.missing:
                    missing[number] = reply.missing
                else:
                    answers[number] = reply.exemplars
            return missing

        found, missing = await ask(self._replicas, partitions, exemplars)
        return Exemplars(list(found.values()), missing)


def _patience_s(wanted: Mapping[int, int]) -> float | None:
    """How long nothing may come of an answer, if who makes it is the first to be asked since the log has told its ends:
    it waits itself, and then says at once or a heartbeat later that it works.
    """
    return CATCH_UP_S + HEARTBEAT_S + SPARE_S if any(wanted.values()) else None


async def _collect(
    query: Query,
    frames: AsyncGenerator[pb.Frame, None],
    answers: dict[int, Answer[Part]],
    finish: Callable[[IncomingPart, pb.HeadAnswer], Part],
    address: str,
) -> dict[int, str]:
    """Adds the answers of one stream; why others are missing. UnavailableError if what comes makes no sense."""
    missing: dict[int, str] = {}
    arriving: Arriving[Part] | None = None
    try:
        async with aclosing(frames):
            async for frame in frames:
                match frame.WhichOneof("content"):
                    case "head" if arriving is None:
                        arriving = Arriving(query, frame.head, finish, address)
                    case "piece" if arriving is not None:
                        arriving.add(frame.piece)
                    case "missing":
                        missing[frame.missing.partition] = frame.missing.why
                    case None:
                        pass  # a sign of life
                    case _:
                        raise UnavailableError("an ingester sent something that this version does not understand")
                if arriving is not None and arriving.is_complete:
                    answer = await arriving.answer()
                    answers[answer.partition] = answer
                    arriving = None
    except (CorruptError, UnsupportedError) as error:
        raise UnavailableError(f"an answer cannot be read: {error}") from error
    if arriving is not None:
        raise UnavailableError("an answer ended before it was complete")
    return missing


def _selected(incoming: IncomingPart, head: pb.HeadAnswer) -> HeadPart | FoldedPart:
    return incoming.folded_part() if head.is_folded else incoming.head_part()


def _named(incoming: IncomingPart, _head: pb.HeadAnswer) -> NamesPart:
    return incoming.names_part()


def _sorted(answers: dict[int, Answer[Part]], missing: dict[int, str]) -> Answers[Part]:
    """In the order of partitions: what is summed over them does not depend on who was quicker."""
    return Answers([answers[partition] for partition in sorted(answers)], missing)


def _limits(query: Query) -> pb.Limits:
    return pb.Limits(max_series=query.max_series, max_bytes=query.max_bytes, max_samples=query.max_samples)


def _fold(query: Query, fold: Fold) -> pb.Fold:
    start_ms, step_ms, steps = fold.grid
    return pb.Fold(
        op=fold.op,
        without=fold.without,
        labels=fold.labels,
        function=fold.function or "",
        start_ms=start_ms,
        step_ms=step_ms,
        steps=steps,
        range_ms=fold.range_ms,
        offset_ms=fold.offset_ms,
        delays_names=query.delays_names,
        uses_types=query.uses_types,
    )


def _messages(matchers: Sequence[Matcher]) -> list[pb.Matcher]:
    return [pb.Matcher(name=matcher.name, op=matcher.op, value=matcher.value) for matcher in matchers]
