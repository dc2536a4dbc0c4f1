"""Random series of known character.

Times lie off the grid of whole and half seconds on which queries look, so that no edge of a window meets a sample:
Prometheus before 3.0 counts the sample at the left edge of a window. Values of the first pool are multiples of 1/64
below 2^24, whose sums are exact in any order; those of the second span 600 orders of magnitude.
"""

import math
import random
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tests.support.queries.node import Traits

INTERVAL_MS = 15_000
SAMPLES = 320
STALE: float = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]

Points = list[tuple[int, float]]
"""(time in ms, value), in time order."""

_PHASES_MS = (123, 377, 811)
"""Of the targets' scrapes behind a multiple of the interval; never near 0, 250, 500 or 750 ms."""
_JITTER_MS = 40
_BOUNDS = ("0.1", "1", "2.5", "10", "+Inf")


@dataclass(frozen=True)
class Family:
    """Metrics of one name. `labels` are those that its series may have, besides job and instance."""

    name: str
    traits: Traits
    labels: tuple[str, ...] = ()
    is_histogram: bool = False


_GRID = Traits(grid=True, finite=True, scale=2.0**24)
FAMILIES = (
    Family("noise", Traits(grid=True, finite=True, distinct=True, scale=2.0**24)),
    Family("level", Traits(grid=True, finite=True, scale=16.0), ("zone",)),
    Family("big_total", Traits(grid=True, finite=True, positive=True, counter="any", scale=2.0**25), ("zone",)),
    Family("small_total", Traits(grid=True, finite=True, positive=True, counter="plain", scale=2.0**20)),
    Family(
        "lat_bucket",
        Traits(grid=True, finite=True, positive=True, counter="plain", scale=2.0**20),
        ("le",),
        is_histogram=True,
    ),
    Family("odd", Traits(grid=True, scale=16.0), ("zone",)),
    Family("build_info", Traits(grid=True, finite=True, positive=True, scale=1.0), ("version",)),
    Family("wild", Traits(finite=True, positive=True)),
    Family("wild_signed", Traits(finite=True)),
    Family("wild_total", Traits(finite=True, positive=True, counter="any")),
)


@dataclass
class Data:
    """`series` by name; `start_ms` to `end_ms` is where they have samples."""

    start_ms: int
    series: dict[str, list[tuple[Mapping[str, str], Points]]] = field(default_factory=dict)

    @property
    def end_ms(self) -> int:
        return self.start_ms + SAMPLES * INTERVAL_MS

    @classmethod
    def random(cls, rng: random.Random, start_ms: int) -> "Data":
        """`start_ms` must be a multiple of a second."""
        data = cls(start_ms)
        for family in FAMILIES:
            data.series[family.name] = list(_Maker(rng, start_ms).family(family))
        return data

    def every(self) -> Iterator[tuple[Mapping[str, str], Points]]:
        for rows in self.series.values():
            yield from rows


