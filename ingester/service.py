"""The ingester: its parts, put together, and the loops that drive them."""

import asyncio
import contextlib
import secrets
from collections.abc import Collection
from typing import Protocol

import structlog

from ingester import figures
from ingester.applying import Applier, Incidents
from ingester.client import LocalClient
from ingester.compaction import Maintenance
from ingester.comparing import Comparison
from ingester.cutter import Cutter
from ingester.holdings import Holdings
from ingester.purge import Purge
from ingester.pushing import Emitting
from ingester.restoring import Restoring
from ingester.sealing import Sealing
from ingester.settings import IngesterSettings
from ingester.sharing import SharedOwnership
from ingester.sole import SoleOwnership
from ingester.stats import Counters, Stats
from ingester.storing import FAILURES, Storing
from ingester.verifying import Verifier
from shared.clock import Clock
from shared.errors import ConflictError
from shared.native import Head
from shared.seams.log import Log
from shared.seams.membership import Member, Membership
from shared.seams.registry import Registry
from shared.seams.store import BlockStore

log = structlog.get_logger(__name__)

_TICK_S = 1.0
_FIRST_LOOK_S = 60.0  # a server that is restarted often shall still merge and drop
_FIRST_RETRY_S = 0.5
_LAST_RETRY_S = 30.0


class Ownership(Protocol):
    """Which partitions this process has, and what it is to do with them."""

    async def start(self, partitions: int) -> None:
        """ConflictError: another process is in its place."""
        ...

    async def tick(self) -> None:
        """Once a second. ConflictError ends the process; what the store raises does not."""
        ...

    @property
    def owned(self) -> Collection[int]:
        """Whose windows it seals."""
        ...

    @property
    def maintained(self) -> Collection[int]:
        """Whose blocks it merges and drops."""
        ...

    def commit_delay_s(self, number: int) -> float:
        """How long another process is given to store a sealed generation."""
        ...

    def missing(self) -> str | None:
        """Why it has not got all that it should have."""
        ...

    async def leave(self) -> None:
        """Hands everything over, while the process still answers."""
        ...

    async def stop(self) -> None: ...


