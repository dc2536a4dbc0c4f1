"""What has left the head is looked for once more in the store, and only then may the log go on without it."""

import structlog

from ingester import cursor
from ingester.partition import Partition, Retained
from ingester.restoring import Restoring
from ingester.settings import IngesterSettings
from ingester.stats import Counters
from shared.clock import Clock
from shared.faults import fault
from shared.seams.store import BlockStore, Directory, Generation, Manifest

log = structlog.get_logger(__name__)

_PATIENCE_S = 20.0
_TRIES = 3
"""So often, and so far apart, is looked for payload that its committer may yet write again."""


class RolledBackError(Exception):
    """The store has lost generations that this ingester no longer keeps: the head must be rebuilt from the log."""


class Verifier:
    def __init__(
        self, store: BlockStore, restoring: Restoring, *, clock: Clock, settings: IngesterSettings, counters: Counters
    ) -> None:
        self._store = store
        self._restoring = restoring
        self._clock = clock
        self._settings = settings
        self._counters = counters

    async def directory(self, partition: Partition) -> Directory:
        """The directory. One older than what was seen before is brought up to date first, if this process can.
        RolledBackError: it cannot.
        """
        directory = await self._store.directory(partition.number)
        partition.replay_from = min(partition.replay_from, directory.replay_from)  # turned back, it is raised again
        if directory.generation >= partition.generation and not any(_lost(directory, r) for r in partition.retained):
            return directory
        for retained in list(partition.retained):
            if lost := _lost(directory, retained):
                if retained.payload is None or any(directory.through.get(g.window, 0) != g.from_offset for g in lost):
                    raise RolledBackError(f"partition {partition.number}, window {lost[0].window}")
                await self._store.put(partition.number, retained.payload)
                await self._store.commit(partition.number, lost)
                self._look_again(partition, retained, self._settings.verify_after_s)
                self._counters.recommits += 1
                directory = await self._store.directory(partition.number)
        for window, boundary in partition.boundaries.items():
            if contained(directory, window, boundary) < boundary:
                raise RolledBackError(f"partition {partition.number}, window {window}")
        partition.generation = directory.generation
        return directory

    async def verify(self, partition: Partition, *, at_once: bool = False) -> bool:
        """Looks for what is due, or with `at_once` for all of it, and sees to what is missing; whether something need
        not be kept any more. RolledBackError, UnavailableError: call again.
        """
        verified = False
        for retained in list(partition.retained):
            if not at_once and retained.due > self._clock.monotonic():
                continue
            directory = await self.directory(partition)
            if retained not in partition.retained:  # it was committed again just now
                continue
            missing = await self._missing(directory, retained)
            if missing and not await self._see_to(partition, retained, missing, at_once=at_once):
                continue
            fault("verify.done")
            partition.retained.remove(retained)
            self._counters.verified += 1
            verified = True
        return verified

    async def _missing(self, directory: Directory, retained: Retained) -> list[Manifest]:
        """The blocks that stand and lack payload. Merged ones are looked for by those who merged them."""
        standing = {manifest.root_key for blocks in directory.manifests.values() for manifest in blocks}
        named = [m for g in retained.generations for m in g.manifests if m.root_key in standing]
        keys = [key for manifest in named for key in manifest.keys]
        there = dict(zip(keys, await self._store.exists(keys), strict=True))
        return [manifest for manifest in named if not all(there[key] for key in manifest.keys)]

    async def _see_to(
        self, partition: Partition, retained: Retained, missing: list[Manifest], *, at_once: bool
    ) -> bool:
        """Whether the payload is there now."""
        windows = sorted({manifest.window for manifest in missing})
        if retained.payload is not None:
            await self._store.put(partition.number, retained.payload)
            self._counters.rewritten += 1
            log.warning("payload_written_again", partition=partition.number, windows=windows)
            if not at_once:
                self._look_again(partition, retained, self._settings.verify_after_s)
            return at_once
        if retained.tries < _TRIES and not at_once:
            self._look_again(partition, retained, _PATIENCE_S)
            return False
        log.warning("payload_is_gone", partition=partition.number, windows=windows)
        for generation in _generations(missing):
            first_offset = max(generation.from_offset, retained.first_offset)
            encoded = await self._restoring.restore(partition.number, generation, first_offset)
            if encoded is not None:
                due = self._clock.monotonic() + self._settings.verify_after_s
                partition.retained.append(Retained(encoded.generations, encoded.payload, encoded.first_offset, due))
                self._counters.restored += 1
        return True

    def _look_again(self, partition: Partition, retained: Retained, after_s: float) -> None:
        place = partition.retained.index(retained)
        partition.retained[place] = retained.later(self._clock.monotonic() + after_s)


def adopted(directory: Directory, *, due: float) -> list[Retained]:
    """What a replay from the cursor would pass over although nobody may have looked for it: the process that stored it
    has not moved the cursor past it.
    """
    fresh = [
        manifest
        for blocks in directory.manifests.values()
        for manifest in blocks
        if manifest.level == 0 and manifest.to_offset > directory.replay_from
    ]
    return [Retained((g,), None, max(g.from_offset, directory.replay_from), due) for g in _generations(fresh)]


def _generations(manifests: list[Manifest]) -> list[Generation]:
    found: dict[tuple[int, int, int], list[Manifest]] = {}
    for manifest in manifests:
        found.setdefault((manifest.window, manifest.from_offset, manifest.to_offset), []).append(manifest)
    return [Generation(*which, tuple(blocks)) for which, blocks in sorted(found.items())]


def _lost(directory: Directory, retained: Retained) -> list[Generation]:
    """What was committed once and is missing now."""
    return [g for g in retained.generations if contained(directory, g.window, g.to_offset) < g.to_offset]


def contained(directory: Directory, window: int, boundary: int) -> int:
    """The first offset of the window that the store does not contain, for a head that handed it over to `boundary`."""
    return cursor.contained(directory.through.get(window), boundary=boundary, replay_from=directory.replay_from)
