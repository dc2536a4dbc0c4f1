"""Below which offsets everything has to be in a query's answer, and what becomes of heads that lag behind them."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from shared.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.seams.ingester_client import IngesterClient


class Freshness:
    """Of one query, whose selections share it. A head may be asked before anybody has waited for it, if it waits
    itself: mostly it has nothing to wait for, and the question costs one call instead of two. What is missing then is
    asked for again once `settle` has waited.
    """

    def __init__(
        self, client: IngesterClient, ends: Mapping[int, int], *, wait_s: float, is_strong: bool, warnings: list[str]
    ) -> None:
        """`ends`: of every partition, as the log's were when the query came. From now on it waits for `wait_s` at most;
        then `warnings` gets one, or, if `is_strong`, the query fails.
        """
        self.ends = ends
        """By partition; 0: whatever is there."""
        self.is_settled = not any(ends.values())
        """Heads were seen to have applied what lies below `ends`, or were given up: from now on one that has not is as
        good as none.
        """
        self._client = client
        self._wait_s = wait_s
        self._is_strong = is_strong
        self._warnings = warnings
        self._until_s = monotonic() + wait_s
        self._settling = asyncio.Lock()

    async def settle(self) -> Mapping[int, int]:
        """Waits for what is left of the time, and returns `ends`. UnavailableError: in vain, and a query that must not
        miss anything.
        """
        async with self._settling:
            if not self.is_settled:
                left_s = max(self._until_s - monotonic(), 0.0)
                if lag := await self._client.wait_applied(self.ends, timeout_s=left_s):
                    self._give_up(lag)
                self.is_settled = True
        return self.ends

    def _give_up(self, lag: Mapping[int, int]) -> None:
        behind = ", ".join(f"partition {partition} by {records}" for partition, records in sorted(lag.items()))
        warning = (
            f"recent samples may be missing: after {self._wait_s:g} s ingesters lag behind the log, "
            f"in records: {behind}"
        )
        if self._is_strong:
            raise UnavailableError(warning)
        self._warnings.append(warning)
        self.ends = {number: 0 if number in lag else end for number, end in self.ends.items()}