class _Maker:
    def __init__(self, rng: random.Random, start_ms: int) -> None:
        self._rng = rng
        self._start_ms = start_ms
        self._made = 0

    def family(self, family: Family) -> Iterator[tuple[Mapping[str, str], Points]]:
        for job, target, instance in [("api", 0, "a:1"), ("api", 1, "b:1"), ("api", 2, "ü\"\\:1"), ("db", 0, "a:1"),
                                      ("db", 1, "b:1")]:  # fmt: skip
            base = {"__name__": family.name, "job": job, "instance": instance}
            times = self._times(target)
            if family.is_histogram:
                yield from self._histogram(base, times)
                continue
            for labels in self._variants(base, family):
                self._made += 1
                yield labels, self._points(family, times)

    def _variants(self, base: Mapping[str, str], family: Family) -> Iterator[Mapping[str, str]]:
        """Series of one target: with a label's values, sometimes without the label at all."""
        if not family.labels:
            yield base
        for label in family.labels:
            for value in self._rng.sample(["", "x", "y", "z1"], self._rng.randint(1, 3)):
                yield {**base, **({label: value} if value else {})}

    def _times(self, target: int) -> list[int]:
        """A scrape each interval: to the millisecond, or off by up to 40 ms."""
        jitter = self._rng.choice([0, 0, _JITTER_MS])
        return [
            self._start_ms + index * INTERVAL_MS + _PHASES_MS[target] + self._rng.randint(-jitter, jitter)
            for index in range(SAMPLES)
        ]

    def _points(self, family: Family, times: list[int]) -> Points:
        points = list(zip(times, self._values(family.name), strict=True))
        # `rate` of a counter that starts near zero behind a gap is extrapolated differently since 3.x, so that only
        # counters that are large have gaps.
        return points if family.traits.counter == "plain" else self._interrupted(points)

    def _values(self, name: str) -> list[float]:
        rng = self._rng
        makers: dict[str, Callable[[], list[float]]] = {
            # The lowest bits are those of the series.
            "noise": lambda: [(rng.randrange(-(1 << 25), 1 << 25) * 32 + self._made) / 64 for _ in range(SAMPLES)],
            "level": lambda: self._steps(lambda: rng.randint(-16, 16) / rng.choice([1, 2, 4])),
            "big_total": lambda: self._counter(float(rng.randrange(1 << 20, 1 << 22)), resets=False),
            "small_total": lambda: self._counter(0.0, resets=True),
            "odd": lambda: self._steps(lambda: rng.choice([math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -2.5])),
            "build_info": lambda: [1.0] * SAMPLES,
            "wild": lambda: [rng.uniform(1, 10) * 10.0 ** rng.randint(-300, 300) for _ in range(SAMPLES)],
            "wild_signed": lambda: [rng.uniform(-10, 10) * 10.0 ** rng.randint(-20, 20) for _ in range(SAMPLES)],
            "wild_total": self._wild_counter,
        }
        return makers[name]()

    def _steps(self, value: Callable[[], float]) -> list[float]:
        """Values that stay for a while."""
        values: list[float] = []
        while len(values) < SAMPLES:
            values += [value()] * self._rng.choice([1, 1, 2, 7])
        return values[:SAMPLES]

    def _counter(self, start: float, *, resets: bool) -> list[float]:
        values = [start]
        largest = self._rng.choice([64, 64 * 100, 1 << 14])
        for _ in range(SAMPLES - 1):
            added = self._rng.choice([0, self._rng.randrange(largest)]) / 64
            values.append(added if resets and self._rng.random() < 0.03 else values[-1] + added)
        return values

    def _wild_counter(self) -> list[float]:
        scale = 10.0 ** self._rng.randint(-200, 200)
        values = [self._rng.uniform(100, 200) * scale]
        for _ in range(SAMPLES - 1):
            values.append(values[-1] + self._rng.random() * scale / 100)
        return values

    def _histogram(self, base: Mapping[str, str], times: list[int]) -> Iterator[tuple[Mapping[str, str], Points]]:
        """Cumulative counts of one target; sometimes without the last bucket, or with one that is no number."""
        bounds = [b for b in _BOUNDS if b != "+Inf" or self._rng.random() < 0.9]
        own = [self._counter(0.0, resets=False) for _ in bounds]
        restarts = sorted(self._rng.sample(range(SAMPLES), 2))
        counts = [[math.floor(values[i] - values[max([0, *(r for r in restarts if r <= i)])]) for i in range(SAMPLES)]
                  for values in own]  # fmt: skip
        for place, bound in enumerate(bounds):
            cumulative = [float(sum(values[i] for values in counts[: place + 1])) for i in range(SAMPLES)]
            yield {**base, "le": bound}, list(zip(times, cumulative, strict=True))
        if self._rng.random() < 0.3:
            yield {**base, "le": "many"}, [(time, 1.0) for time in times]

    def _interrupted(self, points: Points) -> Points:
        """Late start, early end, gaps, ends that a stale marker says."""
        rng = self._rng
        if rng.random() < 0.3:
            points = points[rng.randrange(len(points) // 2) :]
        if rng.random() < 0.3:
            points = points[: rng.randrange(len(points) // 2, len(points))]
        for _ in range(rng.choice([0, 0, 1, 3])):
            start = rng.randrange(len(points))
            length = rng.choice([1, 3, 30])
            marker = [(points[start][0], STALE)] if rng.random() < 0.5 else []
            points = points[:start] + marker + points[start + length :]
            if not points:
                break
        return points or [(self._start_ms + _PHASES_MS[0], 1.0)]
