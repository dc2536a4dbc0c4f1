"""Remote-write 1.0 bodies, written and read in plain Python from the specification, not by the code under test."""

import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import snappy as snappy_codec

Series = tuple[Mapping[str, str], Sequence[tuple[int, float]]]
"""Labels, and (time in ms, value)."""

Entry = tuple[int, str, str, str]
"""Metadata: (type number, family, help, unit)."""

_LITERAL_BYTES = 1 << 16


def write_request(series: Iterable[Series] = (), metadata: Iterable[Entry] = ()) -> bytes:
    """A `WriteRequest` message, not compressed. Labels are written in the order of the mapping."""
    body = b"".join(field(1, time_series(labels, samples)) for labels, samples in series)
    return body + b"".join(field(3, _metadata(*entry)) for entry in metadata)


def body(series: Iterable[Series] = (), metadata: Iterable[Entry] = ()) -> bytes:
    """A `WriteRequest` as it is posted: in snappy's block format."""
    return snappy(write_request(series, metadata))


def some_samples(count: int = 3) -> bytes:
    """A body of `count` series `up`, one sample each, of now; the value is the number in the label `job`."""
    now_ms = time.time_ns() // 1_000_000
    return body([({"__name__": "up", "job": str(job)}, [(now_ms, float(job))]) for job in range(count)])


def time_series(labels: Mapping[str, str], samples: Iterable[tuple[int, float]]) -> bytes:
    parts = [field(1, field(1, name.encode()) + field(2, value.encode())) for name, value in labels.items()]
    parts += [field(2, _sample(time_ms, value)) for time_ms, value in samples]
    return b"".join(parts)


def snappy(data: bytes) -> bytes:
    """Snappy's block format with literals only."""
    out = [varint(len(data))]
    for start in range(0, len(data), _LITERAL_BYTES):
        literal = data[start : start + _LITERAL_BYTES]
        # Tag 61 << 2: a literal whose length, less one, follows in two bytes.
        out.append(bytes([61 << 2]) + struct.pack("<H", len(literal) - 1) + literal)
    return b"".join(out)


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # a negative int64 takes ten bytes
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def _sample(time_ms: int, value: float) -> bytes:
    return varint(1 << 3 | 1) + struct.pack("<d", value) + varint(2 << 3) + varint(time_ms)


def _metadata(kind: int, family: str, text: str, unit: str) -> bytes:
    return varint(1 << 3) + varint(kind) + field(2, family.encode()) + field(4, text.encode()) + field(5, unit.encode())


def read_body(data: bytes) -> list[Series]:
    """The series of a posted body, with samples of one value and one time each as a load generator makes them."""
    series: list[Series] = []
    for number, message in _fields(snappy_codec.uncompress(data)):
        if number != 1:
            continue
        labels: dict[str, str] = {}
        samples: list[tuple[int, float]] = []
        for kind, inner in _fields(message):
            parts = dict(_fields(inner))
            if kind == 1:
                labels[parts[1].decode()] = parts[2].decode()
            elif kind == 2:
                samples.append((parts.get(2, 0), struct.unpack("<d", parts.get(1, bytes(8)))[0]))
        series.append((labels, samples))
    return series


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """(field number, value): bytes of a length-delimited or fixed field, else an int."""
    at = 0
    while at < len(message):
        tag, at = read_varint(message, at)
        if tag & 7 == 0:
            value, at = read_varint(message, at)
            yield tag >> 3, value
            continue
        size, at = (8, at) if tag & 7 == 1 else read_varint(message, at)
        yield tag >> 3, message[at : at + size]
        at += size


def read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (message[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if message[at - 1] < 0x80:
            return value, at
