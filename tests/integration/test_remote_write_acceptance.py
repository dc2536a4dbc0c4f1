"""Remote write rule by rule, standalone and in a cluster alike. The sections named are those of the public
specifications of remote write 1.0 and 2.0, and of snappy's format description.
"""

import http.client
import itertools
import math
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cramjam
import pytest
import snappy

from tests.support import remote_write_v2 as v2
from tests.support.processes import Answer, fetch
from tests.support.remote_write import field, varint, write_request
from tests.support.remote_write import snappy as literals
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


# ---- protocol: headers and statuses (1.0 and 2.0, "Protocol") ------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "status", "version"),
    [
        ("", 204, 1),
        (V1_TYPE, 204, 1),
        (V1_TYPE + ";proto=prometheus.WriteRequest", 204, 1),
        (V1_TYPE + ";charset=utf-8", 204, 1),
        (v2.CONTENT_TYPE, 204, 2),
        (v2.CONTENT_TYPE.replace(";", " ; "), 204, 2),
        (v2.CONTENT_TYPE.replace("io.prometheus.write.v2.Request", '"io.prometheus.write.v2.Request"'), 204, 2),
        (v2.CONTENT_TYPE.replace("application", "Application"), 204, 2),
        (V1_TYPE + ";proto=io.prometheus.write.v3.Request", 415, 0),
        ("text/plain", 415, 0),
        ("application/json; proto=prometheus.WriteRequest", 415, 0),
    ],
    ids=["none", "1.0", "1.0-named", "other-parameter", "2.0", "blanks", "quotes", "case", "unknown", "text", "json"],
)
def test_the_content_type_names_the_message(content_type: str, status: int, version: int, world: Served) -> None:
    name = fresh()
    at = now_ms()
    body = encoded(v2.HEADERS if version == 2 else V1_HEADERS, {"__name__": name}, [(at, 1.0)])
    answer = post(world, body, {"Content-Type": content_type, "Content-Encoding": "snappy"})
    assert (answer.status, written(answer)) == (status, [1, 0, 0] if version == 2 else None)
    assert stored(world, name) == ([(at, "1")] if version else [])


@VERSIONS
@pytest.mark.parametrize(("encoding", "status"), [("snappy", 204), ("SNAPPY", 204), ("gzip", 415), ("zstd", 415)])
def test_snappy_is_the_one_encoding(headers: Mapping[str, str], encoding: str, status: int, world: Served) -> None:
    body = encoded(headers, {"__name__": fresh()}, [(now_ms(), 1.0)])
    answer = post(world, body, {**headers, "Content-Encoding": encoding})
    assert answer.status == status
    if status == 415:
        assert "only snappy is acceptable" in answer.json()["error"]
        assert written(answer) is None


@VERSIONS
def test_no_encoding_means_snappy(headers: Mapping[str, str], world: Served) -> None:
    body = encoded(headers, {"__name__": fresh()}, [(now_ms(), 1.0)])
    without = {name: value for name, value in headers.items() if name != "Content-Encoding"}
    assert post(world, body, without).status == 204


@VERSIONS
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_it_is_posted(headers: Mapping[str, str], method: str, world: Served) -> None:
    assert post(world, b"", headers, method).status == 405


@VERSIONS
def test_the_version_header_decides_nothing(headers: Mapping[str, str], world: Served) -> None:
    name = fresh()
    body = encoded(headers, {"__name__": name}, [(now_ms(), 1.0)])
    for said in ({"X-Prometheus-Remote-Write-Version": "9.9.9"}, {"X-Prometheus-Remote-Write-Version": ""}):
        assert post(world, body, {**headers, **said, "Retry-Attempt": "3"}).status == 204
    assert len(stored(world, name)) == 1


# ---- what cannot be decoded (snappy's block format; protobuf) -----------------------------------------------------

FRAMED = bytes(cramjam.snappy.compress(b"x" * 100))


