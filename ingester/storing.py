"""From the heads into the store, and out of the log: one round over all partitions at a time."""

import asyncio

import structlog

from ingester.applying import Incidents
from ingester.cutter import Cutter
from ingester.holdings import Holdings
from ingester.partition import Partition
from ingester.settings import IngesterSettings
from ingester.verifying import RolledBackError, Verifier
from shared.clock import Clock
from shared.errors import HeadraceError
from shared.faults import fault
from shared.native import CorruptError
from shared.seams.log import Log
from shared.seams.registry import Registry
from shared.seams.store import BlockStore, Metadata

log = structlog.get_logger(__name__)

FAILURES = (HeadraceError, OSError, CorruptError)
"""What a store or a log may raise when it is away or damaged: kept for the operator and tried again."""

_ADVANCE_EVERY_S = 60.0


class Storing:
    """Cuts, commits, verifies, and moves the cursors."""

    def __init__(
        self,
        log: Log,
        store: BlockStore,
        registry: Registry,
        holdings: Holdings,
        cutter: Cutter,
        verifier: Verifier,
        incidents: Incidents,
        *,
        clock: Clock,
        settings: IngesterSettings,
        alarms: dict[str, str],
    ) -> None:
        self._log = log
        self._store = store
        self._registry = registry
        self._holdings = holdings
        self._cutter = cutter
        self._verifier = verifier
        self._incidents = incidents
        self._clock = clock
        self._settings = settings
        self._alarms = alarms
        self._one_at_a_time = asyncio.Lock()
        self._advanced = clock.monotonic()

    def has_work(self) -> bool:
        """Whether something waits to be stored, to be verified, or to leave the log."""
        now = self._clock.monotonic()
        return now - self._advanced >= _ADVANCE_EVERY_S or any(
            any(r.due <= now for r in p.retained) or any(info.sealed is not None for info in p.head.windows())
            for p in self._holdings.partitions.values()
        )

    def waits(self) -> bool:
        """Whether something sealed is still in memory. For any thread."""
        held = list(self._holdings.partitions.values())
        return any(info.sealed is not None for partition in held for info in partition.head.windows())

    async def store_all(self, *, at_once: bool = False) -> None:
        """Everything sealed is stored; what is due, or with `at_once` all of it, is verified and leaves the log.

        Raises the first failure, after all partitions have had their turn.
        """
        async with self._one_at_a_time:
            await self._incidents.keep()
            verified = False
            failure: Exception | None = None
            self._forget_payload()
            for partition in list(self._holdings.partitions.values()):
                try:
                    verified |= await self._store_one(partition, at_once=at_once)
                except FAILURES as error:
                    failure = failure or error
            if failure is not None:
                raise failure
            if verified or at_once or self._clock.monotonic() - self._advanced >= _ADVANCE_EVERY_S:
                await self._advance()
            self._alarms.pop("store", None)

    async def _store_one(self, partition: Partition, *, at_once: bool) -> bool:
        """Whether something was verified."""
        kind = f"rolled back/{partition.number}"
        try:
            await self._cutter.cut(partition, at_once=at_once)
            verified = await self._verifier.verify(partition, at_once=at_once)
        except RolledBackError as error:
            self._alarms[kind] = f"the store was rolled back: {error}"
            log.warning("store_rolled_back", partition=partition.number, detail=str(error))
            await self._holdings.rebuild(partition.number)
            return False
        if not partition.replaying:
            self._alarms.pop(kind, None)
        return verified

    def _forget_payload(self) -> None:
        """What is kept until it is verified is bounded: beyond that the log alone has what the store may lose."""
        kept = [(p, r) for p in self._holdings.partitions.values() for r in p.retained if r.payload is not None]
        held_bytes = sum(retained.bytes for _, retained in kept)
        for partition, retained in sorted(kept, key=lambda entry: entry[1].due):
            if held_bytes <= self._settings.retained_bytes:
                break
            partition.retained[partition.retained.index(retained)] = retained.without_payload()
            held_bytes -= retained.bytes

    async def _advance(self) -> None:
        """Moves every partition's cursor and trims the log below the lowest."""
        self._advanced = self._clock.monotonic()
        uids = [instance.uid for instance in await self._registry.instances()]
        for partition in self._holdings.live:
            target = partition.target()
            await self._store_metadata(partition, uids)
            await self._store_groups(partition)
            await self._store_exemplars(partition, uids)
            if target > partition.replay_from:
                await self._store.advance(partition.number, target)
                partition.replay_from = target
            partition.ages.forget(partition.replay_from)
        fault("advance.done")
        await self._log.trim({p.number: p.replay_from for p in self._holdings.partitions.values()})
        fault("trim.done")

    async def _store_groups(self, partition: Partition) -> None:
        """Pushed groups likewise: as they are after at least all that the cursor passes."""
        changes = await asyncio.to_thread(partition.pushed.changes)
        if changes is None:
            return
        since, offset, entries = changes
        stored = await self._store.put_groups(partition.number, since, offset, entries)
        if stored < since:
            await self._replace_groups(partition)
        else:
            partition.pushed.stored(offset)

    async def _replace_groups(self, partition: Partition) -> None:
        """All of them, in a store that was turned back."""
        before = await self._store.groups(partition.number)
        offset, every = await asyncio.to_thread(partition.pushed.everything)
        kept = {key for key, _ in every}
        gone = [(key, None) for key, _ in before.entries if key not in kept]
        if await self._store.put_groups(partition.number, before.offset, offset, [*every, *gone]) >= offset:
            partition.pushed.stored(offset)
            log.warning("groups_stored_again", partition=partition.number, groups=len(every))

    async def _store_metadata(self, partition: Partition, uids: list[bytes]) -> None:
        """Types and helps leave the log with the samples they came with, so they are stored before the cursor moves.

        Another zone may have come further than this one: what it has stored contains all of this.
        """
        applied = partition.applied  # read first: what is applied meanwhile may be in it
        changed: dict[bytes, Metadata] = {}
        for uid in uids:
            held: Metadata = {family: (kind, text, unit) for family, kind, text, unit in partition.head.metadata(uid)}
            if held and held != partition.metadata.get(uid):
                changed[uid] = held
        if changed:
            later = await self._store.put_metadata(partition.number, applied, changed)
            partition.metadata.update((uid, held) for uid, held in changed.items() if uid not in later)

    async def _store_exemplars(self, partition: Partition, uids: list[bytes]) -> None:
        """They leave the log, too: the store gets all that the head holds of an instance that has new ones. As with
        metadata, what another zone has stored as of a later offset contains them.
        """
        for uid in uids:
            applied = partition.applied
            version = partition.head.exemplar_version(uid)
            if version > partition.exemplars.get(uid, 0):
                snapshot = await asyncio.to_thread(partition.head.exemplar_snapshot, uid)
                if not await self._store.put_exemplars(partition.number, applied, {uid: snapshot}):
                    partition.exemplars[uid] = version
