"""When the records of the log were accepted: a coarse, bounded map from offset to time."""

import threading
from bisect import bisect_right

_STEP_MS = 1000


class Ages:
    """One entry per second of records. Written by the consumer's thread, read by the event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[tuple[int, int]] = []  # (offset, time), by offset

    def note(self, offset: int, now_ms: int) -> None:
        """The record at `offset`, above all noted before, was accepted at `now_ms`."""
        with self._lock:
            if not self._entries or abs(now_ms - self._entries[-1][1]) >= _STEP_MS:
                self._entries.append((offset, now_ms))

    def at(self, offset: int, default_ms: int) -> int:
        """When the record at `offset` was accepted, up to a second early; `default_ms` if nothing is known of it."""
        with self._lock:
            index = bisect_right(self._entries, offset, key=lambda entry: entry[0])
            return self._entries[index - 1][1] if index else default_ms

    def forget(self, below: int) -> None:
        """Nobody asks for offsets below this any more."""
        with self._lock:
            index = bisect_right(self._entries, below, key=lambda entry: entry[0])
            del self._entries[: max(index - 1, 0)]