@VERSIONS
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"\xff\xff", 400),
        (b"\xff\xff\xff\xff\xff\x01\x00", 400),
        (literals(b"x" * 50)[:-1], 400),
        (b"\x05" + literals(b"abcd")[1:], 400),
        (b"\x03" + literals(b"abcd")[1:], 400),
        (b"\x08\x0cabcd\x01\x00", 400),
        (b"\x08\x0cabcd\x01\x09", 400),
        (FRAMED, 400),
        (literals(b"\x0a\x05abc"), 400),
        (literals(b"\x0b"), 400),
        (literals(b"\x00\x00"), 400),
        (literals(b"\x2a\x03\x12\x05ab"), 400),
        (varint(LIMIT + 1) + b"\x00", 413),
    ],
    ids=[
        "nothing",
        "no-length",
        "length-beyond-32-bits",
        "cut",
        "longer-than-its-elements",
        "shorter-than-its-elements",
        "copy-of-offset-0",
        "copy-from-before-the-begin",
        "framed",
        "message-cut",
        "group",
        "field-0",
        "inner-message-cut",
        "too-large-declared",
    ],
)
def test_what_cannot_be_decoded(headers: Mapping[str, str], body: bytes, status: int, world: Served) -> None:
    answer = post(world, body, headers)
    if (body, headers) == (literals(b"\x0a\x05abc"), V1_HEADERS):
        assert "declares 5 bytes and 3 are left" in answer.json()["error"]
    assert (answer.status, written(answer)) == (status, [0, 0, 0] if headers is v2.HEADERS else None)
    assert answer.json()["status"] == "error"


@VERSIONS
def test_a_body_above_its_limit(headers: Mapping[str, str], world: Served) -> None:
    """It is refused before it comes, so that a client which sends on may not see why."""
    connection = http.client.HTTPConnection(*world.address_of("/api/v1/prom/write"), timeout=60)
    try:
        connection.putrequest("POST", "/api/v1/prom/write")
        for name, value in {**world.bearer, **headers, "Content-Length": str(LIMIT + 1)}.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        found = Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()
    assert (found.status, written(found)) == (413, [0, 0, 0] if headers is v2.HEADERS else None)
    assert str(LIMIT) in found.json()["error"]


def literal(data: bytes, length_bytes: int) -> bytes:
    tag = bytes([(59 + length_bytes) << 2])
    return tag + (len(data) - 1).to_bytes(length_bytes, "little") + data


@VERSIONS
@pytest.mark.parametrize("form", ["literal-1", "literal-2", "literal-3", "literal-4", "copy-1", "copy-2", "copy-4"])
def test_every_element_of_snappy(headers: Mapping[str, str], form: str, world: Served) -> None:
    name = fresh()
    labels = {"__name__": name, "a": "x" * 200}
    plain = bytes(snappy.uncompress(encoded(headers, labels, [(now_ms(), 1.0)])))
    kind, _, size = form.partition("-")
    if kind == "literal":
        body = varint(len(plain)) + b"".join(
            literal(plain[at : at + 200], int(size)) for at in range(0, len(plain), 200)
        )
    else:
        # A run of one byte is a copy that overlaps itself.
        start = plain.index(b"x" * 200) + 1
        length = 4 if size == "1" else 60
        copy = {
            "1": bytes([0b01, 1]),
            "2": bytes([(length - 1) << 2 | 0b10, 1, 0]),
            "4": bytes([(length - 1) << 2 | 0b11, 1, 0, 0, 0]),
        }[size]
        body = varint(len(plain)) + literal(plain[:start], 2) + copy + literal(plain[start + length :], 2)
    assert post(world, body, headers).status == 204
    assert len(stored(world, f'{name}{{a="{"x" * 200}"}}')) == 1


@VERSIONS
def test_an_empty_message_is_fine(headers: Mapping[str, str], world: Served) -> None:
    answer = post(world, b"\x00", headers)
    assert (answer.status, answer.body, written(answer)) == (204, b"", [0, 0, 0] if headers is v2.HEADERS else None)


# ---- messages (1.0 and 2.0, "Protobuf Message") -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "plain"),
    [
        (V1_HEADERS, "0a1e0a0e0a085f5f6e616d655f5f12027570120c09000000000000f03f10e807"),
        (v2.HEADERS, "220022085f5f6e616d655f5f220275702a160a020102120c09000000000000f03f10e8072a020802"),
    ],
    ids=["1.0", "2.0"],
)
def test_requests_written_down_byte_by_byte(headers: Mapping[str, str], plain: str, world: Served) -> None:
    answer = post(world, literals(bytes.fromhex(plain)), headers)
    assert (answer.status, written(answer)) == (204, [1, 0, 0] if headers is v2.HEADERS else None)
    assert stored(world, "up", at_ms=1000) == [(1000, "1")]


def sample(value: float, time_ms: int) -> bytes:
    return b"\x09" + struct.pack("<d", value) + b"\x10" + varint(time_ms)


def liberties_v1(name: str, at: int) -> bytes:
    """Unknown fields of every wire type, fields in another order, and twice what is singular."""
    unknown = b"\xa0\x06\x05" + b"\xa1\x06" + bytes(8) + b"\xa2\x06\x01x" + b"\xa5\x06" + bytes(4)
    label = field(2, b"old") + field(2, name.encode()) + unknown + field(1, b"x") + field(1, b"__name__")
    point = b"\x10" + varint(5) + sample(3.0, 7) + sample(1.0, at)
    return unknown + field(1, field(2, point) + unknown + field(1, label)) + unknown


