"""What `/metrics` and `/ready` show of an ingester. Read, never kept."""

from ingester.holdings import Holdings
from ingester.partition import Partition
from ingester.stats import PartitionStats, Progress, Replay


def partition_stats(partition: Partition) -> PartitionStats:
    head = partition.head
    return PartitionStats(
        number=partition.number,
        applied=partition.applied,
        replay_from=partition.replay_from,
        generation=partition.generation,
        series=head.series,
        samples=head.samples,
        memory_bytes=head.memory_bytes,
        conflicts=head.conflicts,
        sealed_windows=sum(info.sealed is not None for info in head.windows()),
        replaying=partition.replaying,
        stopped=partition.stopped,
    )


def progress(holdings: Holdings) -> dict[int, Progress]:
    return {
        partition.number: Progress(
            begin=replay.begin[partition.number],
            offset=partition.applied,
            end=replay.ends[partition.number],
            eta_s=replay.eta_s(),
        )
        for replay in holdings.replays
        for partition in replay.partitions
    }


def replay(holdings: Holdings) -> Replay:
    """Of all partitions that replay; if none does, all is applied."""
    under_way = progress(holdings).values()
    if not under_way:
        applied = sum(partition.applied for partition in holdings.partitions.values())
        return Replay(applied, applied, applied, None)
    estimates = [one.eta_s for one in under_way if one.eta_s is not None]
    end = sum(one.end for one in under_way)
    return Replay(
        begin=sum(one.begin for one in under_way),
        # One that is as far as it was to come is a replay still, until it serves.
        offset=min(sum(min(one.offset, one.end) for one in under_way), end - 1),
        end=end,
        eta_s=max(estimates) if len(estimates) == len(under_way) else None,
    )