class Ingester:
    """Owns the heads of its partitions: of all of them, or of its share in a cluster.

    `start`, then `run` as a task of the composition root; `drain` and `stop` at the end. Everything but what follows or
    replays the log happens in the event loop that made it; what takes long is done in worker threads by those it calls.
    """

    def __init__(
        self,
        *,
        log: Log,
        store: BlockStore,
        registry: Registry,
        membership: Membership,
        clock: Clock,
        settings: IngesterSettings,
    ) -> None:
        self._log = log
        self._registry = registry
        self._clock = clock
        self._settings = settings
        self._counters = counters = Counters()
        self._alarms: dict[str, str] = {}
        self._work = asyncio.Event()
        self._looks = asyncio.Event()
        self._incidents = Incidents(store, counters=counters, alarms=self._alarms)
        applier = Applier(self._incidents, on_seal=self._work.set, records=settings.read_records)
        self._holdings = Holdings(
            log,
            store,
            registry,
            applier,
            clock=clock,
            settings=settings,
            counters=counters,
            must_wait=self._must_wait,
            on_joined=self._joined,
        )
        member = Member(settings.owner, settings.zone, secrets.token_hex(16), settings.address)
        self._ownership: Ownership = (
            SharedOwnership(membership, self._holdings, member, clock=clock, settings=settings, alarms=self._alarms)
            if settings.shared
            else SoleOwnership(membership, self._holdings, member, clock=clock, settings=settings)
        )
        self._sealing = Sealing(log, self._holdings, clock=clock, settings=settings, counters=counters)
        self._emitting = Emitting(
            log,
            registry,
            self._holdings,
            clock=clock,
            counters=counters,
            delay_s=self._ownership.commit_delay_s,
        )
        self._restoring = Restoring(log, store, settings=settings, alarms=self._alarms)
        self._verifier = Verifier(store, self._restoring, clock=clock, settings=settings, counters=counters)
        self._cutter = Cutter(
            store,
            self._verifier,
            Comparison(registry, clock=clock, settings=settings),
            clock=clock,
            settings=settings,
            counters=counters,
            alarms=self._alarms,
            delay_s=self._ownership.commit_delay_s,
        )
        self._storing = Storing(
            log,
            store,
            registry,
            self._holdings,
            self._cutter,
            self._verifier,
            self._incidents,
            clock=clock,
            settings=settings,
            alarms=self._alarms,
        )
        self._maintenance = Maintenance(store, registry, clock=clock, settings=settings, counters=counters)
        self._purge = Purge(log, store, registry, self._holdings)

    # ---- life ----

    async def start(self) -> None:
        """Begins to replay, alone all partitions, or, once it has joined the others, those of its share. ConflictError:
        another process is in its place. InternalError: log and store do not belong together.
        """
        cluster = await self._registry.cluster()
        self._holdings.start()
        await self._ownership.start(cluster.partitions)

    async def run(self) -> None:
        """Until it is cancelled. ConflictError: another process has taken this one's name."""
        try:
            await self._loops()
        except* ConflictError as group:
            raise group.exceptions[0] from None

    async def _loops(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._own_forever(), name="ingester-own")
            tasks.create_task(self._tick_forever(), name="ingester-tick")
            tasks.create_task(self._store_forever(), name="ingester-store")
            tasks.create_task(self._emit_forever(), name="ingester-emit")
            tasks.create_task(self._maintain_forever(), name="ingester-maintain")

    async def ready(self) -> None:
        """Returns when no partition replays."""
        await self._holdings.settled()

    async def flush(self) -> None:
        """Returns when the store has everything acknowledged before the call, verified, and the log is trimmed.

        Failures are tried again for as long as it takes: the caller sets the deadline.
        """
        await self.ready()
        await self._holdings.reached(await self._log.end_offsets(list(self._holdings.partitions)))
        retry_s = _FIRST_RETRY_S
        while True:
            try:
                await self._flush_once()
            except FAILURES as error:
                self._failed(error)
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, _LAST_RETRY_S)
            else:
                if not self._holdings.replays:  # a head that had to be built anew holds what was stored before
                    return
                await self.ready()

    async def drain(self) -> None:
        """What SIGTERM asks for: whoever has the partitions next replays next to nothing."""
        await self.flush()
        await self._ownership.leave()

    async def stop(self) -> None:
        """Ends what reads the log and gives the partitions back; `run` has ended before. What is not stored is in the
        log.
        """
        self._restoring.stop()
        await self._holdings.stop()
        try:
            await self._ownership.stop()
        except FAILURES as error:  # what is not given back ends by itself
            log.warning("not_given_back", error=str(error), kind=type(error).__name__)

    # ---- for others ----

    @property
    def holdings(self) -> Holdings:
        """Which partitions are here, which of them serve, and how far they are."""
        return self._holdings

    @property
    def owned(self) -> Collection[int]:
        """The partitions whose windows it seals."""
        return self._ownership.owned

    @property
    def stored_bytes(self) -> int:
        """Payload of the blocks that it maintains, as its last look at them found it."""
        return self._maintenance.stored_bytes

    def stored_bytes_of(self, uid: bytes) -> int:
        """Likewise, of one instance."""
        return self._maintenance.stored_bytes_of(uid)

    def client(self) -> LocalClient:
        return LocalClient(self._holdings)

    def head(self, number: int) -> Head:
        """After `start`. A rebuilt partition has another one, so do not keep it."""
        return self._holdings.partitions[number].head

    def missing(self) -> str | None:
        """What stands between this process and its job: why not all of its partitions serve."""
        replaying = [f"{number}: {one.part:.0%}" for number, one in sorted(figures.progress(self._holdings).items())]
        stopped = [f"{p.number}: {p.stopped}" for p in self._holdings.live if p.stopped is not None]
        if stopped:
            return f"partitions cannot go on, {'; '.join(stopped)}"
        if replaying:
            eta_s = figures.replay(self._holdings).eta_s
            left = "" if eta_s is None else f", about {eta_s:.0f} s left"
            return f"replaying the log, partition {', '.join(replaying)}{left}"
        if joining := [str(p.number) for p in self._holdings.partitions.values() if p.replaying]:
            return f"joining after the replay, partition {', '.join(joining)}"
        return self._ownership.missing()

    def stats(self) -> Stats:
        """Cheap enough for every scrape."""
        holdings = self._holdings
        failures = holdings.failures
        return Stats(
            partitions=tuple(figures.partition_stats(p) for p in holdings.partitions.values()),
            counters=self._counters,
            replay=figures.replay(holdings),
            replaying=figures.progress(holdings),
            alarms=self._alarms | ({"log": failures[0]} if failures else {}),
            paused=holdings.consumer.paused,
        )

    # ---- the loops, and what they do once ----

    async def own(self) -> None:
        """Once a second: takes, keeps and gives away partitions."""
        await self._ownership.tick()

    async def tick(self) -> None:
        """Once a second: seals and memory."""
        try:
            self._watch_memory()
            await self._sealing.seal_due(self._ownership.owned)
        except FAILURES as error:
            self._failed(error)
        if self._storing.has_work():
            self._work.set()

    async def emit(self) -> None:
        """Once a second: what is due of pushed groups."""
        try:
            await self._emitting.emit(self._ownership.owned)
        except FAILURES as error:
            self._counters.failures += 1
            self._alarms["emission"] = f"pushed groups are not emitted: {error}"
            log.warning("emission_failed", error=str(error), kind=type(error).__name__)
        else:
            self._alarms.pop("emission", None)

    async def maintain(self) -> None:
        """Retention, deleted instances, merging: one look at everything."""
        deleted = await self._registry.deleted_uids()
        await self._purge.forget(deleted)
        maintained = list(self._ownership.maintained)
        await self._maintenance.run(maintained)
        await self._purge.finish(deleted, maintained)

    async def _own_forever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._looks.wait(), _TICK_S)
            self._looks.clear()
            await self.own()

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            await self.tick()

    async def _emit_forever(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            await self.emit()

    async def _store_forever(self) -> None:
        retry_s = _FIRST_RETRY_S
        while True:
            await self._work.wait()
            self._work.clear()
            try:
                await self._storing.store_all()
            except FAILURES as error:
                self._failed(error)
                self._work.set()
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, _LAST_RETRY_S)
            else:
                retry_s = _FIRST_RETRY_S

    async def _maintain_forever(self) -> None:
        pause_s = min(_FIRST_LOOK_S, self._settings.maintain_every_s)
        while True:
            await asyncio.sleep(pause_s)
            pause_s = self._settings.maintain_every_s
            try:
                await self.maintain()
            except FAILURES as error:
                self._failed(error)
            if (next_look_s := self._maintenance.next_look_s) is not None:
                pause_s = min(pause_s, next_look_s + _TICK_S)

    async def _flush_once(self) -> None:
        owned = [partition for partition in self._holdings.live if partition.number in self._ownership.owned]
        await self._holdings.reached(await self._sealing.seal_all(owned))
        await (
            self._storing.store_all()
        )  # first its own turns: another zone that flushes too has its own stored meanwhile
        await self._storing.store_all(at_once=True)

    def _joined(self) -> None:
        """A marker may have been replayed whose generation was never stored; and there is room for the next replay."""
        self._work.set()
        self._looks.set()

    def _watch_memory(self) -> None:
        """Consumption waits only if memory is full and the store takes nothing: what is acknowledged stays in the log
        meanwhile.
        """
        self._holdings.consumer.pause(paused=self._is_full() and "store" in self._alarms)

    def _must_wait(self) -> bool:
        """Whether a replay waits for the store, which can make room. Asked by its thread."""
        return self._is_full() and self._storing.waits()

    def _is_full(self) -> bool:
        return self._holdings.memory_bytes >= self._settings.memory_bytes

    def _failed(self, error: BaseException) -> None:
        self._counters.failures += 1
        self._alarms["store"] = str(error)
        log.warning("ingester_failed", error=str(error), kind=type(error).__name__)