def liberties_v2(name: str, at: int) -> bytes:
    """Likewise; references not packed, the table behind what refers to it."""
    unknown = b"\xa0\x06\x05" + b"\xa1\x06" + bytes(8) + b"\xa2\x06\x01x" + b"\xa5\x06" + bytes(4)
    point = b"\x10" + varint(5) + sample(3.0, 7) + sample(1.0, at)
    series = field(2, point) + unknown + b"\x08\x01" + b"\x08\x02"
    return unknown + field(5, series) + b"".join(field(4, text) for text in (b"", b"__name__", name.encode())) + unknown


@pytest.mark.parametrize(
    ("headers", "write"), [(V1_HEADERS, liberties_v1), (v2.HEADERS, liberties_v2)], ids=["1.0", "2.0"]
)
def test_liberties_that_protobuf_gives(
    headers: Mapping[str, str], write: Callable[[str, int], bytes], world: Served
) -> None:
    name, at = fresh(), now_ms()
    answer = post(world, bytes(snappy.compress(write(name, at))), headers)
    assert (answer.status, answer.body) == (204, b"")
    assert stored(world, name) == [(at, "1")]


def test_a_series_may_come_in_pieces_and_with_both_kinds_of_samples(world: Served) -> None:
    name, at = fresh(), now_ms()
    labels = {"__name__": name}
    histogram = {"count_int": 2, "zero_count_int": 2, "timestamp": at}
    answer = post(
        world,
        v2.body(
            [
                v2.Series(labels, [(at - 3, 1.0)]),
                v2.Series(labels, [(at - 2, 2.0)]),
                v2.Series(labels, [(at - 1, 3.0)], histograms=[histogram]),
            ]
        ),
    )
    assert (answer.status, written(answer)) == (204, [3, 1, 0])
    assert stored(world, name) == [(at - 3, "1"), (at - 2, "2"), (at - 1, "3"), (at, "2")]


def test_metadata_of_1_0_comes_by_itself(world: Served) -> None:
    name = fresh()
    entries = [(kind, f"{name}_{kind}", "Help.", "s") for kind in range(8)]
    assert post(world, bytes(snappy.compress(write_request([], entries))), V1_HEADERS).status == 204
    found = world.get("/api/v1/metadata").json()["data"]
    kinds = ["unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"]
    assert [found[f"{name}_{kind}"] for kind in range(8)] == [
        [{"type": kind, "help": "Help.", "unit": "s"}] for kind in kinds
    ]


@pytest.mark.parametrize(
    ("suffix", "kind", "said", "family"),
    [
        ("_total", v2.COUNTER, "counter", "_total"),
        ("_bucket", v2.HISTOGRAM, "histogram", ""),
        ("_count", v2.HISTOGRAM, "histogram", ""),
        ("_sum", v2.SUMMARY, "summary", ""),
        ("", v2.GAUGE, "gauge", ""),
        ("", 0, "unknown", ""),
    ],
)
def test_metadata_of_2_0_comes_with_a_series(suffix: str, kind: int, said: str, family: str, world: Served) -> None:
    name = fresh()
    labels = {"__name__": name + suffix, **({"le": "1.0"} if suffix == "_bucket" else {})}
    answer = post(world, v2.body([v2.Series(labels, [(now_ms(), 1.0)], (kind, "Help.", "s"))]))
    assert answer.status == 204
    found = world.get("/api/v1/metadata", metric=name + family).json()["data"]
    assert found == {name + family: [{"type": said, "help": "Help.", "unit": "s"}]}


# ---- labels (1.0 and 2.0, "Labels") -------------------------------------------------------------------------------


@VERSIONS
@pytest.mark.parametrize(
    ("labels", "kept"),
    [
        ({"b": "1", "a": "2"}, {"b": "1", "a": "2"}),
        ({"B": "1", "_": "2", "a": "3"}, {"B": "1", "_": "2", "a": "3"}),
        ({"a": 'ä\n"\\ \U0001f600'}, {"a": 'ä\n"\\ \U0001f600'}),
        ({"service.name": "x", "ü": "y"}, {"service.name": "x", "ü": "y"}),
        ({"__reserved": "1"}, {"__reserved": "1"}),
        ({"empty": "", "a": "1"}, {"a": "1"}),
    ],
    ids=["unsorted", "bytewise", "any-utf-8-value", "any-utf-8-name", "reserved", "empty-value"],
)
def test_labels_that_are_taken(
    headers: Mapping[str, str], labels: dict[str, str], kept: dict[str, str], world: Served
) -> None:
    name = fresh()
    answer = post(world, encoded(headers, {**labels, "__name__": name}, [(now_ms(), 1.0)]), headers)
    assert (answer.status, answer.body) == (204, b"")
    [series] = world.query(name)
    assert series["metric"] == {"__name__": name, **kept}


