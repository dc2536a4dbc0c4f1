"""The series limit in one process: the heads themselves say which series are new."""

from collections.abc import Callable

from shared.model.instance import Instance
from shared.native import Head, SplitBatch, Splitter


class HeadGuard:
    """`distributor.intake.SeriesGuard`.

    Counting asks every head of the instance, so it is done only when what was counted last and all that came since
    could pass the limit: for an instance far below its limit, once in thousands of requests. Batches that wait in the
    log are not in the heads yet, so the limit may be passed by what is under way.
    """

    def __init__(self, splitter: Splitter, head_of: Callable[[int], Head]) -> None:
        self._splitter = splitter
        self._head_of = head_of
        self._at_most: dict[bytes, int] = {}  # uid -> series, never too low

    async def admit(self, instance: Instance, batch: SplitBatch) -> SplitBatch:
        limit = instance.limits.max_series
        at_most = self._at_most.get(instance.uid, limit) + batch.series
        if at_most > limit:
            heads = [self._head_of(number) for number in self._splitter.partitions_of(instance.uid, instance.shards)]
            active = sum(head.active_series(instance.uid) for head in heads)
            at_most = active + batch.series
            if at_most > limit:
                return self._cut(heads, batch, max(limit - active, 0))
        self._at_most[instance.uid] = at_most
        return batch

    def _cut(self, heads: list[Head], batch: SplitBatch, room: int) -> SplitBatch:
        """Each head may take its share of the room: series are spread evenly by their hash."""
        for head in heads:
            batch = head.admit(batch, room // len(heads))
        return batch
