"""The order in which processes start is nobody's business: each waits for what it needs, and says what that is."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from headrace.readiness import Readiness
from shared.errors import UnavailableError

FIRST_PAUSE_S = 0.1
LAST_PAUSE_S = 2.0

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Waiting:
    """What is waited for is seen in `/ready`, and each reason once in the log."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def until(self, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` returns, however often it raises UnavailableError before; all else that it raises is final."""
        self._say(f"waiting for {what}")
        pause_s, reason = FIRST_PAUSE_S, ""
        while True:
            try:
                return await attempt()
            except UnavailableError as error:
                if str(error) != reason:
                    reason = str(error)
                    self._say(f"waiting for {what}: {reason}")
                    log.warning("waiting", what=what, reason=reason)
            await asyncio.sleep(random.uniform(0.5, 1) * pause_s)  # noqa: S311  so that not all come at once
            pause_s = min(2 * pause_s, LAST_PAUSE_S)

    def _say(self, text: str) -> None:
        self._readiness.waits_for(lambda: text)
