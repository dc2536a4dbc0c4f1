"""Native histograms as the JSON of an answer shows them."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from typing import Any, Self

from shared import native

_CUSTOM = -53
_LOWER_OPEN, _UPPER_OPEN, _CLOSED = 0, 1, 3


@dataclass(frozen=True)
class Bucket:
    rule: int
    """Which of the bounds belong to it: 0 the upper one, 1 the lower one, 3 both."""
    lower: float
    upper: float
    count: float


@dataclass(frozen=True)
class ShownHistogram:
    """Neither schema nor hint, and of the buckets those that hold something."""

    count: float
    total: float
    buckets: tuple[Bucket, ...]

    @classmethod
    def read(cls, shown: Any) -> Self:
        buckets = (
            Bucket(rule, float(lower), float(upper), float(count))
            for rule, lower, upper, count in shown.get("buckets", ())
        )
        return cls(float(shown["count"]), float(shown["sum"]), tuple(buckets))

    @classmethod
    def of(cls, histogram: native.Histogram) -> Self:
        buckets = tuple(bucket for bucket in _buckets(histogram) if bucket.count != 0)
        return cls(histogram.count, histogram.total, buckets)

    def is_like(self, other: Self, almost_equal: Callable[[float, float], bool]) -> bool:
        if [bucket.rule for bucket in self.buckets] != [bucket.rule for bucket in other.buckets]:
            return False
        return all(map(almost_equal, self._numbers(), other._numbers()))

    def _numbers(self) -> Iterator[float]:
        yield self.count
        yield self.total
        yield from itertools.chain.from_iterable(astuple(bucket) for bucket in self.buckets)


def _buckets(histogram: native.Histogram) -> Iterator[Bucket]:
    """By ascending values. Those that the zero bucket covers in part begin where it ends."""
    edge = histogram.zero_threshold
    for index, count in reversed(histogram.negative):
        upper, lower = (-_exponential(place, histogram.schema) for place in (index - 1, index))
        yield Bucket(_UPPER_OPEN, lower, min(upper, -edge), count)
    if histogram.zero_count > 0:
        yield Bucket(_CLOSED, -edge, edge, histogram.zero_count)
    for index, count in histogram.positive:
        if histogram.schema == _CUSTOM:
            yield _custom(index, count, histogram.custom_values)
        else:
            lower, upper = (_exponential(place, histogram.schema) for place in (index - 1, index))
            yield Bucket(_LOWER_OPEN, max(lower, edge), upper, count)


def _custom(index: int, count: float, bounds: list[float]) -> Bucket:
    lower, upper = (bounds[at] if 0 <= at < len(bounds) else math.inf for at in (index - 1, index))
    return Bucket(_LOWER_OPEN, lower, upper, count) if index else Bucket(_CLOSED, -math.inf, upper, count)


def _exponential(index: int, schema: int) -> float:
    """The upper bound of a positive bucket."""
    power = index * 2.0**-schema
    return math.inf if power > 1024 else 2.0 ** min(power, 1023.999_999_999)
