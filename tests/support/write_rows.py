"""What tests of remote write, rule by rule, send and look at."""

import itertools
import struct
import time
from collections.abc import Mapping, Sequence

import pytest
import snappy

from tests.support import remote_write_v2 as v2
from tests.support.processes import Answer, fetch
from tests.support.remote_write import field, varint, write_request
from tests.support.served import Served

V1_TYPE = "application/x-protobuf"
V1_HEADERS = {
    "Content-Type": V1_TYPE,
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}

VERSIONS = pytest.mark.parametrize("headers", [V1_HEADERS, v2.HEADERS], ids=["1.0", "2.0"])

LIMIT = 32 << 20

_numbers = itertools.count()


def fresh() -> str:
    """A metric's name that nobody has used."""
    return f"row_{next(_numbers)}_{time.time_ns()}"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def post(world: Served, body: bytes, headers: Mapping[str, str] = v2.HEADERS, method: str = "POST") -> Answer:
    answer = fetch(world.base + "/api/v1/prom/write", data=body, headers={**world.bearer, **headers}, method=method)
    return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.body)


def written(answer: Answer) -> list[int] | None:
    """Samples, histograms, exemplars; None where nothing is said."""
    names = [f"x-prometheus-remote-write-{what}-written" for what in ("samples", "histograms", "exemplars")]
    said = [answer.headers[name] for name in names if name in answer.headers]
    assert len(said) in {0, 3}
    return [int(count) for count in said] or None


def stored(world: Served, selector: str, *, at_ms: int | None = None) -> list[tuple[int, str]]:
    """Time in ms and value of the samples of one series, of a histogram its count; none: [] ."""
    at_s = (now_ms() if at_ms is None else at_ms) / 1000 + 1
    found = world.query(f"{selector}[1h]", time=at_s)
    assert len(found) <= 1, found
    points = [(round(t * 1000), value) for series in found for t, value in series.get("values", [])]
    points += [(round(t * 1000), h["count"]) for series in found for t, h in series.get("histograms", [])]
    return sorted(points)


def encoded(version: Mapping[str, str], labels: Mapping[str, str], samples: Sequence[tuple[int, float]]) -> bytes:
    """One series in the message of a version."""
    if version is V1_HEADERS:
        return bytes(snappy.compress(write_request([(labels, samples)])))
    return v2.body([v2.Series(labels, samples)])


def sample(value: float, time_ms: int) -> bytes:
    return b"\x09" + struct.pack("<d", value) + b"\x10" + varint(time_ms)


def raw_series(pairs: Sequence[tuple[bytes, bytes]], at: int) -> bytes:
    """A series of version 1 with labels that no mapping holds."""
    labels = b"".join(field(1, field(1, name) + field(2, value)) for name, value in pairs)
    return field(1, labels + field(2, sample(1.0, at)))


def raw_request_v2(pairs: Sequence[tuple[bytes, bytes]], at: int, neighbour: str) -> bytes:
    table = [b"", b"__name__", neighbour.encode(), *(text for pair in pairs for text in pair)]
    refs = b"".join(varint(number) for number in range(3, len(table)))
    good = field(5, field(1, b"\x01\x02") + field(2, sample(1.0, at)))
    return b"".join(field(4, text) for text in table) + field(5, field(1, refs) + field(2, sample(1.0, at))) + good
