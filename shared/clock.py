"""Time as a parameter, so that tests own it."""

import time
from typing import Protocol

from shared import faults


class Clock(Protocol):
    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...


class SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + faults.clock_ahead_ms()

    def monotonic(self) -> float:
        return time.monotonic()
