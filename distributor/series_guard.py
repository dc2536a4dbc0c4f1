"""The limits of series in a cluster: ingesters know which series are active, a distributor remembers what they said."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from shared.errors import HeadraceError
from shared.model.counts import Counted
from shared.model.instance import Instance, Limits
from shared.native import KnownSeries, SplitBatch
from shared.telemetry.catalogue import Catalogue

POLL_S = 3.0
"""From one count of the active series to the next."""

ASK_S = 1.0
"""Longest that a write waits for an answer; without one it passes."""

SHARE = 4
"""How many distributors can use what room an instance has left, between two counts, without passing its limit."""

AGE_POLLS = 200
"""A series that nobody has sent for so many counts, some ten minutes, is asked for again."""

MAX_INSTANCES = 10_000
MAX_CLOSE = 32
"""Instances close to their limits of which series are remembered: 20 to 40 MB each at most."""
MAX_KNOWN = 1_000_000

log = structlog.get_logger(__name__)


class SeriesOwners(Protocol):
    """The ingesters, all partitions and zones of them. UnavailableError if they cannot be asked."""

    async def active_series(self, uids: Sequence[bytes]) -> Mapping[bytes, Counted]:
        """By uid; of several zones the most."""
        ...

    async def metric_series(self, uid: bytes, metrics: Sequence[str]) -> Mapping[str, int]:
        """metric → series of it that the heads hold; of several zones the most."""
        ...

    async def known_series(self, uid: bytes, keys: Mapping[int, bytes]) -> Mapping[int, bytes]:
        """partition → for each of its keys, 16 bytes each, a byte: 1 if its head holds such a series. Partitions that
        nobody could answer for are missing.
        """
        ...


@dataclass(slots=True)
class _Seen:
    """What is known of an instance. `free`: so many new series surely fit, of whatever metrics; None before the first
    count.
    """

    max_series: int
    max_series_per_metric: int
    free: int | None = None
    is_active: bool = False  # since the last count

    def has(self, limits: Limits) -> bool:
        return (self.max_series, self.max_series_per_metric) == (limits.max_series, limits.max_series_per_metric)

    def learn(self, counted: Counted) -> None:
        room = min(self.max_series - counted.series, self.max_series_per_metric - counted.largest_metric)
        self.free = max(room, 0) // SHARE

    def takes(self, series: int) -> bool:
        """Whether they fit, however many of them are new; they then count as new."""
        if self.free is None or series > self.free:
            return False
        self.free -= series
        return True


class OwnersGuard:
    """`distributor.intake.SeriesGuard`.

    Under its limits an instance passes without being looked at: every few seconds its series are counted, in all and of
    the metric that has most, and as many series as there is room for may come before the next count. Over one of them
    the owners are asked which of the series they do not know, and how many the metrics of these have, and what there is
    no room for is refused. What is under way may pass a limit; a series that is active is never refused; and where
    nobody can be asked all pass.
    """

    def __init__(self, owners: SeriesOwners, metrics: Catalogue) -> None:
        self._owners = owners
        self._metrics = metrics
        self._seen: dict[bytes, _Seen] = {}
        self._known: dict[bytes, KnownSeries] = {}  # of instances close to their limits

    async def admit(self, instance: Instance, batch: SplitBatch) -> SplitBatch:
        seen = self._seen_of(instance)
        seen.is_active = True
        if seen.takes(batch.series):
            return batch
        try:
            async with asyncio.timeout(ASK_S):
                return await self._admit_asking(instance.uid, seen, batch)
        except (HeadraceError, TimeoutError):
            self._metrics.series_unchecked.inc(batch.series)
            return batch

    async def poll(self) -> None:
        """Counts for ever, until it is cancelled."""
        polls = 0
        while True:
            await asyncio.sleep(POLL_S)
            polls += 1
            if polls % AGE_POLLS == 0:
                for known in self._known.values():
                    known.age()
            try:
                await self.count()
            except (HeadraceError, TimeoutError) as error:
                log.warning("series_not_counted", error=str(error))

    async def count(self) -> None:
        """Once: the series of the instances that have written since the count before."""
        active = {uid: seen for uid, seen in self._seen.items() if seen.is_active}
        if not active:
            return
        for seen in active.values():
            seen.is_active = False
        async with asyncio.timeout(POLL_S):
            counts = await self._owners.active_series(list(active))
        for uid, seen in active.items():
            seen.learn(counts.get(uid, Counted()))

    async def _admit_asking(self, uid: bytes, seen: _Seen, batch: SplitBatch) -> SplitBatch:
        if seen.free is None:
            await self._count_one(uid, seen)
            if seen.takes(batch.series):
                return batch
        known = self._known_of(uid)
        fresh = known.unknown(batch)
        if not fresh:
            return batch
        counted = await self._count_one(uid, seen)
        held = await self._owners.known_series(uid, fresh)
        new = b"".join(known.learn_held(keys, held[number]) for number, keys in fresh.items() if number in held)
        if not new:
            return batch
        rest, admitted = batch.admit(
            new,
            active=counted.series,
            by_metric=await self._by_metric(uid, seen, counted, batch, new),
            max_series=seen.max_series,
            max_series_per_metric=seen.max_series_per_metric,
        )
        known.learn(admitted)  # they are on their way, so they are not asked for again
        return rest

    async def _by_metric(
        self, uid: bytes, seen: _Seen, counted: Counted, batch: SplitBatch, new: bytes
    ) -> Mapping[str, int]:
        """metric → series; nothing if no metric can pass its limit by the new ones."""
        if counted.largest_metric + batch.series <= seen.max_series_per_metric:
            return {}
        return await self._owners.metric_series(uid, batch.metrics(new))

    async def _count_one(self, uid: bytes, seen: _Seen) -> Counted:
        counts = await self._owners.active_series([uid])
        counted = counts.get(uid, Counted())
        seen.learn(counted)
        return counted

    def _seen_of(self, instance: Instance) -> _Seen:
        """Begun anew when a limit changes."""
        limits = instance.limits
        seen = self._seen.get(instance.uid)
        if seen is None or not seen.has(limits):
            _bound(self._seen, MAX_INSTANCES)
            seen = self._seen[instance.uid] = _Seen(limits.max_series, limits.max_series_per_metric)
        return seen

    def _known_of(self, uid: bytes) -> KnownSeries:
        """When there are too many, the one that nobody has asked for longest is forgotten."""
        known = self._known.pop(uid, None)
        if known is None:
            _bound(self._known, MAX_CLOSE)
            known = KnownSeries(MAX_KNOWN)
        self._known[uid] = known
        return known


def _bound(held: dict[bytes, Any], most: int) -> None:
    """Makes room for one more by removing the first."""
    if len(held) >= most:
        del held[next(iter(held))]
