"""Remote-write 2.0 bodies by protobuf's own runtime, from the published definitions: field numbers as the specification
has them, not as the code under test reads them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import snappy as snappy_codec
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

from tests.support.protobuf import Definition, messages

CONTENT_TYPE = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
HEADERS = {
    "Content-Type": CONTENT_TYPE,
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "2.0.0",
    "User-Agent": "headrace-tests/1",
}

COUNTER, GAUGE, HISTOGRAM, SUMMARY = 1, 2, 3, 5

_MESSAGES: dict[str, Definition] = {
    "Request": [(4, "symbols", Field.TYPE_STRING, True), (5, "timeseries.TimeSeries", Field.TYPE_MESSAGE, True)],
    "TimeSeries": [
        (1, "labels_refs", Field.TYPE_UINT32, True),
        (2, "samples.Sample", Field.TYPE_MESSAGE, True),
        (3, "histograms.Histogram", Field.TYPE_MESSAGE, True),
        (4, "exemplars.Exemplar", Field.TYPE_MESSAGE, True),
        (5, "metadata.Metadata", Field.TYPE_MESSAGE, False),
    ],
    "Sample": [
        (1, "value", Field.TYPE_DOUBLE, False),
        (2, "timestamp", Field.TYPE_INT64, False),
        (3, "start_timestamp", Field.TYPE_INT64, False),
    ],
    "Exemplar": [
        (1, "labels_refs", Field.TYPE_UINT32, True),
        (2, "value", Field.TYPE_DOUBLE, False),
        (3, "timestamp", Field.TYPE_INT64, False),
    ],
    "Metadata": [
        (1, "type", Field.TYPE_UINT32, False),  # an enum; on the wire the same
        (3, "help_ref", Field.TYPE_UINT32, False),
        (4, "unit_ref", Field.TYPE_UINT32, False),
    ],
    "BucketSpan": [(1, "offset", Field.TYPE_SINT32, False), (2, "length", Field.TYPE_UINT32, False)],
    "Histogram": [
        (1, "count_int", Field.TYPE_UINT64, False),
        (2, "count_float", Field.TYPE_DOUBLE, False),
        (3, "sum", Field.TYPE_DOUBLE, False),
        (4, "schema", Field.TYPE_SINT32, False),
        (5, "zero_threshold", Field.TYPE_DOUBLE, False),
        (6, "zero_count_int", Field.TYPE_UINT64, False),
        (7, "zero_count_float", Field.TYPE_DOUBLE, False),
        (8, "negative_spans.BucketSpan", Field.TYPE_MESSAGE, True),
        (9, "negative_deltas", Field.TYPE_SINT64, True),
        (10, "negative_counts", Field.TYPE_DOUBLE, True),
        (11, "positive_spans.BucketSpan", Field.TYPE_MESSAGE, True),
        (12, "positive_deltas", Field.TYPE_SINT64, True),
        (13, "positive_counts", Field.TYPE_DOUBLE, True),
        (14, "reset_hint", Field.TYPE_UINT32, False),  # an enum; on the wire the same
        (15, "timestamp", Field.TYPE_INT64, False),
        (16, "custom_values", Field.TYPE_DOUBLE, True),
        (17, "start_timestamp", Field.TYPE_INT64, False),
    ],
}


_ONE_OF = {
    "count_int": "count",
    "count_float": "count",
    "zero_count_int": "zero_count",
    "zero_count_float": "zero_count",
}

MESSAGES = messages("io.prometheus.write.v2", _MESSAGES, one_of=_ONE_OF)
"""Message name -> its class."""


class Symbols:
    """A table in the making; 0 is the empty string."""

    def __init__(self) -> None:
        self._numbers = {"": 0}

    def of(self, text: str) -> int:
        return self._numbers.setdefault(text, len(self._numbers))

    def refs(self, labels: Mapping[str, str]) -> list[int]:
        return [self.of(text) for pair in labels.items() for text in pair]

    @property
    def table(self) -> list[str]:
        return list(self._numbers)


@dataclass(frozen=True)
class Exemplar:
    labels: Mapping[str, str]
    value: float
    time_ms: int


@dataclass(frozen=True)
class Series:
    """`metadata`: (type number, help, unit). `histograms`: values of the fields of `Histogram`."""

    labels: Mapping[str, str]
    samples: Sequence[tuple[int, float]] = ()
    metadata: tuple[int, str, str] | None = None
    exemplars: Sequence[Exemplar] = ()
    histograms: Sequence[Mapping[str, Any]] = ()
    start_ms: int = 0


def message(series: Iterable[Series]) -> Any:
    """A `Request`."""
    symbols = Symbols()
    request = MESSAGES["Request"]()
    for one in series:
        written = request.timeseries.add(labels_refs=symbols.refs(one.labels))
        for time_ms, value in one.samples:
            written.samples.add(timestamp=time_ms, value=value, start_timestamp=one.start_ms)
        for fields in one.histograms:
            written.histograms.add(**fields)
        for exemplar in one.exemplars:
            refs = symbols.refs(exemplar.labels)
            written.exemplars.add(labels_refs=refs, value=exemplar.value, timestamp=exemplar.time_ms)
        if one.metadata is not None:
            kind, text, unit = one.metadata
            written.metadata.type = kind
            written.metadata.help_ref = symbols.of(text)
            written.metadata.unit_ref = symbols.of(unit)
    request.symbols.extend(symbols.table)
    return request


def compressed(request: Any) -> bytes:
    """A message as it is posted."""
    return bytes(snappy_codec.compress(request.SerializeToString()))


def body(series: Iterable[Series]) -> bytes:
    return compressed(message(series))
