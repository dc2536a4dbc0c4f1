"""Figures of an ingester, for `/metrics` and `/ready`."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """Since the start. Only ever incremented."""

    seals: int = 0
    cuts: int = 0
    cut_samples: int = 0
    cut_bytes: int = 0
    commits: int = 0
    lost_races: int = 0  # another committer was first
    compared: int = 0  # generations that another process stored, and that are the same
    verified: int = 0
    rewritten: int = 0  # payload that had gone missing after its commit
    restored: int = 0  # generations whose payload was gone, made anew from the log
    recommits: int = 0  # generations that a rolled-back store had lost
    rebuilds: int = 0  # heads rebuilt from the log because the store was rolled back
    digest_mismatches: int = 0  # generations that differ from what another zone committed
    lost_records: int = 0  # offsets that were gone from the log before they were read
    damaged_records: int = 0  # records that could not be decoded
    compactions: int = 0
    lost_merges: int = 0  # merges whose payload was gone before it was named
    swept_payload: int = 0  # values that nobody named any more
    dropped_blocks: int = 0  # by retention or with their instance
    forgotten_windows: int = 0  # whose end the store need not remember any more
    emitted_samples: int = 0  # of pushed groups
    failures: int = 0  # attempts at storing that failed and are tried again


@dataclass(frozen=True, slots=True)
class Progress:
    """Of a partition's replay. `eta_s` is None while nothing can be said."""

    begin: int
    offset: int
    end: int
    eta_s: float | None

    @property
    def part(self) -> float:
        return min((self.offset - self.begin) / max(self.end - self.begin, 1), 1.0)


@dataclass(frozen=True, slots=True)
class Replay:
    """Progress of all replays of a process together, in offsets."""

    begin: int
    offset: int
    end: int
    eta_s: float | None

    @property
    def done(self) -> bool:
        return self.offset >= self.end


@dataclass(frozen=True, slots=True)
class PartitionStats:
    number: int
    applied: int  # first offset that is not applied
    replay_from: int
    generation: int
    series: int
    samples: int
    memory_bytes: int
    conflicts: int
    sealed_windows: int  # waiting to be stored
    replaying: bool
    stopped: str | None  # why it cannot go on


@dataclass(frozen=True, slots=True)
class Stats:
    partitions: tuple[PartitionStats, ...]
    counters: Counters
    replay: Replay
    replaying: dict[int, Progress] = field(default_factory=dict)  # by partition
    alarms: dict[str, str] = field(default_factory=dict)  # what an operator has to look at, by kind
    paused: bool = False  # consumption waits for memory

    @property
    def series(self) -> int:
        return sum(p.series for p in self.partitions)

    @property
    def samples(self) -> int:
        return sum(p.samples for p in self.partitions)

    @property
    def memory_bytes(self) -> int:
        return sum(p.memory_bytes for p in self.partitions)

    @property
    def conflicts(self) -> int:
        return sum(p.conflicts for p in self.partitions)