def raw_series(pairs: Sequence[tuple[bytes, bytes]], at: int) -> bytes:
    """A series of version 1 with labels that no mapping holds."""
    labels = b"".join(field(1, field(1, name) + field(2, value)) for name, value in pairs)
    return field(1, labels + field(2, sample(1.0, at)))


def raw_request_v2(pairs: Sequence[tuple[bytes, bytes]], at: int, neighbour: str) -> bytes:
    table = [b"", b"__name__", neighbour.encode(), *(text for pair in pairs for text in pair)]
    refs = b"".join(varint(number) for number in range(3, len(table)))
    good = field(5, field(1, b"\x01\x02") + field(2, sample(1.0, at)))
    return b"".join(field(4, text) for text in table) + field(5, field(1, refs) + field(2, sample(1.0, at))) + good


@VERSIONS
@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([(b"job", b"a")], "missing_name"),
        ([(b"__name__", b""), (b"job", b"a")], "missing_name"),
        ([], "missing_name"),
        ([(b"__name__", b"x"), (b"", b"a")], "empty_label_name"),
        ([(b"__name__", b"x"), (b"a", b"1"), (b"a", b"2")], "duplicate_label"),
        ([(b"__name__", b"x"), (b"__name__", b"y")], "duplicate_label"),
        ([(b"__name__", b"x"), (b"a", b"\xff")], "invalid_utf8"),
        ([(b"__name__", b"x"), (b"\xc3\x28", b"1")], "invalid_utf8"),
        ([(b"__name__", b"\xed\xa0\x80")], "invalid_utf8"),
        ([(b"__name__", b"x"), (b"a" * 1025, b"1")], "label_name_too_long"),
        ([(b"__name__", b"x"), (b"a", b"1" * 4097)], "label_value_too_long"),
        ([(b"__name__", b"x"), *((b"l%d" % n, b"1") for n in range(64))], "too_many_labels"),
    ],
    ids=[
        "no-name",
        "empty-metric-name",
        "no-labels",
        "empty-label-name",
        "twice",
        "name-twice",
        "value-not-utf-8",
        "label-not-utf-8",
        "surrogate",
        "long-name",
        "long-value",
        "many",
    ],
)
def test_labels_that_are_refused_beside_a_good_series(
    headers: Mapping[str, str], pairs: Sequence[tuple[bytes, bytes]], reason: str, world: Served
) -> None:
    name, at = fresh(), now_ms()
    if headers is V1_HEADERS:
        plain = raw_series(pairs, at) + raw_series([(b"__name__", name.encode())], at)
    else:
        plain = raw_request_v2(pairs, at, name)
    answer = post(world, bytes(snappy.compress(plain)), headers)
    assert (answer.status, written(answer)) == (400, [1, 0, 0] if headers is v2.HEADERS else None)
    assert f"1 {reason}" in answer.json()["error"]
    assert stored(world, name) == [(at, "1")]


# ---- references (2.0, "Symbols") ----------------------------------------------------------------------------------


def request_of(name: str, at: int, **fields: Any) -> Any:
    """A good series, and one with these fields, which may use the symbols 0 to 4."""
    request = v2.message([v2.Series({"__name__": name, "a": "b"}, [(at, 1.0)])])
    request.timeseries.add(**fields)
    return request


