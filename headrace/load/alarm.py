"""How everything in a run learns that it is over.

Times are those of `time.monotonic`: uvloop's own clock stands still while a callback runs, and knows milliseconds only.
"""

import asyncio
from time import monotonic


class Alarm:
    """Rings once. Waiting with a limit costs a timer and nothing else."""

    def __init__(self) -> None:
        self.rang = False
        self._waiting: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        self.rang = True
        for waiting in self._waiting:
            _wake(waiting)

    async def sleep_until(self, when_s: float) -> bool:
        """Until that time of the monotonic clock, or until it rings; whether it has rung."""
        left_s = when_s - monotonic()
        if self.rang or left_s <= 0:
            return self.rang
        loop = asyncio.get_running_loop()
        waiting = loop.create_future()
        timer = loop.call_later(left_s, _wake, waiting)
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            timer.cancel()
            self._waiting.discard(waiting)
        return self.rang


def _wake(waiting: "asyncio.Future[None]") -> None:
    if not waiting.done():
        waiting.set_result(None)
