"""What the engine reads from: the heads of the ingesters and the blocks of the store, as one."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from querier.cache import BlockCache
from querier.directories import Directories
from querier.freshness import Freshness
from querier.reading import Folds, Reading, Sources
from shared.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shared.clock import Clock
    from shared.model.instance import Instance
    from shared.seams.ingester_client import IngesterClient
    from shared.seams.log import Log
    from shared.seams.store import BlockStore, Directory

_EVER_MS = -(1 << 63)  # before every time there is


class Consistency(Enum):
    """`X-Read-Consistency`."""

    DEFAULT = "default"  # wait, then answer with a warning
    STRONG = "strong"  # wait, then fail
    EVENTUAL = "eventual"  # do not wait


class Storage:
    """Opens the readings of a querier, which share its caches."""

    def __init__(
        self,
        *,
        log: Log,
        store: BlockStore,
        client: IngesterClient,
        partitions_of: Callable[[bytes, int], Sequence[int]],
        clock: Clock,
        wait_s: float = 2.0,
        retention_s: int | None = None,
        cache_bytes: int = 256 << 20,
        look_up: Callable[[int], Directory | None] | None = None,
    ) -> None:
        """`wait_s`: how long a read waits for what was acknowledged before it. `retention_s`: that of instances which
        have none of their own; None: everything is kept. `look_up`: a partition's present directory, where the store is
        in this process; its files are in the kernel's cache as well, so that pages take but a quarter. `cache_bytes`:
        of roots and pages that are kept.
        """
        self._log = log
        self._client = client
        self._partitions_of = partitions_of
        self._clock = clock
        self._wait_s = wait_s
        self._retention_s = retention_s
        self.cache = BlockCache(cache_bytes, max_page_bytes=cache_bytes if look_up is None else cache_bytes // 4)
        self._sources = Sources(store, Directories(store, look_up), self.cache, client, client)

    async def read(
        self,
        instance: Instance,
        consistency: Consistency = Consistency.DEFAULT,
        *,
        is_partial: bool = False,
        pushes_down: bool = True,
    ) -> Reading:
        """What it finds contains every sample acknowledged before the call; heads are waited for, for `wait_s` at most,
        here or when they are first asked.

        UnavailableError, here or there: the wait was in vain and `consistency` is strong. `is_partial`: what nobody can
        answer for may be missing. `pushes_down`: whether ingesters may aggregate.
        """
        warnings: list[str] = []
        numbers = self._partitions_of(instance.uid, instance.shards)
        return Reading(
            self._sources,
            instance.uid,
            await self._freshness(numbers, consistency, warnings),
            oldest_ms=self._oldest_ms(instance),
            warnings=warnings,
            is_partial=is_partial,
            folds=_folds(instance, pushes_down=pushes_down),
        )

    async def pushed(
        self,
        instance: Instance,
        partitions: Sequence[int],
        consistency: Consistency,
        *,
        is_partial: bool,
        as_families: bool = False,
    ) -> tuple[list[bytes], list[str]]:
        """The pushed groups of an instance, as pieces, and warnings. UnavailableError as of `read`, and for
        partitions that nobody can answer for.
        """
        warnings: list[str] = []
        freshness = await self._freshness(partitions, consistency, warnings)
        ends = await freshness.settle()
        pushed = await self._client.pushed(instance.uid, ends, self._clock.now_ms(), as_families=as_families)
        if pushed.missing:
            why = "; ".join(why for _, why in sorted(pushed.missing.items()))
            if not is_partial:
                raise UnavailableError(f"not all pushed groups can be read: {why}", retry_after_s=5)
            warnings.append(f"some pushed groups are missing: {why}")
        return pushed.groups, warnings

    async def _freshness(self, numbers: Sequence[int], consistency: Consistency, warnings: list[str]) -> Freshness:
        """Where waiting costs no call it is done here."""
        is_eventual = consistency is Consistency.EVENTUAL
        freshness = Freshness(
            self._client,
            dict.fromkeys(numbers, 0) if is_eventual else await self._log.end_offsets(numbers),
            wait_s=self._wait_s,
            is_strong=consistency is Consistency.STRONG,
            warnings=warnings,
        )
        if not self._client.waits_itself:
            await freshness.settle()
        return freshness

    def _oldest_ms(self, instance: Instance) -> int:
        """Blocks go when all of their samples are too old; an answer must not depend on when that happens."""
        own = instance.limits.retention_s
        retention_s = self._retention_s if own is None else own
        return _EVER_MS if retention_s is None else self._clock.now_ms() - retention_s * 1000


def _folds(instance: Instance, *, pushes_down: bool) -> Folds:
    """An instance that was given more partitions may have older samples of a series in another one than newer ones."""
    if instance.has_grown:
        return Folds.NONE
    return Folds.PUSHED if pushes_down else Folds.HERE
