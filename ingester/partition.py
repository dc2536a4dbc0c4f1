"""What an ingester knows of one partition that it has."""

from dataclasses import dataclass, field, replace

from ingester.ages import Ages
from ingester.cursor import replay_from
from ingester.encode import Encoded
from shared.native import Head, PushBook
from shared.seams.store import Directory, Generation, Metadata, Payload

EVER_MS = -(1 << 63)
"""Before every time there is."""


@dataclass(frozen=True, slots=True, eq=False)
class Retained:
    """Generations that have left the head, until they were found again in the store."""

    generations: tuple[Generation, ...]
    payload: Payload | None  # None: somebody else has stored them, or it took too much memory; the log has them
    first_offset: int
    due: float  # on the monotonic clock
    tries: int = 0

    @property
    def bytes(self) -> int:
        return 0 if self.payload is None else sum(map(len, self.payload.values))

    def later(self, due: float) -> "Retained":
        return replace(self, due=due, tries=self.tries + 1)

    def without_payload(self) -> "Retained":
        return replace(self, payload=None)


@dataclass(slots=True)
class Partition:
    """A head and pushed groups, and how far they have come between the log and the store.

    `applied`, `ages` and `stopped` are written by the thread that reads the log for it, everything else in the event
    loop. A partition that has to be built anew gets another object.
    """

    number: int
    head: Head
    pushed: PushBook
    boundaries: dict[int, int]  # window -> offset up to which the head has handed it over
    generation: int  # of the directory: every sample that is missing in it is in the head
    replay_from: int  # as the store has it
    applied: int  # the first offset that the head has not seen
    metadata: dict[bytes, Metadata] = field(default_factory=dict)  # as the store has it
    exemplars: dict[bytes, int] = field(default_factory=dict)  # uid -> version of those that the store has
    retained: list[Retained] = field(default_factory=list)
    unfinished: Encoded | None = None  # an attempt whose outcome is unknown
    waiting_since: dict[tuple[int, int], float] = field(default_factory=dict)
    """(window, marker) of a generation that another zone should store -> when it was seen first."""
    differing: set[tuple[int, int]] = field(default_factory=set)
    """(window, marker) of generations that another zone has stored with other samples."""
    ages: Ages = field(default_factory=Ages)
    replaying: bool = True
    stopped: str | None = None  # why nothing beyond `applied` can be read

    @classmethod
    def opened(cls, number: int, pushed: PushBook, directory: Directory, *, window_ms: int) -> "Partition":
        head = Head(number, window_ms=window_ms)
        head.set_through(directory.through)
        begin = directory.replay_from
        return cls(number, head, pushed, dict(directory.through), directory.generation, begin, begin)

    def shown(self, uid: bytes, now_ms: int, *, as_families: bool) -> bytes:
        """The pushed groups of an instance, as `IngesterClient.pushed` gives them."""
        return self.pushed.families(uid, now_ms) if as_families else self.pushed.json(uid, now_ms)

    def complete_from_ms(self, max_ms: int) -> int:
        """The head has let go of no sample from here to `max_ms`."""
        width_ms = self.head.window_ms
        return max((window for window in self.boundaries if window <= max_ms), default=EVER_MS - width_ms) + width_ms

    def target(self) -> int:
        """Where a replay has to begin. `applied` is read first, since what is applied later lies above it; `retained`
        last, since a commit adds to it before the head lets go.
        """
        applied = self.applied
        held = [info.first_offset for info in self.head.windows()]
        return replay_from(applied, (*held, *(r.first_offset for r in self.retained)))
