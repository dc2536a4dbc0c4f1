"""What an ingester knows of one partition."""

from collections import deque
from dataclasses import dataclass, field

from ingester.cursor import replay_from
from shared.native import Head
from shared.seams.store import Directory, Generation, Metadata, Payload


@dataclass(frozen=True, slots=True)
class Retained:
    """A commit whose payload is kept until it was found again in the store."""

    generations: tuple[Generation, ...]
    payload: Payload
    first_offset: int
    due: float  # on the monotonic clock


@dataclass(slots=True)
class Partition:
    number: int
    head: Head
    boundaries: dict[int, int]  # window -> offset up to which the head has handed it over
    generation: int  # of the directory: every sample that is missing in it is in the head
    replay_from: int  # as the store has it
    retained: deque[Retained] = field(default_factory=deque)
    metadata: dict[bytes, Metadata] = field(default_factory=dict)  # as the store has it
    replaying: bool = True

    @classmethod
    def opened(cls, number: int, directory: Directory, *, window_ms: int) -> "Partition":
        head = Head(number, window_ms=window_ms)
        head.set_through(directory.through)
        return cls(number, head, dict(directory.through), directory.generation, directory.replay_from)

    def target(self, applied: int) -> int:
        """Where a replay has to begin. A commit adds to `retained` before the head lets go, so they are read in the
        other order.
        """
        held = [info.first_offset for info in self.head.windows()]
        return replay_from(applied, (*held, *(r.first_offset for r in self.retained)))
