"""What a test file loads as bodies of remote write."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from shared import native
from tests.support import remote_write, remote_write_v2
from tests.support.remote_write_v2 import MESSAGES, Symbols

from .series import Labels
from .storage import Sample

_V1_HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
_V1_SERIES, _V1_HISTOGRAM = 1, 4
_HINTS = {"unknown": 0, "reset": 1, "not_reset": 2, "gauge": 3}


def written(series: Sequence[tuple[Labels, Sequence[Sample]]]) -> tuple[bytes, Mapping[str, str]]:
    """A body and the headers that go with it: of remote write 2.0 where there are start timestamps or custom buckets,
    else of 1.0, so that native histograms come in both.
    """
    needs_v2 = any(
        sample.start_ms or (isinstance(sample.value, native.Histogram) and sample.value.custom_values)
        for _, samples in series
        for sample in samples
    )
    return (_v2(series), remote_write_v2.HEADERS) if needs_v2 else (_v1(series), _V1_HEADERS)


def _v1(series: Sequence[tuple[Labels, Sequence[Sample]]]) -> bytes:
    body = b""
    for labels, samples in series:
        floats = [(sample.time_ms, sample.value) for sample in samples if isinstance(sample.value, float)]
        one = remote_write.time_series(labels, floats)
        for sample in samples:
            if isinstance(sample.value, native.Histogram):
                message = MESSAGES["Histogram"](**_histogram(sample, sample.value))
                one += remote_write.field(_V1_HISTOGRAM, message.SerializeToString())
        body += remote_write.field(_V1_SERIES, one)
    return remote_write.snappy(body)


def _v2(series: Sequence[tuple[Labels, Sequence[Sample]]]) -> bytes:
    symbols = Symbols()
    request = MESSAGES["Request"]()
    for labels, samples in series:
        # One kind in each, as the specification asks.
        for is_float in (True, False):
            chosen = [sample for sample in samples if isinstance(sample.value, float) == is_float]
            if chosen:
                _add(request.timeseries.add(labels_refs=symbols.refs(labels)), chosen)
    request.symbols.extend(symbols.table)
    return remote_write_v2.compressed(request)


def _add(series: Any, samples: Sequence[Sample]) -> None:
    for sample in samples:
        if isinstance(sample.value, float):
            series.samples.add(timestamp=sample.time_ms, value=sample.value, start_timestamp=sample.start_ms)
        else:
            fields = _histogram(sample, sample.value)
            series.histograms.add(**fields, start_timestamp=sample.start_ms)


def _histogram(sample: Sample, histogram: native.Histogram) -> dict[str, Any]:
    """The fields of a `Histogram` message, with floats as counts."""
    return {
        "timestamp": sample.time_ms,
        "count_float": histogram.count,
        "sum": histogram.total,
        "schema": histogram.schema,
        "zero_threshold": histogram.zero_threshold,
        "zero_count_float": histogram.zero_count,
        "reset_hint": _HINTS[histogram.hint],
        "custom_values": histogram.custom_values,
        **_side("positive", histogram.positive),
        **_side("negative", histogram.negative),
    }


def _side(name: str, buckets: Sequence[tuple[int, float]]) -> dict[str, Any]:
    return {f"{name}_spans": list(_spans(buckets)), f"{name}_counts": [count for _, count in buckets]}


def _spans(buckets: Sequence[tuple[int, float]]) -> Iterator[Any]:
    """A span for each run of neighbours: its distance from the end of the one before, and its length."""
    end = 0
    for _, run in groupby(enumerate(index for index, _ in buckets), lambda numbered: numbered[1] - numbered[0]):
        indexes = [index for _, index in run]
        yield MESSAGES["BucketSpan"](offset=indexes[0] - end, length=len(indexes))
        end = indexes[-1] + 1