@pytest.mark.parametrize(
    ("fields", "counts", "error"),
    [
        (
            {"labels_refs": [1, 2, 3], "samples": [{"timestamp": 1, "value": 1}]},
            [1, 0, 0],
            "parsing labels for series [1 2 3]: invalid labelRefs length 3",
        ),
        (
            {"labels_refs": [1, 99], "samples": [{"timestamp": 1, "value": 1}]},
            [1, 0, 0],
            "outside of symbols table (size 5)",
        ),
        (
            {"labels_refs": [99, 1], "samples": [{"timestamp": 1, "value": 1}]},
            [1, 0, 0],
            "outside of symbols table (size 5)",
        ),
        (
            {"labels_refs": [1, 2], "samples": [{"timestamp": 1, "value": 1}], "metadata": {"help_ref": 9}},
            [1, 0, 0],
            "help_ref 9 outside of symbols table (size 5)",
        ),
        (
            {"labels_refs": [1, 2], "samples": [{"timestamp": 1, "value": 1}], "metadata": {"unit_ref": 9}},
            [1, 0, 0],
            "unit_ref 9 outside of symbols table (size 5)",
        ),
        ({"labels_refs": [1, 2]}, [1, 0, 0], "must contain at least one sample or histogram"),
        (
            {
                "labels_refs": [1, 2],
                "samples": [{"timestamp": 1, "value": 1}],
                "exemplars": [{"labels_refs": [3], "timestamp": 1}],
            },
            [2, 0, 0],
            "parsing exemplar",
        ),
        (
            {
                "labels_refs": [1, 2],
                "samples": [{"timestamp": 1, "value": 1}],
                "exemplars": [{"labels_refs": [3, 77], "timestamp": 1}],
            },
            [2, 0, 0],
            "parsing exemplar",
        ),
        (
            {
                "labels_refs": [1, 2],
                "samples": [{"timestamp": 1, "value": 1}],
                "exemplars": [{"labels_refs": [3, 4]}],
            },
            [2, 0, 0],
            "it has no timestamp",
        ),
    ],
    ids=[
        "odd",
        "value-outside",
        "name-outside",
        "help-outside",
        "unit-outside",
        "nothing-in-it",
        "exemplar-odd",
        "exemplar-outside",
        "exemplar-without-time",
    ],
)
def test_references_that_are_wrong_cost_their_series_only(
    fields: dict[str, Any], counts: list[int], error: str, world: Served
) -> None:
    name, at = fresh(), now_ms()
    answer = post(world, v2.compressed(request_of(name, at, **fields)))
    assert (answer.status, written(answer)) == (400, counts)
    assert error in answer.json()["error"]
    assert (at, "1") in stored(world, f'{name}{{a="b"}}')


def test_exemplars_may_come_in_a_series_of_their_own(world: Served) -> None:
    """Not as the specification has it, but as Prometheus sends them."""
    name, at = fresh(), now_ms()
    exemplar = v2.Exemplar({"id": "x"}, 0.5, at)
    alone = [v2.Series({"__name__": name}, [(at, 1.0)]), v2.Series({"__name__": name}, exemplars=[exemplar])]
    answer = post(world, v2.body(alone))
    assert (answer.status, written(answer)) == (204, [1, 0, 1])
    assert exemplars(world, name) == [({"id": "x"}, "0.5", at / 1000)]


# ---- samples (1.0 and 2.0, "Ordering", "Stale Markers"; upstream's storage) ---------------------------------------


@VERSIONS
@pytest.mark.parametrize(
    ("writes", "kept"),
    [
        ([[(0, 1.0)], [(1, 2.0)]], [(0, "1"), (1, "2")]),
        ([[(0, 1.0)], [(0, 1.0)]], [(0, "1")]),
        ([[(0, 1.0)], [(0, 2.0)]], [(0, "1")]),
        ([[(0, 1.0), (0, 2.0)]], [(0, "1")]),
        ([[(5, 1.0)], [(0, 2.0)]], [(0, "2"), (5, "1")]),
        ([[(5, 1.0), (0, 2.0), (3, 3.0)]], [(0, "2"), (3, "3"), (5, "1")]),
        ([[(0, 0.0)], [(0, -0.0)]], [(0, "0")]),
        ([[(0, math.inf), (1, -math.inf), (2, math.nan)]], [(0, "+Inf"), (1, "-Inf"), (2, "NaN")]),
        ([[(0, 5e-324), (1, 1.7976931348623157e308)]], [(0, "5e-324"), (1, "1.7976931348623157e+308")]),
    ],
    ids=[
        "newer",
        "again",
        "another-value-the-first-stays",
        "twice-in-a-request-the-first-stays",
        "older",
        "any-order-in-a-request",
        "zeros-differ-in-bits",
        "infinities-and-nan",
        "extremes",
    ],
)
def test_samples_of_a_series(
    headers: Mapping[str, str],
    writes: Sequence[Sequence[tuple[int, float]]],
    kept: Sequence[tuple[int, str]],
    world: Served,
) -> None:
    name, at = fresh(), now_ms() - 60_000
    for samples in writes:
        answer = post(world, encoded(headers, {"__name__": name}, [(at + t, value) for t, value in samples]), headers)
        assert (answer.status, answer.body) == (204, b"")
    assert stored(world, name) == [(at + t, value) for t, value in kept]


