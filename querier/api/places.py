"""How many queries of an instance run at once."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from shared.model.instance import Instance


@dataclass(slots=True)
class _Line:
    running: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class Places:
    """First come, first served within an instance; the limit is the instance's own and may change at any time."""

    def __init__(self) -> None:
        self._lines: dict[bytes, _Line] = {}

    @property
    def running(self) -> int:
        return sum(line.running for line in self._lines.values())

    @property
    def waiting(self) -> int:
        return sum(len(line.waiting) for line in self._lines.values())

    def running_of(self, instance: Instance) -> int:
        line = self._lines.get(instance.uid)
        return 0 if line is None else line.running

    async def take(self, instance: Instance) -> None:
        """Waits for a place; `leave` must follow. The caller's deadline ends the wait."""
        line = self._lines.setdefault(instance.uid, _Line())
        if line.running < instance.limits.max_concurrent_queries and not line.waiting:
            line.running += 1
            return
        turn = asyncio.get_running_loop().create_future()
        line.waiting.append(turn)
        _let_in(line, instance)  # the limit may have been raised
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.leave(instance)  # the place came together with the cancellation: hand it on
            elif turn in line.waiting:
                line.waiting.remove(turn)
            raise

    def leave(self, instance: Instance) -> None:
        line = self._lines[instance.uid]
        line.running -= 1
        _let_in(line, instance)
        if not line.running and not line.waiting:
            del self._lines[instance.uid]


def _let_in(line: _Line, instance: Instance) -> None:
    while line.waiting and line.running < instance.limits.max_concurrent_queries:
        turn = line.waiting.popleft()
        if not turn.done():
            line.running += 1
            turn.set_result(None)
