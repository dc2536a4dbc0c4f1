"""The parts of one partition's answer, which come in pieces one behind the other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

from shared.native import FoldedPart, HeadPart, IncomingPart, NamesPart
from shared.seams.ingester_client import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.native import Query
    from shared.rpc import ingester_pb2 as pb

Part = TypeVar("Part", HeadPart | FoldedPart, NamesPart)

THREAD_ABOVE_BYTES = 256 << 10
"""A part larger than this is decoded in a worker thread."""


class Arriving(Generic[Part]):
    """`answer` once all pieces have come. ExecutionError: the query cannot afford what is announced."""

    def __init__(
        self,
        query: Query,
        head: pb.HeadAnswer,
        finish: Callable[[IncomingPart, pb.HeadAnswer], Part],
        address: str,
    ) -> None:
        self._head = head
        self._finish: Callable[[IncomingPart, pb.HeadAnswer], Part] = finish
        self._address = address
        self._part = IncomingPart(query, head.bytes) if head.bytes else None
        self._late = IncomingPart(query, head.late_bytes) if head.late_bytes else None

    @property
    def is_complete(self) -> bool:
        return all(part is None or part.is_complete for part in (self._part, self._late))

    def add(self, piece: bytes) -> None:
        """CorruptError: it is more than was announced."""
        part = self._part
        if self._late is not None and (part is None or part.is_complete):
            part = self._late
        if part is not None:
            part.add(piece)

    async def answer(self) -> Answer[Part]:
        """CorruptError and UnsupportedError: what has come cannot be read."""
        head = self._head
        if max(head.bytes, head.late_bytes) > THREAD_ABOVE_BYTES:
            part, late = await asyncio.to_thread(self._parts)
        else:
            part, late = self._parts()
        return Answer(
            head.partition,
            head.generation,
            dict(head.through),
            part,
            head.complete_from_ms if head.HasField("complete_from_ms") else None,
            self._address,
            late,
        )

    def _parts(self) -> tuple[Part | None, FoldedPart | None]:
        return (
            None if self._part is None else self._finish(self._part, self._head),
            None if self._late is None else self._late.folded_part(),
        )
