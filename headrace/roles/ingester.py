"""The ingester: log to heads, heads to blocks, from its start to its drain."""

import asyncio
from dataclasses import replace
from typing import Any

import structlog

from headrace.roles.place import Place
from headrace.roles.running import EndedError
from headrace.settings import Settings
from ingester.service import Ingester
from ingester.settings import IngesterSettings
from shared.errors import ConflictError, UnavailableError

log = structlog.get_logger(__name__)

FLUSH_S = 600
"""Longest that POST /api/v1/admin/flush tries."""

NEVER_MS = 1 << 50  # 35,000 years

TAKEOVER_S = 15.0
"""How long the zone whose turn it is has to store a sealed generation before the others do it."""


LINGER_S = 0.1
"""A read of Kafka costs two milliseconds, which everything shares that comes in this time."""


class IngesterRole:
    """Started, and its replay under way."""

    def __init__(self, ingester: Ingester, *, drain_s: float) -> None:
        self.ingester = ingester
        self._drain_s = drain_s
        self._running = asyncio.create_task(ingester.run(), name="ingester")

    @classmethod
    async def start(cls, ingester: Ingester, *, drain_s: float) -> "IngesterRole":
        """Raises ConflictError, InternalError and what the log and the store raise."""
        await ingester.start()
        return cls(ingester, drain_s=drain_s)

    def missing(self) -> str | None:
        return "the ingester has ended" if self._running.done() else self.ingester.missing()

    def replay(self) -> tuple[int, int, int]:
        """(first, last, current) offset, of all partitions that replay."""
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
        """Raises EndedError when the ingester ends by itself."""
        await asyncio.wait({self._running})
        error = None if self._running.cancelled() else self._running.exception()
        if isinstance(error, ConflictError):
            raise EndedError(str(error))
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
    """Of the one ingester that there is."""
    own = settings.ingester
    return IngesterSettings(
        window_ms=own.window_s * 1000,
        grace_ms=own.grace_s * 1000,
        memory_bytes=own.memory_bytes,
        retention_ms=NEVER_MS if own.retention_s is None else own.retention_s * 1000,
    )


def cluster_settings(settings: Settings, place: Place) -> IngesterSettings:
    """Of one among others."""
    return replace(
        ingester_settings(settings),
        zone=settings.zone,
        owner=place.name,
        address=place.grpc_address(settings),
        shared=True,
        takeover_s=TAKEOVER_S,
        linger_s=LINGER_S,
    )
