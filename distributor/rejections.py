"""What was refused lately, for the people whose data it was."""

import asyncio
from collections.abc import Iterable
from typing import Protocol

import structlog

from shared.clock import Clock
from shared.errors import HeadraceError
from shared.seams.rejections import Reasons, Rejection, RejectionBoard

log = structlog.get_logger(__name__)

MAX_INSTANCES = 10_000

_PUBLISH_EVERY_S = 1.0
_ANSWER_S = 2.0


class Rejections(Protocol):
    def note(self, uid: bytes, refused: Iterable[tuple[str, int, str]]) -> None:
        """(reason, samples, message with an example series)"""
        ...

    async def of(self, uid: bytes) -> tuple[Reasons, list[str]]:
        """And warnings about what may be missing."""
        ...


class _Noted:
    """Per instance and reason: how many, when last, and the last message. Bounded: the longest silent instance goes."""

    def __init__(self) -> None:
        self.by_uid: dict[bytes, dict[str, Rejection]] = {}

    def add(self, uid: bytes, refused: Reasons) -> None:
        self.by_uid[uid] = together(self.by_uid.pop(uid, {}), refused)  # last in order: the freshest
        if len(self.by_uid) > MAX_INSTANCES:
            del self.by_uid[next(iter(self.by_uid))]


class OwnRejections:
    """Those of this process since its start."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._noted = _Noted()

    def note(self, uid: bytes, refused: Iterable[tuple[str, int, str]]) -> None:
        self._noted.add(uid, read_off(refused, self._clock.now_ms()))

    async def of(self, uid: bytes) -> tuple[Reasons, list[str]]:
        return self._noted.by_uid.get(uid, {}), []


class SharedRejections:
    """Those of all distributors, which tell one another once a second. While they cannot, each keeps its own; where it
    was not certain that a board had taken them, they may be counted twice.
    """

    def __init__(self, clock: Clock, board: RejectionBoard) -> None:
        self._clock = clock
        self._board = board
        self._untold = _Noted()
        self._telling = asyncio.Lock()

    def note(self, uid: bytes, refused: Iterable[tuple[str, int, str]]) -> None:
        self._untold.add(uid, read_off(refused, self._clock.now_ms()))

    async def of(self, uid: bytes) -> tuple[Reasons, list[str]]:
        warnings = []
        told: Reasons = {}
        try:
            async with asyncio.timeout(_ANSWER_S), self._telling:  # what is on its way is in neither of both
                told = await self._board.of(uid)
        except (HeadraceError, TimeoutError) as error:
            reason = str(error) or f"no answer within {_ANSWER_S:g} s"
            warnings.append(f"only what this distributor refused a moment ago is listed: {reason}")
        return together(told, self._untold.by_uid.get(uid, {})), warnings

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(_PUBLISH_EVERY_S)
            await self.publish()

    async def publish(self) -> None:
        """Tells the others what they do not know yet."""
        async with self._telling:
            if not self._untold.by_uid:
                return
            telling, self._untold = self._untold, _Noted()
            try:
                await self._board.add(telling.by_uid)
            except BaseException as error:
                fresh, self._untold = self._untold, telling
                for uid, refused in fresh.by_uid.items():
                    self._untold.add(uid, refused)
                if not isinstance(error, HeadraceError):
                    raise
                log.warning("rejections_untold", error=str(error))


def read_off(refused: Iterable[tuple[str, int, str]], now_ms: int) -> Reasons:
    """Of what a batch refused; a reason may come more than once."""
    found: dict[str, Rejection] = {}
    for reason, samples, message in refused:
        found = together(found, {reason: Rejection(samples, now_ms, message)})
    return found


def together(before: Reasons, later: Reasons) -> dict[str, Rejection]:
    both = dict(before)
    for reason, rejection in later.items():
        both[reason] = both[reason] + rejection if reason in both else rejection
    return both
