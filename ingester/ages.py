"""When the records of a partition were accepted: a coarse, bounded map from offset to time."""

import threading
from bisect import bisect_right
from collections.abc import Iterable

_STEP_MS = 1000

_BACK_MS = 120_000
"""What is so much older than the record before comes from a clock that was set back, not from another sender's."""


class Ages:
    """One entry per second of records. Written by the thread that applies them, read by the event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[tuple[int, int]] = []  # (offset, time), by offset

    def note(self, records: Iterable[tuple[int, int]]) -> None:
        """The records at these offsets, ascending and above all noted before, were accepted at these times."""
        with self._lock:
            for offset, now_ms in records:
                if not self._entries or _is_news(now_ms - self._entries[-1][1]):
                    self._entries.append((offset, now_ms))

    def at(self, offset: int, default_ms: int) -> int:
        """When the record at `offset` was accepted, up to a second early, by the fastest of the senders' clocks;
        `default_ms` if nothing is known of it.
        """
        with self._lock:
            index = bisect_right(self._entries, offset, key=lambda entry: entry[0])
            return self._entries[index - 1][1] if index else default_ms

    def forget(self, below: int) -> None:
        """Nobody asks for offsets below this any more."""
        with self._lock:
            index = bisect_right(self._entries, below, key=lambda entry: entry[0])
            del self._entries[: max(index - 1, 0)]


def _is_news(step_ms: int) -> bool:
    return step_ms >= _STEP_MS or step_ms <= -_BACK_MS
