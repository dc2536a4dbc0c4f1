"""The arithmetic of offsets: what a sealed generation still needs, and where the next replay begins. Pure.

`through[window]` of the store is the first offset it does not contain. A head's `boundary` of a window is the same as
the head sees it: the `through` it was started with, or the last seal marker it has handed over.
"""

from collections.abc import Iterable
from enum import Enum, auto


class Step(Enum):
    """What to do with a sealed generation."""

    COMMIT = auto()  # from `through` to the marker
    DONE = auto()  # the store has it: compare and let go
    ROLLED_BACK = auto()  # the store has lost what this head handed over before
    DIVERGED = auto()  # the store ends inside this generation, which a seal marker never does


def next_step(*, boundary: int, first_offset: int, sealed: int, through: int) -> Step:
    """`first_offset` is the generation's first sample, `sealed` its marker: boundary <= first_offset < sealed."""
    if through >= sealed:
        return Step.DONE
    if through < boundary:
        return Step.ROLLED_BACK
    # Between boundary and first_offset this head holds nothing of the window. Another committer may have closed an
    # empty generation there.
    return Step.COMMIT if through <= first_offset else Step.DIVERGED


def contained(through: int | None, *, boundary: int, replay_from: int) -> int:
    """The first offset of a window that the store does not contain, for a head that has handed it over to `boundary`.

    None: the store has no entry for the window. It never had one, or has lost it with what the head handed over, or has
    forgotten it as too old. `replay_from` of the same state tells which: it passes a marker only after the commit was
    seen, so a state that has passed the boundary had the entry once.
    """
    if through is not None:
        return through
    return boundary if boundary <= replay_from else 0


def replay_from(applied: int, held: Iterable[int]) -> int:
    """The first offset that a replay needs.

    `held` are the first offsets of all generations that a head holds or whose commit is not verified. `applied` must
    have been read before them: what was applied since lies above it.
    """
    return min((applied, *held))
