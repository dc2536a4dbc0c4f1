"""What was refused lately, for the people whose data it was."""

from collections.abc import Iterable
from dataclasses import dataclass

from shared.clock import Clock

MAX_INSTANCES = 10_000


@dataclass(slots=True)
class Rejection:
    """All refusals of one reason since the server started."""

    samples: int
    last_ms: int
    example: str


class Rejections:
    """Per instance and reason: how many, when last, and the last message. Bounded: the longest silent instance goes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_uid: dict[bytes, dict[str, Rejection]] = {}

    def note(self, uid: bytes, refused: Iterable[tuple[str, int, str]]) -> None:
        """(reason, samples, message with an example series)"""
        reasons = self._by_uid.pop(uid, {})
        self._by_uid[uid] = reasons  # last in order: the freshest
        if len(self._by_uid) > MAX_INSTANCES:
            del self._by_uid[next(iter(self._by_uid))]
        now_ms = self._clock.now_ms()
        for reason, samples, message in refused:
            before = reasons.get(reason)
            reasons[reason] = Rejection(samples + (before.samples if before else 0), now_ms, message)

    def of(self, uid: bytes) -> dict[str, Rejection]:
        return self._by_uid.get(uid, {})
