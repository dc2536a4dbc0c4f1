"""`load_with_nhcb`: classic histograms exist as native ones with custom buckets, too."""

import math
from collections.abc import Iterator, Mapping
from itertools import groupby, pairwise

from shared import native

from .series import Histogram, Labels, Value

_SUFFIXES = ("_bucket", "_count", "_sum")
_Key = tuple[tuple[str, str], ...]


class ClassicHistograms:
    """Collects the series of classic histograms."""

    def __init__(self) -> None:
        self._points: dict[_Key, dict[int, _Point]] = {}

    def add(self, labels: Labels, samples: Mapping[int, Value]) -> None:
        name = labels.get("__name__", "")
        suffix = next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), None)
        if suffix is None:
            return
        bound = _bound(labels.get("le", "")) if suffix == "_bucket" else None
        if suffix == "_bucket" and bound is None:
            return
        base = {key: value for key, value in labels.items() if key != "le"}
        base["__name__"] = name.removesuffix(suffix)
        points = self._points.setdefault(tuple(sorted(base.items())), {})
        for time, value in samples.items():
            if not isinstance(value, float):
                continue
            point = points.setdefault(time, _Point())
            if bound is not None:
                point.counts.setdefault(bound, value)
            elif suffix == "_count":
                point.count = value
            else:
                point.sum = value

    def as_native(self) -> Iterator[tuple[Labels, dict[int, Histogram]]]:
        for key, points in self._points.items():
            yield dict(key), {time: point.as_native() for time, point in points.items()}


class _Point:
    """One classic histogram: cumulative counts by upper bound."""

    def __init__(self) -> None:
        self.counts: dict[float, float] = {}
        self.count: float | None = None
        self.sum = 0.0

    def as_native(self) -> Histogram:
        cumulative = sorted(self.counts.items())
        assert all(lower <= upper for (_, lower), (_, upper) in pairwise(cumulative)), "counts must be cumulative"
        count = self.count
        if count is None:
            count = cumulative[-1][1] if cumulative else 0.0
        if not cumulative or cumulative[-1][0] != math.inf:
            cumulative.append((math.inf, count))
        assert cumulative[-1][1] == count, "the last bucket must hold all observations"
        own = [upper - lower for (_, lower), (_, upper) in pairwise([(0.0, 0.0), *cumulative])]
        is_whole = all(float(number).is_integer() for number in [count, *(total for _, total in cumulative)])
        histogram = native.Histogram(
            schema=-53,
            count=count,
            total=self.sum,
            positive=_compact(list(enumerate(own)), 2 if is_whole else 0),
            custom_values=[bound for bound, _ in cumulative if bound != math.inf],
        )
        return Histogram(histogram, gives_hint=False)


def _compact(buckets: list[tuple[int, float]], kept_empty: int) -> list[tuple[int, float]]:
    """Without empty buckets, but for so many in a row between filled ones."""
    runs = [(is_empty, list(run)) for is_empty, run in groupby(buckets, lambda bucket: bucket[1] == 0)]
    inner = range(1, len(runs) - 1)
    return [
        bucket
        for at, (is_empty, run) in enumerate(runs)
        if not is_empty or (at in inner and len(run) <= kept_empty)
        for bucket in run
    ]


def _bound(text: str) -> float | None:
    try:
        bound = float(text)
    except ValueError:
        return None
    return None if math.isnan(bound) else bound
