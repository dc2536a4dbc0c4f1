"""What a test file loaded, and a way to select from it."""

from collections.abc import Sequence
from itertools import pairwise

from querier.promql import Select
from shared import native

from .language import Load
from .series import Histogram, Labels, Value


class HistogramsNeededError(Exception):
    """The query looks at native histograms, which the engine does not hold yet."""


class Storage:
    def __init__(self) -> None:
        self._series: dict[tuple[tuple[str, str], ...], dict[int, Value]] = {}

    def clear(self) -> None:
        self._series.clear()

    def load(self, command: Load) -> None:
        for labels, values in command.series:
            self._append(labels, values, command.gap_ms)
            if command.with_custom_histograms:
                self._append_custom_histogram(labels, values, command.gap_ms)

    def _append(self, labels: Labels, values: Sequence[Value], gap_ms: int) -> None:
        samples = self._series.setdefault(tuple(sorted(labels.items())), {})
        for index, value in enumerate(values):
            if value is not None:
                samples[index * gap_ms] = value

    def _append_custom_histogram(self, labels: Labels, values: Sequence[Value], gap_ms: int) -> None:
        """`load_with_nhcb`: classic histograms exist as native ones with custom buckets, too."""
        name = labels.get("__name__", "")
        for suffix in ("_bucket", "_count", "_sum"):
            if name.endswith(suffix) and (suffix != "_bucket" or "le" in labels):
                base = {key: value for key, value in labels.items() if key != "le"}
                base["__name__"] = name.removesuffix(suffix)
                made: list[Value] = [None if value is None else Histogram(()) for value in values]
                self._append(base, made, gap_ms)

    def select(self, query: native.Query, select: Select) -> native.SeriesSet:
        """Raises HistogramsNeededError if the samples asked for are not all floats."""
        chosen = []
        for key, samples in sorted(self._series.items()):
            labels = dict(key)
            if not all(
                matcher.matches(labels.get(wanted.name, ""))
                for wanted, matcher in zip(select.selector, select.matchers, strict=True)
            ):
                continue
            inside = sorted((time, value) for time, value in samples.items() if select.min_ms <= time <= select.max_ms)
            floats = [value for _, value in inside if isinstance(value, float)]
            if len(floats) != len(inside):
                raise HistogramsNeededError(f"native histograms: {labels}")
            times = [time for time, _ in inside]
            assert all(earlier < later for earlier, later in pairwise(times))
            chosen.append((labels, times, floats))
        return native.series_from_samples(query, chosen)
