"""Inputs for decoders: good ones with a few changes, each as small as what it breaks needs."""

from collections.abc import Sequence

from hypothesis import strategies as st

_MOST_EDITS = 6

_EDGES = [
    b"\x00",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xff\xff\xff\x7f",
    b"\xff" * 4,
    b"\xff" * 8,
    b"\xff" * 9 + b"\x01",
    b"\x80" * 10,
    b"\x00\x00\x00\x00\x00\x00\xf0\x7f",
    b"\x02\x00\x00\x00\x00\x00\xf0\x7f",
    b"null",
    b"[]",
    b"{}",
    b"1e999",
    b'"',
]
"""Decoders that count fail at the edges of bytes, words, varints and floats; those of JSON at other kinds of values."""

_PLACES = 1 << 16


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds after up to six edits, or bytes of no meaning."""
    data = draw(st.sampled_from(seeds) | st.binary(max_size=64))
    edits = st.tuples(
        st.sampled_from(["set", "insert", "delete", "repeat", "cut", "splice"]),
        st.integers(0, _PLACES),
        st.binary(max_size=9) | st.sampled_from(_EDGES),
    )
    for kind, place, some in draw(st.lists(edits, max_size=_MOST_EDITS)):
        data = edited(data, kind, place, some, seeds)
    return data


def edited(data: bytes, kind: str, place: int, some: bytes, seeds: Sequence[bytes]) -> bytes:
    at = place * len(data) // _PLACES
    length = some[0] if some else 1
    match kind:
        case "set":
            return data[:at] + some + data[at + len(some) :]
        case "insert":
            return data[:at] + some + data[at:]
        case "delete":
            return data[:at] + data[at + length :]
        case "repeat":
            return data[: at + length] + data[at:]
        case "cut":
            return data[:at]
        case _:
            other = seeds[place % len(seeds)]
            return data[:at] + other[at:]
