"""Remote-write 1.0 messages field by field, from the specification: tests also write what no sender should."""

import struct
from collections.abc import Iterable, Iterator

from tests.support.remote_write import field, snappy, varint


def label(name: bytes | str, value: bytes | str) -> bytes:
    return field(1, field(1, _utf8(name)) + field(2, _utf8(value)))


def labels(**pairs: str) -> bytes:
    """`__name__` is given as `name`."""
    return b"".join(label("__name__" if name == "name" else name, value) for name, value in pairs.items())


def sample(time_ms: int, value: float | bytes) -> bytes:
    """`value` may be the eight bytes of a double, since Python does not promise to keep every NaN."""
    bits = value if isinstance(value, bytes) else struct.pack("<d", value)
    return field(2, b"\x09" + bits + b"\x10" + varint(time_ms))


def histogram(time_ms: int, *, zeros: int = 1, count: int = 1) -> bytes:
    """An integer histogram: its count, and observations in the zero bucket, the only one."""
    return field(4, b"\x08" + varint(count) + b"\x30" + varint(zeros) + b"\x78" + varint(time_ms))


def series(*parts: bytes) -> bytes:
    return field(1, b"".join(parts))


def metadata(kind: int, family: str, description: str = "", unit: str = "") -> bytes:
    texts = field(2, family.encode()) + field(4, description.encode()) + field(5, unit.encode())
    return field(3, b"\x08" + varint(kind) + texts)


def body(*messages: bytes) -> bytes:
    """A request as it is posted."""
    return snappy(b"".join(messages))


def decompress(body: bytes) -> bytes:
    """Snappy's block format, slowly."""
    length, at = _read_varint(body, 0)
    out = bytearray()
    while at < len(body):
        tag = body[at]
        kind, size = tag & 3, tag >> 2
        at += 1
        if kind == 0:
            extra = max(0, size - 59)
            size = int.from_bytes(body[at : at + extra], "little") if extra else size
            at += extra
            out += body[at : at + size + 1]
            at += size + 1
            continue
        if kind == 1:
            offset, size, width = (tag >> 5) << 8, (size & 7) + 3, 1
        else:
            offset, width = 0, 2 if kind == 2 else 4
        offset |= int.from_bytes(body[at : at + width], "little")
        at += width
        for _ in range(size + 1):
            out.append(out[-offset])
    assert len(out) == length
    return bytes(out)


def fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """(number, content) of each field: bytes, or the number of a varint or fixed64."""
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        content: bytes | int
        if tag & 7 == 0:
            content, at = _read_varint(message, at)
        elif tag & 7 == 1:
            content, at = int.from_bytes(message[at : at + 8], "little"), at + 8
        else:
            size, at = _read_varint(message, at)
            content, at = message[at : at + size], at + size
        yield tag >> 3, content


def stored(body: bytes) -> list[tuple[dict[str, str], list[tuple[int, int]]]]:
    """(labels, [(time, value bits)]) of each series of a body."""
    return [_stored_series(_bytes(content)) for number, content in fields(decompress(body)) if number == 1]


def _stored_series(message: bytes) -> tuple[dict[str, str], list[tuple[int, int]]]:
    names: dict[str, str] = {}
    samples: list[tuple[int, int]] = []
    for number, content in fields(message):
        inner = dict(fields(_bytes(content)))
        if number == 1:
            names[_bytes(inner[1]).decode()] = _bytes(inner[2]).decode()
        elif number == 2:
            samples.append((_number(inner.get(2, 0)), _number(inner.get(1, 0))))
    return names, samples


def bits(values: Iterable[float]) -> list[int]:
    return [int.from_bytes(struct.pack("<d", value), "little") for value in values]


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _utf8(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def _bytes(content: bytes | int) -> bytes:
    assert isinstance(content, bytes)
    return content


def _number(content: bytes | int) -> int:
    assert isinstance(content, int)
    return content
