"""Remote write rule by rule, standalone and in a cluster alike: what a series may hold. The sections named are those of
the public specifications of remote write 1.0 and 2.0.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import snappy

from tests.support import remote_write_v2 as v2
from tests.support.remote_write import field, varint
from tests.support.served import Served
from tests.support.write_rows import (
    V1_HEADERS,
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