@VERSIONS
def test_a_sample_too_far_ahead_is_refused_alone(headers: Mapping[str, str], world: Served) -> None:
    name, at = fresh(), now_ms()
    ahead = at + 11 * 60_000
    answer = post(world, encoded(headers, {"__name__": name}, [(ahead, 1.0), (at, 2.0)]), headers)
    assert (answer.status, written(answer)) == (400, [1, 0, 0] if headers is v2.HEADERS else None)
    assert "1 too_far_in_future" in answer.json()["error"]
    assert stored(world, name) == [(at, "2")]
    assert post(world, encoded(headers, {"__name__": name}, [(at + 9 * 60_000, 3.0)]), headers).status == 204


@VERSIONS
def test_samples_of_any_age_are_taken(headers: Mapping[str, str], world: Served) -> None:
    name = fresh()
    for at in (1, 1_000_000_000_000):
        assert post(world, encoded(headers, {"__name__": name}, [(at, 1.0)]), headers).status == 204
        assert stored(world, name, at_ms=at) == [(at, "1")]


STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0_0000_0000_0002))[0]


@VERSIONS
def test_a_stale_marker_ends_a_series_until_it_comes_again(headers: Mapping[str, str], world: Served) -> None:
    name, at = fresh(), now_ms() - 60_000
    body = raw_samples(headers, name, [(at, 1.0), (at + 1000, STALE), (at + 2000, 3.0)])
    assert post(world, body, headers).status == 204
    seen = [len(world.query(name, time=(at + offset) / 1000)) for offset in (500, 1500, 2500)]
    assert seen == [1, 0, 1]
    assert stored(world, name) == [(at, "1"), (at + 2000, "3")]


def raw_samples(headers: Mapping[str, str], name: str, samples: Sequence[tuple[int, float]]) -> bytes:
    """Whose bits no float conversion touches."""
    points = b"".join(field(2, sample(value, at)) for at, value in samples)
    if headers is V1_HEADERS:
        plain = field(1, field(1, field(1, b"__name__") + field(2, name.encode())) + points)
    else:
        table = b"".join(field(4, text) for text in (b"", b"__name__", name.encode()))
        plain = table + field(5, field(1, b"\x01\x02") + points)
    return bytes(snappy.compress(plain))


def test_a_float_counts_before_a_histogram_of_its_time(world: Served) -> None:
    name, at = fresh(), now_ms()
    histogram = {"count_int": 2, "zero_count_int": 2, "timestamp": at}
    assert post(world, v2.body([v2.Series({"__name__": name}, [(at, 7.0)], histograms=[histogram])])).status == 204
    assert stored(world, name) == [(at, "7")]


# ---- native histograms (2.0, "Histogram"; upstream's validation) --------------------------------------------------

