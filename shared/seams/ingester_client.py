"""How a querier reaches the heads. Standalone: a direct call. Cluster: gRPC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shared.native import FoldedPart, Grid, HeadPart, Matcher, NamesPart, Query

Part = TypeVar("Part", covariant=True)


@dataclass(slots=True, frozen=True)
class Fold:
    """An aggregation over the series of one selector: `op` of a range function, or of the newest sample of each.

    `range_ms` is the length of the windows, or how old the newest sample may be. `op` is one of sum avg count min max
    group. `labels` are those of `by` or `without`. No two series of the selector differ only in a label that the
    function drops.
    """

    op: str
    without: bool
    labels: Sequence[str]
    function: str | None
    grid: Grid
    range_ms: int
    offset_ms: int

    def first_late(self, min_ms: int, complete_from_ms: int | None) -> int:
        """The first step that needs nothing from before `complete_from_ms`; the number of steps if there is none.
        Nothing before `min_ms` matters.
        """
        return first_late(self.grid, self.range_ms + self.offset_ms, min_ms, complete_from_ms)


def first_late(grid: Grid, reach_ms: int, min_ms: int, complete_from_ms: int | None) -> int:
    """As `Fold.first_late`, of windows that begin `reach_ms` before their steps; they are open there."""
    start_ms, step_ms, steps = grid
    if complete_from_ms is None:
        return steps
    missed_ms = complete_from_ms - (start_ms - reach_ms + 1)
    if missed_ms <= 0 or complete_from_ms <= min_ms:
        return 0
    return min(-(-missed_ms // step_ms), steps) if step_ms > 0 else steps


@dataclass(slots=True, frozen=True)
class Answer(Generic[Part]):
    """What the head of one partition holds, and what it no longer holds: a sample that is missing in `part` is in every
    directory that this answer is covered by.

    `generation` (of the directory) and `through` were read after the head's snapshot. `through` is window -> offset up
    to which the head has handed the window over, of windows that overlap the range. A directory covers the answer if
    its generation is not lower and it contains each of these windows as far. Generations alone would not do where the
    store may be turned back, for it counts the same numbers again.
    """

    partition: int
    generation: int
    through: Mapping[int, int]
    part: Part | None
    """None: the head holds nothing of what was asked for."""
    complete_from_ms: int | None = None
    """From here on to the end of the range the head had handed nothing over when its snapshot was made, so that `part`
    is all that there is. None: it is not known, and need not be for names."""
    replica: str | None = None
    """The address that answered; None within one process."""
    late: FoldedPart | None = None
    """What the series come to at the late steps of a fold; `part` is for the others alone."""


@dataclass(slots=True, frozen=True)
class Answers(Generic[Part]):
    """One answer for each partition that an ingester could answer for.

    `missing` maps the others to a sentence that names the partition and says why none could.
    """

    given: Sequence[Answer[Part]]
    missing: Mapping[int, str]


@dataclass(slots=True)
class Described:
    """family -> (type number, help, unit) of all partitions that an ingester could answer for."""

    families: dict[str, tuple[int, str, str]]
    missing: Mapping[int, str]


@dataclass(slots=True)
class Pushed:
    """Of all partitions that an ingester could answer for: groups as JSON objects, several in a piece with commas
    between them, or their families as `PushBook.families` gives them.
    """

    groups: list[bytes]
    missing: Mapping[int, str]


@dataclass(slots=True)
class Exemplars:
    """What `Head.exemplars` gave, of all partitions that an ingester could answer for."""

    parts: list[bytes]
    missing: Mapping[int, str]


class HeadSource(Protocol):
    """`partitions` maps each partition to the offset below which everything has to be in its answer; 0: whatever is
    there. Calls end with their caller's task and need no deadline of their own.
    """

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
        """The series that match and their samples between two times, both included.

        With `fold`, which looks at nothing else, an answer that is complete from `min_ms` on may be what its series
        come to. One that is complete from later on may be that for late steps, and series for those before.
        """
        ...


class IngesterClient(HeadSource, Protocol):
    """All that is asked of ingesters; of `partitions` and deadlines as `HeadSource` says."""

    @property
    def waits_itself(self) -> bool:
        """Whether `select` and `names` wait for what an answer has to contain, and count it as missing where it does
        not come soon. Otherwise, as for all other calls, `wait_applied` must have seen it applied.
        """
        ...

    async def wait_applied(self, ends: Mapping[int, int], *, timeout_s: float) -> dict[int, int]:
        """Returns once a head of every partition has applied what lies below its end, or after `timeout_s` the lag in
        records of those partitions of which none has.

        A partition that nobody can answer for is left to the calls that read.
        """
        ...

    async def names(
        self,
        query: Query,
        uid: bytes,
        partitions: Mapping[int, int],
        matcher_sets: Sequence[Sequence[Matcher]],
        min_ms: int,
        max_ms: int,
    ) -> Answers[NamesPart]:
        """The label sets that match one of the sets, or the label pairs of all series without any."""
        ...

    async def metadata(self, uid: bytes, partitions: Mapping[int, int]) -> Described: ...

    async def pushed(
        self, uid: bytes, partitions: Mapping[int, int], now_ms: int, *, as_families: bool = False
    ) -> Pushed:
        """The pushed groups that an instance has at a time."""
        ...

    async def exemplars(
        self,
        uid: bytes,
        partitions: Mapping[int, int],
        matcher_sets: Sequence[Sequence[Matcher]],
        min_ms: int,
        max_ms: int,
    ) -> Exemplars:
        """Of series that match one of the sets, between two times, both included."""
        ...
