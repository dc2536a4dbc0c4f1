"""From sealed generation to stored block: cut, put, commit, release; verified later, and only then forgotten."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

import structlog

from ingester.cursor import Step, contained, next_step
from ingester.encode import Encoded, Sealed, differing, encode
from ingester.partition import Partition, Retained
from ingester.settings import IngesterSettings
from ingester.stats import Counters
from shared.clock import Clock
from shared.faults import fault
from shared.native import WindowInfo
from shared.seams.store import BlockStore, Directory, Generation

log = structlog.get_logger(__name__)


class RolledBackError(Exception):
    """The store has lost generations that this ingester no longer keeps: the head must be rebuilt from the log."""


class Cutter:
    """Works on one partition at a time, so that one batch of payload at most is in memory."""

    def __init__(
        self,
        store: BlockStore,
        *,
        clock: Clock,
        settings: IngesterSettings,
        counters: Counters,
        alarms: dict[str, str],
        delay_s: Callable[[int], float],
    ) -> None:
        """`delay_s`: how long another process is given to store a sealed generation of a partition."""
        self._store = store
        self._clock = clock
        self._settings = settings
        self._counters = counters
        self._alarms = alarms
        self._delay_s = delay_s

    async def cut(self, partition: Partition) -> None:
        """Stores everything that is sealed now. RolledBackError, UnavailableError: nothing is lost, call again."""
        await self._directory(partition)  # a store that was turned back is noticed even if nothing is sealed
        while await self._cut_batch(partition):
            pass

    async def verify(self, partition: Partition, *, at_once: bool = False) -> bool:
        """Looks for payload whose time has come and writes what is missing; whether something was let go."""
        released = False
        while partition.retained and (at_once or partition.retained[0].due <= self._clock.monotonic()):
            retained = partition.retained[0]
            await self._directory(partition)
            await self._repair(partition, retained)
            fault("verify.done")
            partition.retained.popleft()
            self._counters.verified += 1
            released = True
        return released

    async def _cut_batch(self, partition: Partition) -> bool:
        """One commit; False: nothing is left that could be stored now."""
        waiting = sorted((info for info in partition.head.windows() if info.sealed is not None), key=_by_marker)
        if not waiting:
            return False
        fault("cut.begin")
        if partition.unfinished is not None:
            await self._finish(partition, partition.unfinished)
            return True
        directory = await self._directory(partition)
        batch: dict[int, Sealed] = {}
        passed: set[int] = set()  # the generations of a window follow one another: none overtakes one that waits
        for info in waiting:
            if info.window in passed or len(batch) == self._settings.batch_windows:
                continue
            match self._step(partition, directory, info):
                case Step.DONE:
                    if await self._compare(partition, directory, info):
                        return True
                case Step.COMMIT if self._is_our_turn(partition, info):
                    passed.add(info.window)
                    batch[info.window] = Sealed(
                        info.window, directory.through.get(info.window, 0), info.first_offset, _marker(info)
                    )
                case Step.COMMIT:
                    passed.add(info.window)
                case Step.ROLLED_BACK:
                    raise RolledBackError(f"partition {partition.number}, window {info.window}")
                case Step.DIVERGED:
                    passed.add(info.window)
                    self._alarm(
                        partition, info, f"the store ends inside it, at offset {directory.through[info.window]}"
                    )
        if batch:
            await self._store_batch(partition, list(batch.values()))
        return bool(batch)

    async def _store_batch(self, partition: Partition, sealed: Sequence[Sealed]) -> None:
        encoded = await asyncio.to_thread(encode, partition.head, sealed, batch_bytes=self._settings.batch_bytes)
        self._counters.cuts += len(encoded.generations)
        fault("cut.encoded")
        partition.unfinished = encoded
        await self._finish(partition, encoded)

    async def _finish(self, partition: Partition, encoded: Encoded) -> None:
        """Writes and commits an attempt, the first time or again after a failure.

        Nothing is removed while the outcome of a commit is unknown: a compare-and-set may still arrive. One that
        returns False never will, and then the directory tells whose generation stands.
        """
        if not all(await self._store.exists(encoded.payload.keys)):
            await self._store.put(partition.number, encoded.payload)
        fault("cut.put")
        committed = await self._store.commit(partition.number, encoded.generations)
        committed = committed or _holds(await self._store.directory(partition.number), encoded)
        partition.unfinished = None
        if not committed:
            await self._store.delete(partition.number, encoded.payload.keys)
            self._counters.lost_races += 1
            return
        fault("cut.committed")
        due = self._clock.monotonic() + self._settings.verify_after_s
        partition.retained.append(Retained(encoded.generations, encoded.payload, encoded.first_offset, due))
        self._counters.commits += 1
        self._counters.cut_samples += encoded.samples
        self._counters.cut_bytes += encoded.bytes
        await self._release(partition, [(g.window, g.to_offset) for g in encoded.generations])
        windows, samples = len(encoded.generations), encoded.samples
        log.info("stored", partition=partition.number, windows=windows, samples=samples, bytes=encoded.bytes)

    async def _compare(self, partition: Partition, directory: Directory, info: WindowInfo) -> bool:
        """Lets go of a generation that somebody else stored, if it is the same one; whether it did."""
        marker = _marker(info)
        if (info.window, marker) in partition.differing:
            return False
        stored = [
            m
            for blocks in directory.manifests.values()
            for m in blocks
            if m.window == info.window and m.to_offset == marker
        ]
        # After a compaction its own manifests are gone; then the comparison was made by those who were there.
        if stored and all(m.level == 0 for m in stored):
            own = await asyncio.to_thread(partition.head.cut, info.window, marker)
            if uids := differing(own, stored):
                partition.differing.add((info.window, marker))
                self._counters.digest_mismatches += 1
                self._alarm(
                    partition,
                    info,
                    f"another zone stored other samples of {len(uids)} instances, the first {uids[0].hex()}",
                )
                return False
        await self._release(partition, [(info.window, marker)])
        return True

    async def _release(self, partition: Partition, generations: Sequence[tuple[int, int]]) -> None:
        # Readers learn the new generation before the head lets go: they then read a directory that has these blocks.
        partition.generation = (await self._store.directory(partition.number)).generation
        for window, marker in generations:
            partition.boundaries[window] = marker
            partition.head.release(window, marker)
            partition.waiting_since.pop((window, marker), None)
        fault("cut.released")

    async def _directory(self, partition: Partition) -> Directory:
        """The directory. One older than what was seen before is brought up to date first, if this process can."""
        directory = await self._store.directory(partition.number)
        partition.replay_from = min(partition.replay_from, directory.replay_from)  # turned back, it is raised again
        if directory.generation >= partition.generation and not _lost(directory, partition.retained):
            return directory
        for retained in partition.retained:
            if lost := _lost(directory, [retained]):
                if any(directory.through.get(g.window, 0) != g.from_offset for g in lost):
                    raise RolledBackError(f"partition {partition.number}, window {lost[0].window}")
                await self._store.put(partition.number, retained.payload)
                await self._store.commit(partition.number, lost)
                self._counters.recommits += 1
                directory = await self._store.directory(partition.number)
        for window, boundary in partition.boundaries.items():
            if _contained(directory, window, boundary) < boundary:
                raise RolledBackError(f"partition {partition.number}, window {window}")
        partition.generation = directory.generation
        return directory

    async def _repair(self, partition: Partition, retained: Retained) -> None:
        if not all(await self._store.exists(retained.payload.keys)):
            await self._store.put(partition.number, retained.payload)
            self._counters.rewritten += 1
            log.warning("payload_written_again", windows=[g.window for g in retained.generations])

    def _step(self, partition: Partition, directory: Directory, info: WindowInfo) -> Step:
        boundary = partition.boundaries.get(info.window, 0)
        return next_step(
            boundary=boundary,
            first_offset=info.first_offset,
            sealed=_marker(info),
            through=_contained(directory, info.window, boundary),
        )

    def _is_our_turn(self, partition: Partition, info: WindowInfo) -> bool:
        """Whether those who were to store the generation have had their time."""
        now = self._clock.monotonic()
        seen = partition.waiting_since.setdefault((info.window, _marker(info)), now)
        return now - seen >= self._delay_s(partition.number)

    def _alarm(self, partition: Partition, info: WindowInfo, text: str) -> None:
        message = f"the generation of window {info.window} that ends at {info.sealed} cannot be handed over: {text}"
        kind = f"generation/{partition.number}"
        if self._alarms.get(kind) != message:
            log.error("generation_kept", partition=partition.number, detail=message)
        self._alarms[kind] = message


def _holds(directory: Directory, encoded: Encoded) -> bool:
    """Whether the attempt's generations stand in the directory, under this attempt's keys."""
    standing = {manifest.root_key for blocks in directory.manifests.values() for manifest in blocks}
    if not encoded.payload.keys:  # nothing but markers
        return all(directory.through.get(g.window, 0) >= g.to_offset for g in encoded.generations)
    return all(manifest.root_key in standing for g in encoded.generations for manifest in g.manifests)


def _lost(directory: Directory, retained: Iterable[Retained]) -> list[Generation]:
    """What was committed once and is missing now."""
    every = [generation for r in retained for generation in r.generations]
    return [g for g in every if _contained(directory, g.window, g.to_offset) < g.to_offset]


def _contained(directory: Directory, window: int, boundary: int) -> int:
    return contained(directory.through.get(window), boundary=boundary, replay_from=directory.replay_from)


def _marker(info: WindowInfo) -> int:
    return info.sealed if info.sealed is not None else 0


def _by_marker(info: WindowInfo) -> tuple[int, int]:
    return _marker(info), info.window