SPAN = {"offset": 0, "length": 1}
GOOD = {"count_int": 3, "sum": 1.5, "positive_spans": [SPAN], "positive_deltas": [3]}
CUSTOM = {"schema": -53, "custom_values": [1.0, 2.0], "count_int": 3, "positive_spans": [SPAN], "positive_deltas": [3]}


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        (GOOD, "3"),
        ({**GOOD, "schema": -4}, "3"),
        ({**GOOD, "schema": 8}, "3"),
        ({**GOOD, "schema": 52}, "3"),
        ({**GOOD, "sum": math.nan, "count_int": 5}, "5"),
        ({"count_float": 2.5, "positive_spans": [SPAN], "positive_counts": [2.25], "reset_hint": 3}, "2.5"),
        ({"count_int": 2, "zero_count_int": 2, "zero_threshold": 0.5}, "2"),
        ({"positive_spans": [{"offset": 0, "length": 0}]}, "0"),
        (
            {
                "count_int": 6,
                "negative_spans": [{"offset": -2, "length": 1}, {"offset": 3, "length": 2}],
                "negative_deltas": [1, 1, 1],
            },
            "6",
        ),
        (CUSTOM, "3"),
        ({**CUSTOM, "positive_spans": [{"offset": 2, "length": 1}]}, "3"),
    ],
    ids=[
        "integers",
        "coarsest",
        "finest",
        "finer-than-stored",
        "nan-observed",
        "floats-of-a-gauge",
        "zero-bucket-only",
        "empty",
        "negative-in-spans",
        "custom",
        "custom-last-bucket",
    ],
)
def test_histograms_that_are_taken(fields: dict[str, Any], count: str, world: Served) -> None:
    name, at = fresh(), now_ms()
    answer = post(world, v2.body([v2.Series({"__name__": name}, histograms=[{**fields, "timestamp": at}])]))
    assert (answer.status, answer.body, written(answer)) == (204, b"", [0, 1, 0])
    assert stored(world, name) == [(at, count)]


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({**GOOD, "schema": -5}, "the schema must be between -4 and 8"),
        ({**GOOD, "schema": 53}, "the schema must be between -4 and 8"),
        ({**GOOD, "schema": -54}, "the schema must be between -4 and 8"),
        (
            {**GOOD, "count_int": 6, "positive_spans": [SPAN, {"offset": -1, "length": 1}], "positive_deltas": [3, 0]},
            "a span has a negative offset",
        ),
        ({**GOOD, "positive_spans": [{"offset": 0, "length": 2}]}, "the spans specify a different number of buckets"),
        ({**GOOD, "positive_deltas": [3, 0]}, "the spans specify a different number of buckets"),
        ({**GOOD, "positive_deltas": [-1]}, "a bucket has a negative observation count"),
        ({**GOOD, "count_int": 4}, "the observation count is not the number of observations"),
        ({**GOOD, "zero_count_int": 1}, "the observation count is not the number of observations"),
        ({**GOOD, "sum": math.nan, "count_int": 2}, "the observation count is less than the number of observations"),
        ({"count_float": -1.0}, "the observation count is negative"),
        (
            {"count_float": 1.0, "positive_spans": [SPAN], "positive_counts": [-1.0]},
            "a bucket has a negative observation count",
        ),
        ({**GOOD, "custom_values": [1.0]}, "with an exponential schema there must be no custom bounds"),
        ({**CUSTOM, "custom_values": [2.0, 1.0]}, "custom bounds must be finite, not NaN, and in strictly increasing"),
        ({**CUSTOM, "custom_values": [1.0, 1.0]}, "custom bounds must be finite, not NaN, and in strictly increasing"),
        ({**CUSTOM, "custom_values": [1.0, math.inf]}, "custom bounds must be finite"),
        ({**CUSTOM, "custom_values": [math.nan]}, "custom bounds must be finite"),
        ({**CUSTOM, "positive_spans": [{"offset": 3, "length": 1}]}, "the custom bounds are too few"),
        ({**CUSTOM, "positive_spans": [{"offset": -1, "length": 1}]}, "a span has a negative offset"),
        ({**CUSTOM, "zero_threshold": 0.5}, "with custom buckets there must be no zero bucket"),
        ({**CUSTOM, "zero_count_int": 1, "count_int": 4}, "with custom buckets there must be no zero bucket"),
        (
            {**CUSTOM, "count_int": 4, "negative_spans": [SPAN], "negative_deltas": [1]},
            "with custom buckets there must be no zero bucket and no negative buckets",
        ),
    ],
    ids=[
        "schema-coarse",
        "schema-fine",
        "schema-unknown",
        "offset-negative",
        "spans-more",
        "spans-fewer",
        "bucket-negative",
        "count",
        "count-with-zeros",
        "count-with-nan",
        "float-count-negative",
        "float-bucket-negative",
        "bounds-in-exponential",
        "bounds-descend",
        "bounds-equal",
        "bounds-infinite",
        "bounds-nan",
        "bounds-too-few",
        "custom-offset-negative",
        "custom-zero-threshold",
        "custom-zero-count",
        "custom-negative",
    ],
)
def test_histograms_that_are_refused_beside_a_good_one(fields: dict[str, Any], rule: str, world: Served) -> None:
    name, at = fresh(), now_ms()
    histograms = [{**fields, "timestamp": at}, {**GOOD, "timestamp": at + 1}]
    answer = post(world, v2.body([v2.Series({"__name__": name}, histograms=histograms)]))
    assert (answer.status, written(answer)) == (400, [0, 1, 0])
    assert rule in answer.json()["error"]
    assert stored(world, name) == [(at + 1, "3")]


def test_a_histogram_whose_sum_is_the_stale_marker_ends_its_series(world: Served) -> None:
    name, at = fresh(), now_ms() - 60_000
    good = v2.body([v2.Series({"__name__": name}, histograms=[{**GOOD, "timestamp": at}])])
    assert post(world, good).status == 204
    marker = b"\x19" + struct.pack("<Q", 0x7FF0_0000_0000_0002) + b"\x78" + varint(at + 1000)
    labels = field(1, field(1, b"__name__") + field(2, name.encode()))
    assert post(world, bytes(snappy.compress(field(1, labels + field(4, marker)))), V1_HEADERS).status == 204
    assert [len(world.query(name, time=(at + offset) / 1000)) for offset in (500, 1500)] == [1, 0]


# ---- exemplars (2.0, "Exemplars"; upstream's storage) -------------------------------------------------------------


