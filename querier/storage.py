"""What the engine selects from: the heads of the ingesters and the blocks of the store, as one."""

from __future__ import annotations

import asyncio
import time
from enum import Enum
from typing import TYPE_CHECKING

from querier.roots import Roots
from shared import native
from shared.errors import InternalError, NotFoundError, UnavailableError
from shared.native import BlockReader, CorruptError, Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shared.clock import Clock
    from shared.model.instance import Instance
    from shared.native import Matcher, Names, Query, SeriesSet
    from shared.seams.ingester_client import IngesterClient
    from shared.seams.log import Log
    from shared.seams.store import BlockStore, Directory

# Beyond this an answer's steps run in a worker thread: handing one over costs about a tenth of it.
_DIRECT_S = 0.001

_EVER_MS = -(1 << 63)  # before every time there is

# Each repetition needs a commit or a compaction in the middle of one selection.
_ATTEMPTS = 10


class Consistency(Enum):
    """`X-Read-Consistency`."""

    DEFAULT = "default"  # wait, then answer with a warning
    STRONG = "strong"  # wait, then fail
    EVENTUAL = "eventual"  # do not wait


class _MovedError(Exception):
    """Blocks were replaced or a head let go while we were reading: start again."""


class Storage:
    """Reads one instance's series. A read is complete or it fails.

    For each partition: blocks by a directory first, then the head, which states a directory generation g: whatever is
    not in the directory at g was in it. A directory older than g means that samples moved from head to store in
    between, and the selection is made again. Samples that are seen twice merge.
    """

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
    ) -> None:
        """`wait_s`: how long a read waits for what was acknowledged before it. `retention_s`: that of instances which
        have none of their own; None: everything is kept.
        """
        self._log = log
        self._store = store
        self._client = client
        self._partitions_of = partitions_of
        self._clock = clock
        self._wait_s = wait_s
        self._retention_s = retention_s
        self._roots = Roots(cache_bytes)

    async def wait_visible(self, instance: Instance, consistency: Consistency = Consistency.DEFAULT) -> list[str]:
        """Waits until the heads have applied every sample acknowledged before the call, for `wait_s`; returns
        warnings.

        UnavailableError: the wait was in vain and `consistency` is strong.
        """
        if consistency is Consistency.EVENTUAL:
            return []
        ends = await self._log.end_offsets(self._partitions_of(instance.uid, instance.shards))
        lag = await self._client.wait_applied(ends, timeout_s=self._wait_s)
        if not lag:
            return []
        behind = ", ".join(f"partition {partition} by {records}" for partition, records in sorted(lag.items()))
        message = (
            f"recent samples may be missing: after {self._wait_s:g} s ingesters lag behind the log, "
            f"in records: {behind}"
        )
        if consistency is Consistency.STRONG:
            raise UnavailableError(message)
        return [message]

    async def select(
        self, query: Query, instance: Instance, matchers: Sequence[Matcher], min_ms: int, max_ms: int
    ) -> SeriesSet:
        """The series that match and their samples with min_ms <= time <= max_ms, as far back as the retention goes.
        Blocks are read by runs of samples, so that a few more may come along.
        """
        min_ms = max(min_ms, self._oldest_ms(instance))
        for _ in range(_ATTEMPTS):
            selection = Selection(query, matchers, min_ms, max_ms)
            try:
                heavy = await self._fill(selection, instance, min_ms, max_ms)
                return await asyncio.to_thread(selection.finish) if heavy else selection.finish()
            except _MovedError:
                continue
            except asyncio.CancelledError:
                query.cancel()  # a worker thread may be at it still
                raise
        raise _restless()

    async def names(
        self, instance: Instance, matcher_sets: Sequence[Sequence[Matcher]], min_ms: int, max_ms: int
    ) -> Names:
        """The labels of series that match one of the sets, or of all without any, and have samples in the range."""
        min_ms = max(min_ms, self._oldest_ms(instance))
        for _ in range(_ATTEMPTS):
            names = native.Names(matcher_sets, min_ms, max_ms)
            try:
                await self._fill(names, instance, min_ms, max_ms)
            except _MovedError:
                continue
            return names
        raise _restless()

    async def metadata(self, instance: Instance) -> dict[str, tuple[int, str, str]]:
        """family -> (type number, help, unit)."""
        return await self._client.metadata(self._partitions_of(instance.uid, instance.shards), instance.uid)

    def _oldest_ms(self, instance: Instance) -> int:
        """Blocks go when all of their samples are too old; an answer must not depend on when that happens."""
        own = instance.limits.retention_s
        retention_s = self._retention_s if own is None else own
        return _EVER_MS if retention_s is None else self._clock.now_ms() - retention_s * 1000

    async def _fill(self, target: Selection | Names, instance: Instance, min_ms: int, max_ms: int) -> bool:
        """Adds every partition; whether that was much work. The first partition is the measure for the others."""
        heavy = False
        for partition in self._partitions_of(instance.uid, instance.shards):
            began = time.perf_counter()
            directory = await self._store.directory(partition, at_least=await self._client.generation(partition))
            await self._add_blocks(target, directory, instance.uid, min_ms, max_ms, heavy=heavy)
            stated = await self._client.add_head(target, partition, instance.uid, heavy=heavy)
            if stated > directory.generation:
                raise _MovedError
            heavy = heavy or time.perf_counter() - began > _DIRECT_S
        return heavy

    async def _add_blocks(
        self, target: Selection | Names, directory: Directory, uid: bytes, min_ms: int, max_ms: int, *, heavy: bool
    ) -> None:
        try:
            for manifest in directory.manifests.get(uid, ()):
                if manifest.max_time < min_ms or manifest.min_time > max_ms:
                    continue
                reader = self._roots.get(manifest.root_key) or await self._open(manifest.root_key)
                pages = await asyncio.to_thread(target.add_block, reader) if heavy else target.add_block(reader)
                if pages and isinstance(target, Selection):
                    target.supply(await self._store.fetch([manifest.page_keys[page] for page in pages]))
        except NotFoundError as error:
            current = await self._store.directory(directory.partition)
            if current.generation > directory.generation:
                raise _MovedError from error
            raise InternalError(
                f"partition {directory.partition}: the directory names payload that is gone: {error}"
            ) from error
        except CorruptError as error:
            raise InternalError(f"partition {directory.partition}: {error}") from error

    async def _open(self, root_key: str) -> BlockReader:
        [root] = await self._store.fetch([root_key])
        reader = BlockReader.open(root)
        self._roots.add(root_key, reader)
        return reader


def _restless() -> UnavailableError:
    return UnavailableError(f"blocks moved {_ATTEMPTS} times while they were being read; try again")
