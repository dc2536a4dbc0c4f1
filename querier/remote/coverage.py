"""Whether every partition has somebody who answers for it: what a querier waits for before it calls itself ready."""

import asyncio
from collections.abc import Sequence
from time import monotonic

from shared.errors import HeadraceError
from shared.rpc import ingester_pb2 as pb
from shared.rpc.channels import Channels
from shared.rpc.fanout import ask
from shared.rpc.methods import WAIT
from shared.rpc.replicas import Replicas

LOOK_S = 0.5
CALL_S = 2.0

PATIENCE_S = 30.0
"""After which it is ready all the same: what can be read is better than nothing, and queries say what is missing."""


class Coverage:
    """Looks at the ingesters until all partitions are answered for, once. `missing` says why they are not yet."""

    def __init__(self, replicas: Replicas, channels: Channels, partitions: Sequence[int]) -> None:
        self.missing: str | None = "waiting for Redis, to learn who holds which partition"
        self._replicas = replicas
        self._channels = channels
        self._partitions = partitions

    async def run(self) -> None:
        """Returns when `missing` is None for good."""
        end_s = monotonic() + PATIENCE_S
        while monotonic() < end_s or not self._replicas.is_known:
            if self._replicas.is_known:
                self.missing = await self._look()
            if self.missing is None:
                return
            await asyncio.sleep(LOOK_S)
        self.missing = None

    async def _look(self) -> str | None:
        try:
            _, missing = await ask(self._replicas, dict.fromkeys(self._partitions, 0), self._ask)
        except HeadraceError as error:  # they refuse
            return f"waiting for ingesters: {error}"
        if not missing:
            return None
        others = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        return f"waiting for ingesters: {missing[min(missing)]}{others}"

    async def _ask(self, address: str, wanted: dict[int, int], answers: dict[int, bool]) -> dict[int, str]:
        reply = await self._channels.call(address, WAIT, pb.WaitRequest(ends=wanted), CALL_S)
        answers.update((partition, True) for partition in wanted if partition not in reply.missing)
        return dict(reply.missing)
