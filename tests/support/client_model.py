"""`io.prometheus.client` messages, as client libraries push them, by protobuf's own runtime."""

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

from tests.support.protobuf import messages
from tests.support.remote_write import read_varint, varint

CONTENT_TYPE = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

COUNTER, GAUGE, SUMMARY, UNTYPED, HISTOGRAM, GAUGE_HISTOGRAM = range(6)

_DOUBLE, _MESSAGE, _STRING, _UINT64 = Field.TYPE_DOUBLE, Field.TYPE_MESSAGE, Field.TYPE_STRING, Field.TYPE_UINT64

MESSAGES = messages(
    "io.prometheus.client",
    {
        "MetricFamily": [
            (1, "name", _STRING, False),
            (2, "help", _STRING, False),
            (3, "type", Field.TYPE_INT32, False),  # an enum; on the wire the same
            (4, "metric.Metric", _MESSAGE, True),
        ],
        "Metric": [
            (1, "label.LabelPair", _MESSAGE, True),
            (2, "gauge.Plain", _MESSAGE, False),
            (3, "counter.Plain", _MESSAGE, False),
            (4, "summary.Summary", _MESSAGE, False),
            (5, "untyped.Plain", _MESSAGE, False),
            (6, "timestamp_ms", Field.TYPE_INT64, False),
            (7, "histogram.Histogram", _MESSAGE, False),
        ],
        "LabelPair": [(1, "name", _STRING, False), (2, "value", _STRING, False)],
        "Plain": [(1, "value", _DOUBLE, False), (2, "exemplar.Exemplar", _MESSAGE, False)],
        "Quantile": [(1, "quantile", _DOUBLE, False), (2, "value", _DOUBLE, False)],
        "Summary": [
            (1, "sample_count", _UINT64, False),
            (2, "sample_sum", _DOUBLE, False),
            (3, "quantile.Quantile", _MESSAGE, True),
        ],
        "Bucket": [
            (1, "cumulative_count", _UINT64, False),
            (2, "upper_bound", _DOUBLE, False),
            (3, "exemplar.Exemplar", _MESSAGE, False),
            (4, "cumulative_count_float", _DOUBLE, False),
        ],
        "BucketSpan": [(1, "offset", Field.TYPE_SINT32, False), (2, "length", Field.TYPE_UINT32, False)],
        "Timestamp": [(1, "seconds", Field.TYPE_INT64, False), (2, "nanos", Field.TYPE_INT32, False)],
        "Exemplar": [
            (1, "label.LabelPair", _MESSAGE, True),
            (2, "value", _DOUBLE, False),
            (3, "timestamp.Timestamp", _MESSAGE, False),
        ],
        "Histogram": [
            (1, "sample_count", _UINT64, False),
            (2, "sample_sum", _DOUBLE, False),
            (3, "bucket.Bucket", _MESSAGE, True),
            (4, "sample_count_float", _DOUBLE, False),
            (5, "schema", Field.TYPE_SINT32, False),
            (6, "zero_threshold", _DOUBLE, False),
            (7, "zero_count", _UINT64, False),
            (8, "zero_count_float", _DOUBLE, False),
            (9, "negative_span.BucketSpan", _MESSAGE, True),
            (10, "negative_delta", Field.TYPE_SINT64, True),
            (11, "negative_count", _DOUBLE, True),
            (12, "positive_span.BucketSpan", _MESSAGE, True),
            (13, "positive_delta", Field.TYPE_SINT64, True),
            (14, "positive_count", _DOUBLE, True),
            (16, "exemplars.Exemplar", _MESSAGE, True),
        ],
    },
    syntax="proto2",
)
"""Message name -> its class. Gauge, Counter and Untyped, which differ in exemplars only, are `Plain`."""


def family(name: str, kind: int, *metrics: dict[str, Any], text: str = "") -> Any:
    """`metrics`: values of the fields of `Metric`, as protobuf's runtime takes them."""
    return MESSAGES["MetricFamily"](name=name, type=kind, metric=metrics, **({"help": text} if text else {}))


def read_delimited(body: bytes) -> Iterator[Any]:
    """The families of a body."""
    at = 0
    while at < len(body):
        size, at = read_varint(body, at)
        yield MESSAGES["MetricFamily"].FromString(body[at : at + size])  # type: ignore[attr-defined]
        at += size


def delimited(families: Iterable[Any]) -> bytes:
    parts = [message.SerializeToString() for message in families]
    return b"".join(varint(len(part)) + part for part in parts)
