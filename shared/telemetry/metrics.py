"""Counters, gauges and histograms in Prometheus's text format.

The usual client library costs 87 ms at start, more than everything else we load for the first request but FastAPI; what
we need of it is this page. Everything here belongs to the event loop's thread, except functions given to `observe`.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

SECONDS_BUCKETS = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    120.0,
)

Point = tuple[str, tuple[tuple[str, str], ...], float]
"""Name, labels, value."""


class Family(Protocol):
    name: str
    help: str
    kind: str
    label_names: tuple[str, ...]

    def points(self) -> Iterator[Point]: ...


class CounterChild:
    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, by: float = 1.0) -> None:
        self.value += by


class Counter:
    """A counter per combination of label values; children are kept, so hold on to the ones of a hot path."""

    kind = "counter"

    def __init__(self, name: str, help_text: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self.help = help_text
        self.label_names = tuple(labels)
        self._children: dict[tuple[str, ...], CounterChild] = {}
        if not labels:
            self.labels()

    def labels(self, *values: str) -> CounterChild:
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = CounterChild()
        return child

    def inc(self, by: float = 1.0) -> None:
        self._children[()].value += by

    def points(self) -> Iterator[Point]:
        for values, child in self._children.items():
            yield self.name, tuple(zip(self.label_names, values, strict=True)), child.value


class HistogramChild:
    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value


class Histogram:
    kind = "histogram"

    def __init__(
        self, name: str, help_text: str, labels: Sequence[str] = (), bounds: Sequence[float] = SECONDS_BUCKETS
    ) -> None:
        self.name = name
        self.help = help_text
        self.label_names = tuple(labels)
        self._bounds = tuple(bounds)
        self._children: dict[tuple[str, ...], HistogramChild] = {}
        if not labels:
            self.labels()

    def labels(self, *values: str) -> HistogramChild:
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = HistogramChild(self._bounds)
        return child

    def observe(self, value: float) -> None:
        self._children[()].observe(value)

    def points(self) -> Iterator[Point]:
        for values, child in self._children.items():
            labels = tuple(zip(self.label_names, values, strict=True))
            total = 0
            for bound, count in zip((*self._bounds, float("inf")), child.counts, strict=True):
                total += count
                yield f"{self.name}_bucket", (*labels, ("le", _number(bound))), total
            yield f"{self.name}_sum", labels, child.sum
            yield f"{self.name}_count", labels, total


class Observed:
    """A gauge or counter whose values live elsewhere: `read` gives label values → value when somebody looks."""

    def __init__(self, name: str, help_text: str, labels: Sequence[str] = (), *, kind: str = "gauge") -> None:
        self.name = name
        self.help = help_text
        self.kind = kind
        self.label_names = tuple(labels)
        self._read: Callable[[], dict[tuple[str, ...], float]] = dict

    def observe(self, read: Callable[[], dict[tuple[str, ...], float]]) -> None:
        self._read = read

    def observe_value(self, read: Callable[[], float]) -> None:
        self._read = lambda: {(): read()}

    def points(self) -> Iterator[Point]:
        for values, value in self._read().items():
            yield self.name, tuple(zip(self.label_names, values, strict=True)), value


def render(families: Sequence[Family]) -> bytes:
    """The text exposition format 0.0.4."""
    lines: list[str] = []
    for family in families:
        lines.append(f"# HELP {family.name} {_escape(family.help)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for name, labels, value in family.points():
            pairs = ",".join(f'{label}="{_escape(text, quote=True)}"' for label, text in labels)
            lines.append(f"{name}{{{pairs}}} {_number(value)}" if pairs else f"{name} {_number(value)}")
    lines.append("")
    return "\n".join(lines).encode()


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


def _escape(text: str, *, quote: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quote else text
