"""From sealed generation to stored block: cut, put, commit, release; or compare with what another zone has stored."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from ingester.comparing import Comparison
from ingester.cursor import Step, next_step
from ingester.encode import Encoded, Sealed, encode
from ingester.partition import Partition, Retained
from ingester.settings import IngesterSettings
from ingester.stats import Counters
from ingester.verifying import RolledBackError, Verifier, contained
from shared.clock import Clock
from shared.faults import fault
from shared.native import WindowInfo
from shared.seams.store import BlockStore, Directory, Generation

log = structlog.get_logger(__name__)


class Cutter:
    """Works on one partition at a time, so that one batch of payload at most is in memory.

    `delay_s` tells how long another process is given to store a sealed generation of a partition.
    """

    def __init__(
        self,
        store: BlockStore,
        verifier: Verifier,
        comparison: Comparison,
        *,
        clock: Clock,
        settings: IngesterSettings,
        counters: Counters,
        alarms: dict[str, str],
        delay_s: Callable[[int], float],
    ) -> None:
        self._store = store
        self._verifier = verifier
        self._comparison = comparison
        self._clock = clock
        self._settings = settings
        self._counters = counters
        self._alarms = alarms
        self._delay_s = delay_s

    async def cut(self, partition: Partition, *, at_once: bool = False) -> None:
        """Stores everything that is sealed now; with `at_once` also what is another process's to store.

        RolledBackError, UnavailableError: nothing is lost, call again.
        """
        await self._verifier.directory(partition)  # a store that was turned back is noticed even if nothing is sealed
        while await self._cut_batch(partition, at_once=at_once):
            pass

    async def _cut_batch(self, partition: Partition, *, at_once: bool) -> bool:
        """One commit or comparison; False: nothing is left that could be done now."""
        waiting = sorted((info for info in partition.head.windows() if info.sealed is not None), key=_by_marker)
        if not waiting:
            return False
        fault("cut.begin")
        if partition.unfinished is not None:
            await self._finish(partition, partition.unfinished)
            return True
        directory = await self._verifier.directory(partition)
        batch: dict[int, Sealed] = {}
        passed: set[int] = set()  # the generations of a window follow one another: none overtakes one that waits
        for info in waiting:
            if info.window in passed or len(batch) == self._settings.batch_windows:
                continue
            match self._step(partition, directory, info):
                case Step.DONE:
                    if await self._let_go(partition, directory, info):
                        return True
                case Step.COMMIT if at_once or self._is_our_turn(partition, info):
                    passed.add(info.window)
                    from_offset = directory.through.get(info.window, 0)
                    batch[info.window] = Sealed(info.window, from_offset, info.first_offset, _marker(info))
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
        directory = await self._store.directory(partition.number)
        committed = committed or _holds(directory, encoded)
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
        self._release(partition, directory, [(g.window, g.to_offset) for g in encoded.generations])
        windows, samples = len(encoded.generations), encoded.samples
        log.info("stored", partition=partition.number, windows=windows, samples=samples, bytes=encoded.bytes)

    async def _let_go(self, partition: Partition, directory: Directory, info: WindowInfo) -> bool:
        """Lets go of a generation that somebody else stored, if it is the same one; whether it did."""
        marker = _marker(info)
        if (info.window, marker) in partition.differing:
            return False
        stored = generation_of(directory, info.window, marker)
        if stored is not None:
            if uids := await self._comparison.differing(partition.head, directory, stored):
                partition.differing.add((info.window, marker))
                self._counters.digest_mismatches += 1
                text = f"another zone stored other samples of {len(uids)} instances, the first {uids[0].hex()}"
                self._alarm(partition, info, text)
                return False
            # This zone's position passes, too, only when the payload was found once more.
            due = self._clock.monotonic() + self._settings.verify_after_s
            partition.retained.append(Retained((stored,), None, info.first_offset, due))
            self._counters.compared += 1
        # After a compaction its own manifests are gone; then the comparison was made by those who were there.
        self._release(partition, directory, [(info.window, marker)])
        return True

    def _release(self, partition: Partition, directory: Directory, generations: Sequence[tuple[int, int]]) -> None:
        # Readers learn the new generation before the head lets go: they then read a directory that has these blocks.
        partition.generation = max(partition.generation, directory.generation)
        for window, marker in generations:
            partition.boundaries[window] = marker
            partition.head.release(window, marker)
            partition.waiting_since.pop((window, marker), None)
        fault("cut.released")

    def _step(self, partition: Partition, directory: Directory, info: WindowInfo) -> Step:
        boundary = partition.boundaries.get(info.window, 0)
        return next_step(
            boundary=boundary,
            first_offset=info.first_offset,
            sealed=_marker(info),
            through=contained(directory, info.window, boundary),
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


def generation_of(directory: Directory, window: int, marker: int) -> Generation | None:
    """The generation that ends at the marker, as it was committed; None if nothing of it stands by itself."""
    manifests = tuple(
        m
        for blocks in directory.manifests.values()
        for m in blocks
        if m.level == 0 and m.window == window and m.to_offset == marker
    )
    return Generation(window, manifests[0].from_offset, marker, manifests) if manifests else None


def _holds(directory: Directory, encoded: Encoded) -> bool:
    """Whether the attempt's generations stand in the directory, under this attempt's keys."""
    standing = {manifest.root_key for blocks in directory.manifests.values() for manifest in blocks}
    if not encoded.payload.keys:  # nothing but markers
        return all(directory.through.get(g.window, 0) >= g.to_offset for g in encoded.generations)
    return all(manifest.root_key in standing for g in encoded.generations for manifest in g.manifests)


def _marker(info: WindowInfo) -> int:
    return info.sealed if info.sealed is not None else 0


def _by_marker(info: WindowInfo) -> tuple[int, int]:
    return _marker(info), info.window
