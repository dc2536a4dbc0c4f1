"""Native histograms as remote write 1.0 sends them, in plain Python from the specification."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.support.remote_write import field as message
from tests.support.remote_write import snappy, time_series, varint

CUSTOM = -53
STALE_BITS = 0x7FF0_0000_0000_0002


@dataclass(frozen=True)
class Sent:
    """Buckets by index. `bounds` belong to the schema `CUSTOM`."""

    time_ms: int
    positive: Mapping[int, float]
    total: float = 0.0
    schema: int = 0
    negative: Mapping[int, float] = field(default_factory=dict)
    bounds: Sequence[float] = ()
    is_float: bool = False
    is_gauge: bool = False

    @property
    def count(self) -> float:
        return sum(self.positive.values()) + sum(self.negative.values())

    def encode(self) -> bytes:
        """A `Histogram` message."""
        count = b"\x11" + struct.pack("<d", self.count) if self.is_float else b"\x08" + varint(int(self.count))
        parts = [count, b"\x19" + struct.pack("<d", self.total), b"\x20" + varint(_zigzag(self.schema))]
        parts += self._side(self.negative, 8) + self._side(self.positive, 11)
        parts += [message(16, struct.pack(f"<{len(self.bounds)}d", *self.bounds))] if self.bounds else []
        parts += [b"\x70\x03"] if self.is_gauge else []
        return b"".join([*parts, b"\x78", varint(self.time_ms)])

    def _side(self, buckets: Mapping[int, float], number: int) -> list[bytes]:
        """A span for each bucket, then the counts."""
        parts, end, before = [], 0, 0
        for index in sorted(buckets):
            parts.append(message(number, b"\x08" + varint(_zigzag(index - end)) + b"\x10\x01"))
            end = index + 1
        counts = b""
        for index in sorted(buckets):
            if self.is_float:
                counts += struct.pack("<d", buckets[index])
            else:
                counts += varint(_zigzag(int(buckets[index]) - before))
                before = int(buckets[index])
        return [*parts, message(number + (2 if self.is_float else 1), counts)]


def stale(time_ms: int) -> bytes:
    """The `Histogram` message that ends a series."""
    return b"\x19" + struct.pack("<Q", STALE_BITS) + b"\x78" + varint(time_ms)


def body(
    labels: Mapping[str, str],
    histograms: Iterable[Sent | bytes] = (),
    samples: Iterable[tuple[int, float]] = (),
) -> bytes:
    """A request with one series, as it is posted."""
    messages = (sent if isinstance(sent, bytes) else sent.encode() for sent in histograms)
    series = time_series(labels, samples) + b"".join(message(4, sent) for sent in messages)
    return snappy(message(1, series))


def _zigzag(value: int) -> int:
    return (value << 1) ^ (value >> 63)
