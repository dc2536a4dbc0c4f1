"""Times counted in buckets of less than one hundredth of their value, as HdrHistogram does."""

from collections import Counter

SUB_BITS = 7
"""Each power of two is cut into so many bits' worth of buckets: a percentile is at most 1/128 too high."""

PERCENTILES = (50.0, 90.0, 99.0, 99.9)


class Latencies:
    """Of a bounded number of buckets however many times are recorded; a microsecond is the least."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.count = 0
        self.max_s = 0.0
        self._sum_s = 0.0

    def record(self, seconds: float) -> None:
        microseconds = max(0, round(seconds * 1e6))
        shift = max(0, microseconds.bit_length() - SUB_BITS - 1)
        self._counts[(shift << (SUB_BITS + 1)) + (microseconds >> shift)] += 1
        self.count += 1
        self._sum_s += seconds
        self.max_s = max(self.max_s, seconds)

    @property
    def mean_s(self) -> float:
        return self._sum_s / self.count if self.count else 0.0

    def percentile_s(self, percent: float) -> float:
        """So much of what was recorded took this or less; 0 if nothing was."""
        wanted = self.count * percent / 100
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                shift, top = bucket >> (SUB_BITS + 1), bucket & ((2 << SUB_BITS) - 1)
                return min(self.max_s, (((top + 1) << shift) - 1) / 1e6)
        return self.max_s

    def summary(self) -> dict[str, float]:
        """In milliseconds."""
        return {
            "count": self.count,
            "mean_ms": _ms(self.mean_s),
            **{f"p{percent:g}_ms": _ms(self.percentile_s(percent)) for percent in PERCENTILES},
            "max_ms": _ms(self.max_s),
        }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
