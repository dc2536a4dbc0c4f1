"""What a test file loaded, and a way to select from it."""

from itertools import pairwise

from querier.promql import Select
from shared import native

from .classic import ClassicHistograms
from .language import Load
from .series import Histogram, Labels, Value

_Key = tuple[tuple[str, str], ...]


class Storage:
    def __init__(self) -> None:
        self._series: dict[_Key, dict[int, float | native.Histogram]] = {}
        self._starts: dict[_Key, dict[int, int]] = {}

    def load(self, command: Load) -> None:
        classic = ClassicHistograms()
        touched: dict[_Key, None] = {}
        for (labels, values), starts in zip(command.series, command.starts, strict=True):
            samples = {index * command.gap_ms: value for index, value in enumerate(values) if value is not None}
            key = self._append(labels, samples)
            touched[key] = None
            self._starts.setdefault(key, {}).update(
                (index * command.gap_ms, index * command.gap_ms + offset)
                for index, offset in enumerate(starts)
                if offset is not None
            )
            if command.with_custom_histograms:
                classic.add(labels, samples)
        for labels, histograms in classic.as_native():
            touched[self._append(labels, histograms)] = None
        for key in touched:
            self._series[key] = _as_stored(self._series[key])

    def _append(self, labels: Labels, samples: dict[int, Value]) -> _Key:
        key = tuple(sorted(labels.items()))
        held = self._series.setdefault(key, {})
        for time, value in samples.items():
            if value is not None:
                held[time] = value.native if isinstance(value, Histogram) else value
        return key

    def select(self, query: native.Query, select: Select) -> native.SeriesSet:
        chosen = []
        starts = []
        for key, samples in sorted(self._series.items()):
            labels = dict(key)
            if not all(
                matcher.matches(labels.get(wanted.name, ""))
                for wanted, matcher in zip(select.selector, select.matchers, strict=True)
            ):
                continue
            inside = [(time, value) for time, value in samples.items() if select.min_ms <= time <= select.max_ms]
            times = [time for time, _ in inside]
            assert all(earlier < later for earlier, later in pairwise(times))
            chosen.append((labels, times, [value for _, value in inside]))
            known = self._starts.get(key)
            starts.append([known.get(time, 0) for time in times] if known else [])
        return native.series_from_samples(query, chosen, starts)


def _as_stored(samples: dict[int, float | native.Histogram]) -> dict[int, float | native.Histogram]:
    """In time order, with the hints that a database gives when it is read."""
    stored: dict[int, float | native.Histogram] = {}
    before: native.Histogram | None = None
    for time, value in sorted(samples.items()):
        if isinstance(value, native.Histogram):
            before = stored[time] = value.stored_behind(before)
        else:
            before, stored[time] = None, value
    return stored
