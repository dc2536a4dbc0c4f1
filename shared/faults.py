"""Named points at which a test can kill the process or make a call fail. Unarmed, a point costs one global look-up.

`HEADRACE_FAULTS=cut.put:kill:3,commit.done:fail:1` kills this process with SIGKILL at the third pass of `cut.put`, and
makes the first pass of `commit.done` raise UnavailableError, as if a reply had been lost. `stop` instead of `kill` is
SIGSTOP: the process stands still until it is sent SIGCONT. `clock:ahead:60000` lets this process's clock go ahead by so
many milliseconds, which may be negative.
"""

import os
import signal
from collections.abc import Callable

from shared.errors import UnavailableError

RARE_POINTS = frozenset(
    {
        "handover.offered",  # a standby has said that it is ready
        "handover.yielded",  # the owner has let go of the lease, nobody has it
        "handover.claimed",  # the standby has the lease
        "restore.put",  # a block made anew from the log is written, the directory names the lost one
        "restore.replaced",  # the directory names the new one
    }
)
"""Passed only where several processes share the partitions, or where the store has lost something."""

POINTS = RARE_POINTS | frozenset(
    {
        "log.queued",  # a batch is queued in the log, not yet durable
        "log.durable",  # a batch is durable, not yet acknowledged
        "seal.before",  # a seal marker is about to be appended
        "seal.after",  # it is durable
        "cut.begin",  # a sealed generation was found
        "cut.encoded",  # its blocks are encoded, nothing is written
        "cut.put",  # payload is written, nothing names it yet
        "commit.before",  # inside the store, before the compare-and-set
        "commit.done",  # inside the store, after it is durable, before the reply
        "cut.committed",  # the ingester knows of the commit, the head has not let go
        "cut.released",  # the head has let go
        "verify.done",  # payload was found again, replay_from has not moved
        "advance.done",  # replay_from has moved, the log is not trimmed
        "trim.done",  # the log is trimmed
        "compact.merged",  # merged, nothing written
        "compact.put",  # merged payload is written, nothing names it, and it waits to be found again
        "compact.replaced",  # the directory names the merged block, the old payload still lies there
        "compact.unlinked",  # the old payload is gone
        "replay.begin",  # the directories are loaded, nothing is replayed
        "replay.batch",  # a batch of records was applied
    }
)

Hook = Callable[[str], None]

_hook: Hook | None = None
_ahead_ms = 0


def clock_ahead_ms() -> int:
    """By how much the time of day is to be wrong."""
    return _ahead_ms


def fault(point: str) -> None:
    """Pass a point."""
    if _hook is not None:
        _hook(point)


def install(hook: Hook | None, *, ahead_ms: int = 0) -> None:
    """Call `hook(point)` at every point; None disarms all of them. `ahead_ms` is that of the clock."""
    global _ahead_ms, _hook
    _ahead_ms, _hook = ahead_ms, hook


def arm(plan: str) -> None:
    """Install a plan in the form of `HEADRACE_FAULTS`; ValueError says what is wrong with it."""
    countdowns: dict[str, tuple[str, int]] = {}
    ahead_ms = 0
    for entry in plan.split(","):
        match entry.strip().split(":"):
            case [point, ("kill" | "stop" | "fail") as action, nth] if (
                point in POINTS and nth.isdigit() and int(nth) > 0
            ):
                countdowns[point] = (action, int(nth))
            case ["clock", "ahead", ms] if ms.removeprefix("-").isdigit():
                ahead_ms = int(ms)
            case _:
                raise ValueError(
                    f"fault {entry!r}: use point:kill:n, point:stop:n or point:fail:n, n from 1, "
                    f"with a point of {sorted(POINTS)}, or clock:ahead:ms"
                )
    install(lambda point: _count_down(countdowns, point), ahead_ms=ahead_ms)


def _count_down(countdowns: dict[str, tuple[str, int]], point: str) -> None:
    armed = countdowns.get(point)
    if armed is None:
        return
    action, left = armed
    if left > 1:
        countdowns[point] = (action, left - 1)
        return
    del countdowns[point]
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
        return
    raise UnavailableError(f"fault {point}")


if _plan := os.environ.get("HEADRACE_FAULTS"):
    arm(_plan)
