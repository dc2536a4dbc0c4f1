"""What heads count of instances."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counted:
    """Of one instance, over all of its partitions; of several zones the most of each partition."""

    series: int = 0
    largest_metric: int = 0
    """Series of the metric that has most of them, or more: the largest of each partition together."""
    samples_per_second: float = 0.0
    """Over the last minute."""


@dataclass(frozen=True, slots=True)
class Counts:
    by_uid: Mapping[bytes, Counted]
    partitions: AbstractSet[int]
    """That somebody answered for."""
