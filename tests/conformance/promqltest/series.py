"""The notation of series: `name{a="b"} 1+2x3 _ stale {{count:3 sum:5}}x2`."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from querier.promql import parse_selector
from shared import native
from shared.durations import parse_duration_ms

Labels: TypeAlias = dict[str, str]

STALE: float = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
"""The one NaN that says a series ended."""


@dataclass(frozen=True)
class Histogram:
    """A native histogram, and whether its literal says what is known of resets."""

    native: native.Histogram
    gives_hint: bool


Value: TypeAlias = float | Histogram | None
"""None where there is no sample."""

# Not hexadecimal: `0x3` is four zeros.
_NUMBER = r"(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[iI][nN][fF]|[nN][aA][nN])"
_FLOATS = re.compile(rf"([+-]?{_NUMBER})(?:([+-]{_NUMBER}))?(?:x([0-9]+))?$")
_GAP = re.compile(r"_(?:x([0-9]+))?$")
_HISTOGRAMS = re.compile(r"\{\{(.*?)\}\}(?:([+-])\{\{(.*?)\}\})?(?:x([0-9]+))?$")
_ITEM = re.compile(r"(?:\{\{.*?\}\}|[^\s{])+")
_METRIC = re.compile(r"""(?:[^\s{]*)(?:\{(?:[^}"'`]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)*\})?""")
_FIELD = re.compile(r"([a-z_]+):(\[[^\]]*\]|\S+)")
_FIELDS = frozenset(
    {
        "schema",
        "sum",
        "count",
        "z_bucket",
        "z_bucket_w",
        "custom_values",
        "buckets",
        "n_buckets",
        "offset",
        "n_offset",
        "counter_reset_hint",
    }
)


def parse_series(line: str) -> tuple[Labels, list[Value]]:
    """Raises ValueError for what is not in the notation."""
    labels, rest = _metric(line)
    return labels, [value for item in _ITEM.findall(rest) for value in _expanded(item)]


def parse_start_times(line: str) -> tuple[Labels, list[int | None]]:
    """`name{…}@st -1m _x3 30s+10sx5`: offsets in ms of the start timestamps from their samples."""
    metric, _, rest = line.partition("@st")
    return _metric(metric)[0], [offset for item in rest.split() for offset in _start_times(item)]


def is_start_times(line: str) -> bool:
    found = _METRIC.match(line)
    return (found is not None and line[found.end() :].startswith("@st")) or line.split()[0].endswith("@st")


def _metric(line: str) -> tuple[Labels, str]:
    found = _METRIC.match(line)
    metric = found[0] if found else ""
    labels = {matcher.name: matcher.value for matcher in parse_selector(metric)} if metric else {}
    return {name: value for name, value in labels.items() if value}, line[len(metric) :]


def _expanded(item: str) -> Iterator[Value]:
    if gap := _GAP.match(item):
        yield from [None] * int(gap[1] or 1)
    elif item.startswith("stale"):
        yield from [STALE] * (int(item.partition("x")[2] or 0) + 1)
    elif found := _HISTOGRAMS.match(item):
        yield from _histograms(*found.groups())
    elif found := _FLOATS.match(item):
        value, step = float(found[1]), float(found[2] or "0")
        for _ in range(int(found[3] or 0) + 1):
            yield value
            value += step
    else:
        raise ValueError(f"not a value, a gap or a histogram: {item!r}")


def _histograms(first: str, sign: str | None, change: str | None, times: str | None) -> Iterator[Histogram]:
    """`{{…}}+{{…}}x3`: the first, and each time the other added to the last."""
    histogram = _histogram(first)
    step = None if change is None else _histogram(change)
    gives_hint = (histogram if step is None else step).gives_hint
    value = histogram.native
    for _ in range(int(times or 0) + 1):
        yield Histogram(value, gives_hint)
        if step is not None:
            value = value.plus(step.native) if sign == "+" else value.minus(step.native)


def _histogram(literal: str) -> Histogram:
    found = _FIELD.findall(literal)
    fields = dict(found)
    if fields.keys() - _FIELDS or len(" ".join(f"{name}:{value}" for name, value in found)) != len(
        " ".join(literal.split())
    ):
        raise ValueError(f"not the description of a histogram: {literal!r}")
    made = native.Histogram(
        schema=int(fields.get("schema", "0")),
        count=float(fields.get("count", "0")),
        total=float(fields.get("sum", "0")),
        zero_threshold=float(fields.get("z_bucket_w", "0")),
        zero_count=float(fields.get("z_bucket", "0")),
        positive=_buckets(fields, "buckets", "offset"),
        negative=_buckets(fields, "n_buckets", "n_offset"),
        custom_values=_numbers(fields.get("custom_values", "[]")),
        hint=fields.get("counter_reset_hint", "unknown"),  # type: ignore[arg-type]  # the class checks it
    )
    return Histogram(made, "counter_reset_hint" in fields)


def _buckets(fields: dict[str, str], counts: str, offset: str) -> list[tuple[int, float]]:
    return list(enumerate(_numbers(fields.get(counts, "[]")), int(fields.get(offset, "0"))))


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.strip("[]").split()]


_START_TIME = re.compile(r"([+-]?)([0-9]+[a-wyz]*)(?:([+-])([0-9]+[a-wyz]+))?(?:x([0-9]+))?$")


def _start_times(item: str) -> Iterator[int | None]:
    if gap := _GAP.match(item):
        yield from [None] * int(gap[1] or 1)
        return
    found = _START_TIME.match(item)
    if found is None:
        raise ValueError(f"not a start timestamp: {item!r}")
    offset = (0 if found[2] == "0" else parse_duration_ms(found[2])) * (-1 if found[1] == "-" else 1)
    step = parse_duration_ms(found[4]) * (-1 if found[3] == "-" else 1) if found[4] else 0
    for _ in range(int(found[5] or 0) + 1):
        yield offset
        offset += step
