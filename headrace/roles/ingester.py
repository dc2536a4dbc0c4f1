"""The ingester: log to heads, heads to blocks, from its start to its drain."""

import asyncio
from typing import Any

import structlog

from headrace.core import Core
from headrace.roles.running import EndedError
from headrace.settings import Settings
from ingester.service import Ingester
from ingester.settings import IngesterSettings
from shared.errors import UnavailableError
from shared.seams.log import Log
from shared.seams.membership import Membership
from shared.seams.store import BlockStore

log = structlog.get_logger(__name__)

FLUSH_S = 600
"""Longest that POST /api/v1/admin/flush tries."""

NEVER_MS = 1 << 50  # 35,000 years


class IngesterRole:
    """Started, and its replay under way."""

    def __init__(self, ingester: Ingester, *, drain_s: float) -> None:
        self.ingester = ingester
        self._drain_s = drain_s
        self._replayed = False
        self._running = asyncio.create_task(ingester.run(), name="ingester")

    @classmethod
    async def open(cls, core: Core, *, log: Log, store: BlockStore, membership: Membership) -> "IngesterRole":
        """Raises ConflictError, InternalError and what the log and the store raise."""
        ingester = Ingester(
            log=log,
            store=store,
            registry=core.registry,
            membership=membership,
            clock=core.clock,
            settings=ingester_settings(core.settings),
        )
        await ingester.start()
        return cls(ingester, drain_s=core.settings.drain_s)

    def missing(self) -> str | None:
        if self._running.done():
            return "the ingester has ended"
        if self._replayed:
            return None
        replay = self.ingester.stats().replay
        if replay.done:
            self._replayed = True
            return None
        part = (replay.offset - replay.begin) / max(replay.end - replay.begin, 1)
        eta = "" if replay.eta_s is None else f", about {replay.eta_s:.0f} s left"
        return f"replaying the log: {part:.0%}{eta}"

    def replay(self) -> tuple[int, int, int]:
        replay = self.ingester.stats().replay
        return replay.begin, replay.end, replay.offset

    async def flush(self) -> None:
        """Returns when the store has all that was acknowledged before the call. UnavailableError after FLUSH_S."""
        try:
            async with asyncio.timeout(FLUSH_S):
                await self.ingester.flush()
        except TimeoutError:
            alarms = "; ".join(self.ingester.stats().alarms.values()) or "it takes longer"
            raise UnavailableError(f"not everything is stored after {FLUSH_S} s: {alarms}") from None

    async def run(self) -> None:
        await asyncio.wait({self._running})
        raise EndedError("the ingester has ended, see the log; what was acknowledged is kept")

    async def close(self, hurried: asyncio.Event, *, drain: bool = True) -> None:
        """Nobody writes any more: with `drain`, brings everything into the store, so that the next start replays
        nothing; unless somebody is in a hurry.
        """
        if drain and not self._running.done():
            await self._drain(hurried)
        self._running.cancel()
        await asyncio.wait({self._running})
        if not self._running.cancelled() and (error := self._running.exception()) is not None:
            log.error("ingester_ended", exc_info=error)
        await self.ingester.stop()

    async def _drain(self, hurried: asyncio.Event) -> None:
        draining = asyncio.create_task(self.ingester.drain(), name="drain")
        hurry = asyncio.create_task(hurried.wait())
        first: set[asyncio.Future[Any]] = {draining, hurry}
        await asyncio.wait(first, timeout=self._drain_s, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        draining.cancel()  # nothing, if it has ended
        await asyncio.wait({draining})
        # Nothing is lost: what is not in the store is replayed from the log.
        if draining.cancelled():
            log.warning("drain_incomplete", error="a second signal" if hurried.is_set() else "it took too long")
        elif (error := draining.exception()) is not None:
            log.warning("drain_incomplete", exc_info=error)


def ingester_settings(settings: Settings) -> IngesterSettings:
    own = settings.ingester
    return IngesterSettings(
        window_ms=own.window_s * 1000,
        grace_ms=own.grace_s * 1000,
        memory_bytes=own.memory_bytes,
        retention_ms=NEVER_MS if own.retention_s is None else own.retention_s * 1000,
    )