def exemplars(world: Served, name: str) -> list[tuple[dict[str, str], str, float]]:
    found = world.get("/api/v1/query_exemplars", query=name).json()["data"]
    return [(e["labels"], e["value"], e["timestamp"]) for series in found for e in series["exemplars"]]


@pytest.mark.parametrize(
    ("labels", "is_taken"),
    [
        ({"trace_id": "x" * 120}, True),
        ({"trace_id": "ä" * 120}, True),
        ({"trace_id": "x" * 121}, False),
        ({"a": "x" * 64, "b": "x" * 63}, False),
        ({}, True),
    ],
    ids=["128-characters", "128-characters-not-bytes", "129-characters", "129-in-two", "none"],
)
def test_exemplars_have_at_most_128_characters(labels: dict[str, str], is_taken: bool, world: Served) -> None:
    name, at = fresh(), now_ms()
    series = v2.Series({"__name__": name}, [(at, 1.0)], exemplars=[v2.Exemplar(labels, 0.5, at)])
    answer = post(world, v2.body([series]))
    assert (answer.status, written(answer)) == ((204, [1, 0, 1]) if is_taken else (400, [1, 0, 0]))
    assert exemplars(world, name) == ([(labels, "0.5", at / 1000)] if is_taken else [])
    # Of version 1 a bad one never fails its request.
    exemplar = b"".join(field(1, field(1, n.encode()) + field(2, v.encode())) for n, v in labels.items())
    exemplar += b"\x11" + struct.pack("<d", 0.5) + b"\x18" + varint(at)
    message = field(1, field(1, b"__name__") + field(2, f"{name}_1".encode())) + field(2, sample(1.0, at))
    plain = field(1, message + field(3, exemplar))
    assert post(world, bytes(snappy.compress(plain)), V1_HEADERS).status == 204
    assert stored(world, f"{name}_1") == [(at, "1")]
    assert len(exemplars(world, f"{name}_1")) == is_taken


def test_equal_exemplars_are_one_and_late_ones_are_taken(world: Served) -> None:
    name, at = fresh(), now_ms()
    late, newer = v2.Exemplar({"id": "l"}, 1.0, at - 5000), v2.Exemplar({"id": "n"}, 2.0, at)
    for one in (newer, newer, late):
        answer = post(world, v2.body([v2.Series({"__name__": name}, [(at, 1.0)], exemplars=[one])]))
        assert (answer.status, written(answer)) == (204, [1, 0, 1])
    assert exemplars(world, name) == [({"id": "l"}, "1", (at - 5000) / 1000), ({"id": "n"}, "2", at / 1000)]


# ---- partial writes and retries (2.0, "Partial Write") ------------------------------------------------------------


@VERSIONS
def test_what_is_sent_again_changes_nothing(headers: Mapping[str, str], world: Served) -> None:
    name, at = fresh(), now_ms()
    body = encoded(headers, {"__name__": name}, [(at - 1, 1.0), (at, 2.0)])
    for _ in range(3):
        answer = post(world, body, headers)
        assert (answer.status, written(answer)) == (204, [2, 0, 0] if headers is v2.HEADERS else None)
    assert stored(world, name) == [(at - 1, "1"), (at, "2")]


@VERSIONS
def test_a_wrong_credential_leaves_no_trace(headers: Mapping[str, str], world: Served) -> None:
    name = fresh()
    body = encoded(headers, {"__name__": name}, [(now_ms(), 1.0)])
    answer = post(world, body, {**headers, "Authorization": "Bearer of-nobody-at-all"})
    assert (answer.status, written(answer)) == (401, None)
    assert stored(world, name) == []


@VERSIONS
def test_an_error_begins_with_its_reason(headers: Mapping[str, str], world: Served) -> None:
    """Prometheus reads 1024 bytes."""
    many = b"x" * 4096
    pairs = [(b"__name__", b"x"), (b"a", many), (b"b", many + b"y")]
    plain = raw_series(pairs, now_ms()) if headers is V1_HEADERS else raw_request_v2(pairs, now_ms(), fresh())
    answer = post(world, bytes(snappy.compress(plain)), headers)
    assert answer.status == 400
    assert len(answer.body) <= 1024 + len('{"status":"error","errorType":"bad_data","error":""}')
    assert b"label_value_too_long" in answer.body[:200]


def test_start_timestamps_are_taken(world: Served) -> None:
    name, at = fresh(), now_ms()
    series = v2.Series({"__name__": name}, [(at, 5.0)], (v2.COUNTER, "", ""), start_ms=at - 10_000)
    answer = post(world, v2.body([series]))
    assert (answer.status, written(answer)) == (204, [1, 0, 0])
    assert stored(world, name) == [(at, "5")]
