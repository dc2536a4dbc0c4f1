"""The ingester: replay, consumption, sealing, storing and trimming, in one object."""

import asyncio
import math
import secrets
from collections.abc import Sequence

import structlog

from ingester import sealer
from ingester.ages import Ages
from ingester.client import LocalClient
from ingester.compaction import Maintenance
from ingester.consumer import Consumer
from ingester.cutter import Cutter, RolledBackError
from ingester.partition import Partition
from ingester.settings import IngesterSettings
from ingester.stats import Counters, PartitionStats, Replay, Stats
from shared.clock import Clock
from shared.errors import ConflictError, HeadraceError, InternalError, UnavailableError
from shared.faults import fault
from shared.native import CorruptError, Head, WindowInfo
from shared.seams.log import Log
from shared.seams.membership import Lease, Member, Membership
from shared.seams.registry import Registry
from shared.seams.store import BlockStore, Directory, Metadata

log = structlog.get_logger(__name__)

_TICK_S = 1.0
_ADVANCE_EVERY_S = 60.0
_FIRST_LOOK_S = 60.0  # a server that is restarted often shall still merge and drop
_FIRST_RETRY_S = 0.5
_LAST_RETRY_S = 30.0

# What a store or a log may raise when it is away or damaged: kept for the operator and tried again.
_FAILURES = (HeadraceError, OSError, CorruptError)


