"""What an ingester may be told. The composition root builds it; tests shorten it."""

from dataclasses import dataclass, field

from ingester.ownership import Rules


@dataclass(frozen=True, slots=True)
class IngesterSettings:
    zone: str = "a"
    owner: str = "standalone"  # the name of this process among the ingesters of the cluster
    address: str = ""  # of its gRPC server, as the others reach it
    shared: bool = False  # other processes have partitions too; otherwise this one has all of them
    ownership: Rules = field(default_factory=Rules)
    outage_pause_s: float = 30.0  # from the end of a store's outage until partitions of others are taken
    hand_over_s: float = 20.0  # how long one that stops waits for others to be ready for its partitions
    window_ms: int = 2 * 3600 * 1000
    grace_ms: int = 10 * 60 * 1000  # how long a window stays open after its end
    grace_stagger_ms: int = 20 * 1000  # added per partition, so that not all of them cut at once
    memory_bytes: int = 2 << 30  # budget of all heads together
    seal_above: float = 0.8  # of the budget: the largest windows are sealed early
    min_seal_bytes: int = 64 << 10  # a window smaller than this is sealed early only when the budget is spent
    memory_seal_every_s: float = 15.0
    verify_after_s: float = 60.0  # from a commit until its payload is looked for again
    takeover_s: float | None = None  # how long another zone is given to commit a generation; None: 20, and alone 0
    batch_windows: int = 64  # generations of one commit
    batch_bytes: int = 64 << 20  # payload of one commit, about
    retained_bytes: int = 128 << 20  # payload kept in memory until it is verified
    retention_ms: int = 30 * 24 * 3600 * 1000  # of instances that name none
    unlink_after_s: float = 900.0  # from the replacement of payload until it is removed: running queries finish
    maintain_every_s: float = 600.0  # between two looks for something to merge or to drop
    merge_bytes: int = 512 << 20  # payload of the blocks that one merge may read, if memory_bytes has room for it
    read_records: int = 512
    read_timeout_ms: int = 500
    linger_s: float = 0.02  # after a small read, so that the next records come together; who waits for one ends it
    max_replays: int = 2  # at once; others wait their turn

    @property
    def mergeable_bytes(self) -> int:
        """Payload that one merge may read. It holds as much again that it writes: both fit into the part of the memory
        that heads leave free.
        """
        return min(self.merge_bytes, int(self.memory_bytes * (1 - self.seal_above)) // 2)
