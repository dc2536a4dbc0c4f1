"""Remote write rule by rule, standalone and in a cluster alike: requests and messages. The sections named are those of
the public specifications of remote write 1.0 and 2.0, and of snappy's format description.
"""

import http.client
from collections.abc import Callable, Mapping

import cramjam
import pytest
import snappy

from tests.support import remote_write_v2 as v2
from tests.support.processes import Answer
from tests.support.remote_write import field, varint, write_request
from tests.support.remote_write import snappy as literals
from tests.support.served import Served
from tests.support.write_rows import (
    LIMIT,
    V1_HEADERS,
    V1_TYPE,
    VERSIONS,
    encoded,
    fresh,
    now_ms,
    post,
    raw_request_v2,
    raw_series,
    sample,
    stored,
    written,
)

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