class Ingester:
    """Owns the heads of all partitions of the cluster.

    `start`, then `run` as a task of the composition root; `drain` and `stop` at the end. Everything but the consumer's
    thread happens in the event loop that called `start`; what takes long is done in worker threads by those it calls.
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
        self._store = store
        self._registry = registry
        self._membership = membership
        self._clock = clock
        self._settings = settings
        self._counters = Counters()
        self._alarms: dict[str, str] = {}
        self._ages = Ages()
        self._cutter = Cutter(store, clock=clock, settings=settings, counters=self._counters, alarms=self._alarms)
        self._maintenance = Maintenance(store, registry, clock=clock, settings=settings, counters=self._counters)
        self._partitions: dict[int, Partition] = {}
        self._leases: list[Lease] = []
        self._consumer: Consumer | None = None
        self._work = asyncio.Event()
        self._storing = asyncio.Lock()
        self._sealing: dict[tuple[int, int], int] = {}  # (partition, window) -> marker that is on its way
        self._deleted: dict[bytes, dict[int, int]] = {}  # uid -> by partition where the log ended when it was met
        self._is_ready = False
        self._begin: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._started = self._advanced = 0.0
        self._memory_sealed = -math.inf

    # ---- life ----

    async def start(self) -> None:
        """Loads the directories and begins to replay. ConflictError: another process owns a partition here.
        InternalError: log and store do not belong together."""
        cluster = await self._registry.cluster()
        numbers = list(range(cluster.partitions))
        await self._take_leases(numbers)
        for number in numbers:
            self._partitions[number] = await self._open(number, await self._store.directory(number))
        self._ends = await self._log.end_offsets(numbers)
        self._begin = {p.number: p.replay_from for p in self._partitions.values()}
        await self._check_log()
        fault("replay.begin")
        self._started = self._advanced = self._clock.monotonic()
        self._consumer = Consumer(
            self._log,
            {number: partition.head for number, partition in self._partitions.items()},
            self._begin,
            ages=self._ages,
            on_seal=self._work.set,
            records=self._settings.read_records,
            timeout_ms=self._settings.read_timeout_ms,
        )
        self._consumer.start()

    async def run(self) -> None:
        """Until it is cancelled."""
        await self.ready()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tick(), name="ingester-tick")
            tasks.create_task(self._store_forever(), name="ingester-store")
            tasks.create_task(self._maintain(), name="ingester-maintain")

    async def ready(self) -> None:
        """Returns when what the log held at the start is applied."""
        await self._consuming.reached(self._ends)
        if self._is_ready:
            return
        self._is_ready = True
        records = max(self._ends.values()) - min(self._begin.values())
        log.info("replayed", records=records, seconds=round(self._clock.monotonic() - self._started, 3))
        for partition in self._partitions.values():
            partition.replaying = False
        self._work.set()  # a marker may have been replayed whose generation was never stored

    async def flush(self) -> None:
        """Returns when the store has everything acknowledged before the call, verified, and the log is trimmed.

        Failures are tried again for as long as it takes: the caller sets the deadline.
        """
        await self.ready()
        await self._consuming.reached(await self._log.end_offsets(list(self._partitions)))
        retry_s = _FIRST_RETRY_S
        markers: dict[int, int] = {}
        while True:
            try:
                for partition in self._partitions.values():
                    windows = [info.window for info in partition.head.windows() if info.sealed is None]
                    markers[partition.number] = 1 + await self._seal(partition.number, windows)
                await self._consuming.reached(markers)
                await self._store_all(at_once=True)
            except _FAILURES as error:
                self._failed(error)
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, _LAST_RETRY_S)
            else:
                return

    async def drain(self) -> None:
        """What SIGTERM asks for, after the last write was acknowledged: the next start replays nothing."""
        await self.flush()

    async def stop(self) -> None:
        """Ends the consumer and gives the partitions back; `run` has ended before. What is not stored is in the log."""
        if self._consumer is not None:
            await self._consumer.stop()
        for lease in self._leases:
            await self._membership.release(lease)

    # ---- for others ----

    def client(self) -> LocalClient:
        """After `start`."""
        return LocalClient(self._partitions, self._consuming)

    def stats(self) -> Stats:
        """Cheap enough for every scrape."""
        alarms = dict(self._alarms)
        if self._consumer is not None and self._consumer.failure is not None:
            alarms["log"] = self._consumer.failure
        return Stats(
            partitions=tuple(self._partition_stats(p) for p in self._partitions.values()),
            counters=self._counters,
            replay=self._progress(),
            alarms=alarms,
            paused=self._consumer is not None and self._consumer.paused,
        )

    def head(self, number: int) -> Head:
        """After `start`. A rebuilt partition has another one, so do not keep it."""
        return self._partitions[number].head

    # ---- start ----

    async def _take_leases(self, numbers: Sequence[int]) -> None:
        settings = self._settings
        member = Member(settings.owner, settings.zone, secrets.token_hex(16), address="")
        for number in numbers:
            lease = await self._membership.acquire(number, member=member, ttl_ms=settings.lease_ms)
            if lease is None:
                holders = {
                    held.owner for held in await self._membership.leases(settings.zone) if held.partition == number
                }
                raise ConflictError(
                    f"partition {number} of zone {settings.zone} is held by {', '.join(sorted(holders))}: stop it first"
                )
            self._leases.append(lease)

    async def _open(self, number: int, directory: Directory) -> Partition:
        partition = Partition.opened(number, directory, window_ms=self._settings.window_ms)
        partition.metadata = await self._store.metadata(number)
        for uid, metadata in partition.metadata.items():
            partition.head.restore_metadata(uid, [(family, *entry) for family, entry in metadata.items()])
        return partition

    async def _check_log(self) -> None:
        firsts = await self._log.first_offsets(list(self._partitions))
        for partition in self._partitions.values():
            contained = max((partition.replay_from, *partition.boundaries.values()))
            end, first = self._ends[partition.number], firsts[partition.number]
            if contained > end:
                raise InternalError(
                    f"the log ends at offset {end}, but the store contains partition {partition.number} "
                    f"up to {contained}: the log was replaced or cut; restore it, or start with a new data folder"
                )
            if first > partition.replay_from:
                raise InternalError(
                    f"the log begins at offset {first}, but partition {partition.number} needs it "
                    f"from {partition.replay_from}: segment files are missing, or the store is an older copy"
                )

    # ---- sealing ----

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            try:
                await self._renew_leases()
                await self._seal_due()
                self._watch_memory()
            except _FAILURES as error:
                self._failed(error)
            if self._has_work():
                self._work.set()

    def _has_work(self) -> bool:
        """Whether something waits to be stored, to be verified, or to leave the log."""
        now = self._clock.monotonic()
        return now - self._advanced >= _ADVANCE_EVERY_S or any(
            (p.retained and p.retained[0].due <= now) or any(info.sealed is not None for info in p.head.windows())
            for p in self._partitions.values()
        )

    async def _seal_due(self) -> None:
        now_ms = self._clock.now_ms()
        held = [(number, info) for number, p in self._partitions.items() for info in p.head.windows()]
        chosen: dict[int, set[int]] = {}
        for number in self._partitions:
            own = [info for partition, info in held if partition == number]
            if windows := sealer.due(
                number, own, now_ms, accepted_ms=lambda offset: self._ages.at(offset, now_ms), settings=self._settings
            ):
                chosen.setdefault(number, set()).update(windows)
        for number, windows in self._choose_for_memory(held).items():
            chosen.setdefault(number, set()).update(windows)
        for number, choice in chosen.items():
            await self._seal(number, sorted(choice))

    def _choose_for_memory(self, held: Sequence[tuple[int, WindowInfo]]) -> dict[int, list[int]]:
        """partition -> windows to seal early.

        Not every second: where memory goes to series more than to samples, it would only make many small blocks.
        """
        settings, now = self._settings, self._clock.monotonic()
        memory_bytes = self._memory_bytes()
        excess_bytes = memory_bytes - int(settings.memory_bytes * settings.seal_above)
        if excess_bytes <= 0 or now - self._memory_sealed < settings.memory_seal_every_s:
            return {}
        min_bytes = settings.min_seal_bytes if memory_bytes < settings.memory_bytes else 1
        chosen = sealer.largest(held, excess_bytes, min_bytes=min_bytes)
        if chosen:
            self._memory_sealed = now
        return chosen

    async def _seal(self, number: int, windows: Sequence[int]) -> int:
        """Appends a marker for those of the windows for which none is on its way; the highest offset to wait for."""
        applied = self._consuming.applied
        self._sealing = {key: marker for key, marker in self._sealing.items() if marker >= applied[key[0]]}
        fresh = [window for window in windows if (number, window) not in self._sealing]
        if fresh:
            marker = await self._log.append_seal(number, fresh)
            self._counters.seals += len(fresh)
            self._sealing.update({(number, window): marker for window in fresh})
        return max((self._sealing.get((number, window), -1) for window in windows), default=-1)

    def _watch_memory(self) -> None:
        """Consumption waits only if memory is full and the store takes nothing: what is acknowledged stays in the log
        meanwhile.
        """
        self._consuming.pause(paused=self._memory_bytes() >= self._settings.memory_bytes and "store" in self._alarms)

    def _memory_bytes(self) -> int:
        return sum(p.head.memory_bytes for p in self._partitions.values())

    async def _renew_leases(self) -> None:
        for index, lease in enumerate(self._leases):
            if lease.expires_ms - self._clock.now_ms() > self._settings.lease_ms // 2:
                continue
            renewed = await self._membership.renew(lease, ttl_ms=self._settings.lease_ms)
            if renewed is None:
                raise ConflictError(f"partition {lease.partition} of zone {lease.zone} was taken by another process")
            self._leases[index] = renewed

    # ---- storing ----

    async def _store_forever(self) -> None:
        retry_s = _FIRST_RETRY_S
        while True:
            await self._work.wait()
            self._work.clear()
            try:
                await self._store_all()
            except _FAILURES as error:
                self._failed(error)
                self._work.set()
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, _LAST_RETRY_S)
            else:
                retry_s = _FIRST_RETRY_S

    async def _store_all(self, *, at_once: bool = False) -> None:
        """Everything sealed is stored; what is due, or with `at_once` all of it, is verified and leaves the log."""
        async with self._storing:
            verified = False
            for partition in self._partitions.values():
                try:
                    await self._cutter.cut(partition)
                    verified |= await self._cutter.verify(partition, at_once=at_once)
                except RolledBackError as error:
                    self._alarms["rolled back"] = f"the store was rolled back: {error}"
                    log.warning("store_rolled_back", partition=partition.number, detail=str(error))
                    await self._rebuild(partition)
                    await self._cutter.cut(partition)
                    verified |= await self._cutter.verify(partition, at_once=at_once)
            due = self._clock.monotonic() - self._advanced >= _ADVANCE_EVERY_S
            # The zone that only follows leaves the cursor to the one that commits, unless it has committed something
            # itself.
            if verified or ((at_once or due) and self._settings.takeover_s <= 0):
                await self._advance()
            self._alarms.pop("store", None)

    async def _advance(self) -> None:
        """Moves every partition's cursor and trims the log below the lowest."""
        self._advanced = self._clock.monotonic()
        uids = [instance.uid for instance in await self._registry.instances()]
        for partition in self._partitions.values():
            target = partition.target(self._consuming.applied[partition.number])
            await self._store_metadata(partition, uids)
            if target > partition.replay_from:
                await self._store.advance(partition.number, target)
                partition.replay_from = target
        fault("advance.done")
        await self._log.trim({p.number: p.replay_from for p in self._partitions.values()})
        self._ages.forget(min(p.replay_from for p in self._partitions.values()))
        fault("trim.done")

    async def _store_metadata(self, partition: Partition, uids: Sequence[bytes]) -> None:
        """Types and helps leave the log with the samples they came with, so they are stored before the cursor moves."""
        changed: dict[bytes, Metadata] = {}
        for uid in uids:
            held: Metadata = {family: (kind, text, unit) for family, kind, text, unit in partition.head.metadata(uid)}
            if held and held != partition.metadata.get(uid):
                changed[uid] = held
        if changed:
            await self._store.put_metadata(partition.number, changed)
            partition.metadata.update(changed)

    async def _rebuild(self, partition: Partition) -> None:
        """Makes the head anew from the log, by the directory as it is now."""
        directory = await self._store.directory(partition.number)
        first = (await self._log.first_offsets([partition.number]))[partition.number]
        if first > directory.replay_from:
            raise UnavailableError(
                f"the store was rolled back: partition {partition.number} needs the log from {directory.replay_from}, "
                f"it begins at {first}; restore a newer copy of the store"
            )
        partition.replaying = True
        fresh = await self._open(partition.number, directory)
        await self._consuming.rebuild(partition.number, fresh.head, directory.replay_from)
        partition.head, partition.boundaries, partition.metadata = fresh.head, fresh.boundaries, fresh.metadata
        partition.generation, partition.replay_from = directory.generation, directory.replay_from
        partition.retained.clear()
        partition.replaying = False
        self._counters.rebuilds += 1
        self._alarms.pop("rolled back", None)

    def _failed(self, error: BaseException) -> None:
        self._counters.failures += 1
        self._alarms["store"] = str(error)
        log.warning("ingester_failed", error=str(error), kind=type(error).__name__)

    # ---- maintenance ----

    async def _maintain(self) -> None:
        pause_s = min(_FIRST_LOOK_S, self._settings.maintain_every_s)
        while True:
            await asyncio.sleep(pause_s)
            pause_s = self._settings.maintain_every_s
            try:
                await self.maintain()
            except _FAILURES as error:
                self._failed(error)

    async def maintain(self) -> None:
        """Retention, deleted instances, merging: one look at everything."""
        deleted = await self._registry.deleted_uids()
        for uid in deleted:
            if uid not in self._deleted:
                self._deleted[uid] = await self._log.end_offsets(list(self._partitions))
            for partition in self._partitions.values():
                partition.head.forget(uid)
        await self._maintenance.run(list(self._partitions))
        for uid in deleted:
            await self._purge(uid)

    async def _purge(self, uid: bytes) -> None:
        """Forgets a deleted instance for good once no directory names it and no replay can bring it back."""
        for partition in self._partitions.values():
            if partition.metadata.pop(uid, None) is not None:
                await self._store.put_metadata(partition.number, {uid: {}})
        is_past = all(p.replay_from >= self._deleted[uid][p.number] for p in self._partitions.values())
        directories = [await self._store.directory(number) for number in self._partitions]
        if is_past and all(uid not in directory.manifests for directory in directories):
            await self._registry.purged(uid)
            del self._deleted[uid]

    # ---- figures ----

    @property
    def _consuming(self) -> Consumer:
        if self._consumer is None:
            raise InternalError("the ingester was not started")
        return self._consumer

    def _partition_stats(self, partition: Partition) -> PartitionStats:
        head = partition.head
        return PartitionStats(
            number=partition.number,
            applied=self._consumer.applied[partition.number] if self._consumer else partition.replay_from,
            replay_from=partition.replay_from,
            generation=partition.generation,
            series=head.series,
            samples=head.samples,
            memory_bytes=head.memory_bytes,
            conflicts=head.conflicts,
            sealed_windows=sum(info.sealed is not None for info in head.windows()),
        )

    def _progress(self) -> Replay:
        elapsed_s = max(self._clock.monotonic() - self._started, 1e-9)
        begin, end = min(self._begin.values(), default=0), max(self._ends.values(), default=0)
        applied = min(self._consumer.applied.values()) if self._consumer else begin
        done, left = applied - begin, max(end - applied, 0)
        return Replay(
            begin=begin,
            offset=min(applied, end),
            end=end,
            eta_s=left * elapsed_s / done if done > 0 else None,
        )
