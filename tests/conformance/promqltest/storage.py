"""What a test file loaded, and a way to select from it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

from querier.promql import Select
from shared import native

from .classic import ClassicHistograms
from .language import Load
from .series import Histogram, Labels, Value

_Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Sample:
    """`start_ms`: when what it counts began to be counted; 0 if that is not known."""

    time_ms: int
    value: float | native.Histogram
    start_ms: int
    place: int
    """Where it stands in its line."""


def loaded(command: Load) -> list[tuple[Labels, list[Sample]]]:
    """Each series once, its samples by time. Of a series that stands there twice the last values count."""
    classic = ClassicHistograms()
    found: dict[_Key, dict[int, Sample]] = {}

    def add(labels: Labels, samples: Iterable[Sample]) -> None:
        held = found.setdefault(tuple(sorted(labels.items())), {})
        held.update((sample.time_ms, sample) for sample in samples)

    for (labels, values), offsets in zip(command.series, command.starts, strict=True):
        add(labels, _samples(command.gap_ms, values, offsets))
        if command.with_custom_histograms:
            classic.add(labels, {place * command.gap_ms: value for place, value in enumerate(values)})
    for labels, histograms in classic.as_native():
        add(
            labels,
            (Sample(time, histogram.native, 0, time // command.gap_ms) for time, histogram in histograms.items()),
        )
    return [(dict(key), [held[time] for time in sorted(held)]) for key, held in found.items()]


def _samples(gap_ms: int, values: Sequence[Value], offsets: Sequence[int | None]) -> Iterator[Sample]:
    for place, (value, offset) in enumerate(zip_longest(values, offsets)):
        if value is not None:
            time_ms = place * gap_ms
            start_ms = 0 if offset is None else time_ms + offset
            yield Sample(time_ms, value.native if isinstance(value, Histogram) else value, start_ms, place)


class Storage:
    def __init__(self) -> None:
        self._series: dict[_Key, dict[int, float | native.Histogram]] = {}
        self._starts: dict[_Key, dict[int, int]] = {}

    def load(self, command: Load) -> None:
        for labels, samples in loaded(command):
            key = tuple(sorted(labels.items()))
            held = self._series.setdefault(key, {})
            held.update((sample.time_ms, sample.value) for sample in samples)
            self._series[key] = _as_stored(held)
            known = {sample.time_ms: sample.start_ms for sample in samples if sample.start_ms}
            if known:
                self._starts.setdefault(key, {}).update(known)

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
