"""The partitions that this process has, from the begin of their replay until they are let go."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import structlog

from ingester.applying import Applier
from ingester.consumer import Consumer
from ingester.partition import Partition
from ingester.replay import Replay
from ingester.settings import IngesterSettings
from ingester.stats import Counters
from ingester.verifying import adopted
from shared.clock import Clock
from shared.errors import InternalError, UnavailableError
from shared.faults import fault
from shared.native import BadDataError, PushBook, Splitter
from shared.seams.log import Log
from shared.seams.registry import Registry
from shared.seams.store import BlockStore, Directory

log = structlog.get_logger(__name__)


class Holdings:
    """Opens partitions, replays them, and hands them to the consumer; answers which of them serve.

    `on_joined` is called when a replay has ended and its partitions serve.
    """

    def __init__(
        self,
        log: Log,
        store: BlockStore,
        registry: Registry,
        applier: Applier,
        *,
        clock: Clock,
        settings: IngesterSettings,
        counters: Counters,
        must_wait: Callable[[], bool],
        on_joined: Callable[[], None],
    ) -> None:
        self._log = log
        self._store = store
        self._registry = registry
        self._splitter: Splitter | None = None
        self._applier = applier
        self._clock = clock
        self._settings = settings
        self._counters = counters
        self._must_wait = must_wait
        self._on_joined = on_joined
        self._partitions: dict[int, Partition] = {}
        self._replays: list[Replay] = []
        self._queued: deque[Replay] = deque()
        self._following: set[asyncio.Task[None]] = set()
        self._waiting: list[tuple[Mapping[int, int], asyncio.Future[None]]] = []
        self.consumer = Consumer(
            log,
            applier,
            on_progress=self._progressed,
            records=settings.read_records,
            timeout_ms=settings.read_timeout_ms,
            linger_s=settings.linger_s,
        )

    # ---- what there is ----

    @property
    def partitions(self) -> Mapping[int, Partition]:
        """By number. A partition that is built anew gets another object, so do not keep one."""
        return MappingProxyType(self._partitions)

    @property
    def live(self) -> list[Partition]:
        """Those that have caught up."""
        return [partition for partition in self._partitions.values() if not partition.replaying]

    @property
    def replays(self) -> Sequence[Replay]:
        """Under way, the first of them, and then those that wait for their turn."""
        return (*self._replays, *self._queued)

    @property
    def replays_under_way(self) -> int:
        """Without those that wait for their turn."""
        return len(self._replays)

    @property
    def memory_bytes(self) -> int:
        """Of all heads. For any thread."""
        return sum(partition.head.memory_bytes for partition in list(self._partitions.values()))

    @property
    def failures(self) -> list[str]:
        """Why the log cannot be read or applied at the moment."""
        return [f for f in (self.consumer.failure, *(replay.failure for replay in self._replays)) if f is not None]

    def serving(self, number: int) -> Partition:
        """UnavailableError: this process has not got the partition, or it cannot answer for it now."""
        partition = self._partitions.get(number)
        if partition is None:
            raise UnavailableError(f"partition {number} is not held by this ingester", retry_after_s=5)
        if partition.replaying:
            raise UnavailableError(
                f"partition {number} is replaying the log; see /ready for its progress", retry_after_s=5
            )
        if partition.stopped is not None:
            raise UnavailableError(f"partition {number} cannot go on: {partition.stopped}", retry_after_s=30)
        return partition

    def lag(self, ends: Mapping[int, int]) -> dict[int, int]:
        """For each partition that has not applied all below its end, how many offsets lie between. One that is not held
        lacks all.
        """
        held = self._partitions
        applied = {number: held[number].applied if number in held else 0 for number in ends}
        return {number: end - applied[number] for number, end in ends.items() if applied[number] < end}

    async def reached(self, ends: Mapping[int, int]) -> None:
        """Returns once in every partition all below its end is applied."""
        if not self.lag(ends):
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append((ends, waiter))
        self.consumer.hurry(wanted=True)
        # The thread tells of its steps from now on; one that came in between is looked for here.
        self._progressed()
        try:
            await waiter
        finally:
            self._waiting = [entry for entry in self._waiting if entry[1] is not waiter]
            self.consumer.hurry(wanted=bool(self._waiting))

    async def settled(self) -> None:
        """Returns when no partition replays."""
        while self._following:
            await asyncio.wait(set(self._following))

    # ---- coming and going ----

    def start(self) -> None:
        self.consumer.start()

    async def stop(self) -> None:
        for replay in self.replays:
            await replay.stop()
        for task in self._following:
            task.cancel()
        await self.consumer.stop()

    async def open(self, numbers: Sequence[int]) -> None:
        """Loads the directories and begins one replay for all of them, as soon as there are not too many under way.
        InternalError: log and store do not belong together. Raises what both raise.
        """
        opened = [await self._load(number, await self._store.directory(number)) for number in numbers]
        ends = await self._log.end_offsets(numbers)
        await self._check_log(opened, ends)
        fault("replay.begin")
        self._replay(opened, ends)

    async def drop(self, number: int) -> None:
        """The partition and its head go; what they hold is in the log."""
        partition = self._partitions.pop(number)
        await self._end(partition)

    async def rebuild(self, number: int) -> None:
        """Makes the head anew from the log, by the directory as it is now. Until then the partition does not serve.
        UnavailableError: the log no longer has what the store lacks.
        """
        directory = await self._store.directory(number)
        first = (await self._log.first_offsets([number]))[number]
        if first > directory.replay_from:
            raise UnavailableError(
                f"the store was rolled back: partition {number} needs the log from {directory.replay_from}, "
                f"it begins at {first}; restore a newer copy of the store"
            )
        old = self._partitions[number]
        fresh = await self._load(number, directory)
        ends = {number: max((await self._log.end_offsets([number]))[number], old.applied)}
        self._replay([fresh], ends)
        await self._end(old)
        self._counters.rebuilds += 1

    async def _load(self, number: int, directory: Directory) -> Partition:
        stored = await self._store.groups(number)
        pushed = PushBook.restore(number, await self._splitter_of(), stored.offset, stored.entries)
        partition = Partition.opened(number, pushed, directory, window_ms=self._settings.window_ms)
        partition.retained = adopted(directory, due=self._clock.monotonic() + self._settings.verify_after_s)
        partition.metadata = await self._store.metadata(number)
        for uid, metadata in partition.metadata.items():
            partition.head.restore_metadata(uid, [(family, *entry) for family, entry in metadata.items()])
        for uid, snapshot in (await self._store.exemplars(number)).items():
            try:
                await asyncio.to_thread(partition.head.restore_exemplars, uid, snapshot)
            except BadDataError as error:  # they are no samples: nothing else hangs on them
                log.warning("exemplars_unreadable", partition=number, uid=uid.hex(), error=str(error))
            partition.exemplars[uid] = partition.head.exemplar_version(uid)
        return partition

    async def _splitter_of(self) -> Splitter:
        """Places what pushed groups emit as distributors place it."""
        if self._splitter is None:
            cluster = await self._registry.cluster()
            self._splitter = Splitter(secret=cluster.hash_secret, partitions=cluster.partitions, cache_bytes=0)
        return self._splitter

    async def _check_log(self, opened: Sequence[Partition], ends: Mapping[int, int]) -> None:
        firsts = await self._log.first_offsets([partition.number for partition in opened])
        for partition in opened:
            contained = max((partition.replay_from, *partition.boundaries.values()))
            end, first = ends[partition.number], firsts[partition.number]
            if contained > end:
                raise InternalError(
                    f"the log ends at offset {end}, but the store contains partition {partition.number} "
                    f"up to {contained}: the log was replaced or cut; restore it, or start with a new data folder"
                )
            # A log that others keep may have lost records: then its reader tells, and goes on behind them.
            if first > partition.replay_from and not self._settings.shared:
                raise InternalError(
                    f"the log begins at offset {first}, but partition {partition.number} needs it "
                    f"from {partition.replay_from}: segment files are missing, or the store is an older copy"
                )

    def _replay(self, opened: Sequence[Partition], ends: Mapping[int, int]) -> None:
        self._partitions.update((partition.number, partition) for partition in opened)
        settings = self._settings
        replay = Replay(
            self._log,
            self._applier,
            opened,
            ends,
            must_wait=self._must_wait,
            records=settings.read_records,
            timeout_ms=settings.read_timeout_ms,
        )
        self._queued.append(replay)
        task = asyncio.create_task(self._follow(replay))
        self._following.add(task)
        task.add_done_callback(self._following.discard)
        self._start_queued()

    def _start_queued(self) -> None:
        while self._queued and len(self._replays) < self._settings.max_replays:
            replay = self._queued.popleft()
            self._replays.append(replay)
            replay.start()

    async def _follow(self, replay: Replay) -> None:
        """From the begin of a replay until its partitions are the consumer's."""
        try:
            came_near = await replay.done
        finally:
            if replay in self._replays:
                self._replays.remove(replay)
            self._start_queued()
        joining = [p for p in replay.partitions if self._partitions.get(p.number) is p]
        if not came_near or not joining:
            return
        await self.consumer.add(joining)
        for partition in joining:
            partition.replaying = False
        log.info(
            "replayed",
            partitions=[partition.number for partition in joining],
            records=max(p.applied - replay.begin[p.number] for p in joining),
            seconds=round(replay.seconds, 3),
        )
        self._progressed()
        self._on_joined()

    async def _end(self, partition: Partition) -> None:
        """Nothing applies to the partition any more."""
        for replay in self.replays:
            if partition in replay.partitions:
                if replay in self._queued:
                    self._queued.remove(replay)
                await replay.stop()
                if others := [p for p in replay.partitions if self._partitions.get(p.number) is p]:
                    self._replay(others, replay.ends)
        await self.consumer.remove(partition)

    def _progressed(self) -> None:
        for ends, waiter in self._waiting:
            if not waiter.done() and not self.lag(ends):
                waiter.set_result(None)
