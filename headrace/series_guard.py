"""The limits of series in one process: the heads themselves say which series are new."""

from collections.abc import Callable
from dataclasses import dataclass

from shared.model.instance import Instance
from shared.native import Head, SplitBatch, Splitter

MAX_INSTANCES = 10_000


@dataclass(slots=True)
class _AtMost:
    """Never too low."""

    series: int
    largest_metric: int

    def add(self, series: int) -> None:
        self.series += series
        self.largest_metric += series

    def fits(self, instance: Instance) -> bool:
        limits = instance.limits
        return self.series <= limits.max_series and self.largest_metric <= limits.max_series_per_metric


class HeadGuard:
    """`distributor.intake.SeriesGuard`.

    Counting asks every head of the instance, so it is done only when what was counted last and all that came since
    could pass a limit: for an instance far below its limits, once in thousands of requests. Batches that wait in the
    log are not in the heads yet, so a limit may be passed by what is under way.
    """

    def __init__(self, splitter: Splitter, head_of: Callable[[int], Head]) -> None:
        self._splitter = splitter
        self._head_of = head_of
        self._at_most: dict[bytes, _AtMost] = {}  # by uid

    async def admit(self, instance: Instance, batch: SplitBatch) -> SplitBatch:
        at_most = self._at_most.get(instance.uid)
        if at_most is not None:
            at_most.add(batch.series)
            if at_most.fits(instance):
                return batch
        heads = [self._head_of(number) for number in self._splitter.partitions_of(instance.uid, instance.shards)]
        at_most = self._counted(instance.uid, heads)
        at_most.add(batch.series)
        if at_most.fits(instance):
            return batch
        limits = instance.limits
        return Head.admit(
            heads, batch, max_series=limits.max_series, max_series_per_metric=limits.max_series_per_metric
        )

    def _counted(self, uid: bytes, heads: list[Head]) -> _AtMost:
        """A metric's series may lie in all heads: no metric has more than the largest ones of each together."""
        if uid not in self._at_most and len(self._at_most) >= MAX_INSTANCES:
            del self._at_most[next(iter(self._at_most))]
        at_most = self._at_most[uid] = _AtMost(
            sum(head.active_series(uid) for head in heads), sum(head.largest_metric(uid) for head in heads)
        )
        return at_most
