"""The splitter as Python sees it: what is kept, what is refused and how that reads."""

import threading

import pytest

from shared import native
from tests.unit.wire import messages as m

NOW = 1_700_000_000_000
UID = b"instance-one-uid"
OTHER = b"instance-two-uid"
STALE = (0x7FF0000000000002).to_bytes(8, "little")


@pytest.fixture
def splitter() -> native.Splitter:
    return native.Splitter(secret=b"a cluster secret", partitions=16)


def split(
    splitter: native.Splitter, body: bytes, limits: native.WriteLimits | None = None, uid: bytes = UID, shards: int = 4
) -> native.SplitBatch:
    return splitter.split(body, uid=uid, shards=shards, limits=limits or native.WriteLimits(), now_ms=NOW)


def test_a_good_request_passes_as_it_came(splitter: native.Splitter) -> None:
    body = m.body(
        m.series(m.labels(name="up", job="a"), m.sample(NOW, 1.0), m.sample(NOW - 15_000, 0.0)),
        m.series(m.labels(name="up", job="b"), m.sample(NOW, 1.0)),
        m.metadata(2, "up", "Whether the target answered."),
    )
    batch = split(splitter, body)
    assert (batch.series, batch.samples, batch.metadata) == (2, 3, 1)
    assert batch.refused == []
    assert batch.body == body


BAD_LABELS = [
    ("missing_name", m.labels(job="a"), 'a series has no metric name (label __name__): {job="a"}'),
    ("empty_label_name", m.labels(name="up") + m.label("", "x"), 'a label has no name: up{""="x"}'),
    ("invalid_utf8", m.labels(name="up") + m.label("a", b"\xff"), 'label "a" is not valid UTF-8: up{a="\ufffd"}'),
    ("duplicate_label", m.labels(name="up", a="1") + m.label("a", "2"), 'label "a" occurs twice: up{a="1", a="2"}'),
    (
        "too_many_labels",
        m.labels(name="up", a="", b="1", c="2", d="3"),
        "4 labels are more than the limit max_labels of 3: up{",
    ),
    (
        "label_name_too_long",
        m.labels(name="up", nine_long="1"),
        'a label name of 9 bytes is over the limit max_name_bytes of 8: up{nine_long="1"}',
    ),
    (
        "label_value_too_long",
        m.labels(name="up", a="123456"),
        'the value of label "a" has 6 bytes, the limit max_value_bytes is 5: up{a="123456"}',
    ),
]


@pytest.mark.parametrize(("reason", "labels", "message"), BAD_LABELS, ids=[case[0] for case in BAD_LABELS])
def test_a_bad_series_is_refused_and_its_neighbours_are_kept(
    splitter: native.Splitter, reason: str, labels: bytes, message: str
) -> None:
    limits = native.WriteLimits(max_labels=3, max_name_bytes=8, max_value_bytes=5)
    good = [m.series(m.labels(name="up", job=job), m.sample(NOW, 1.5)) for job in "ab"]
    bad = m.series(labels, m.sample(NOW, 7.0), m.sample(NOW + 1, 7.0))
    batch = split(splitter, m.body(good[0], bad, good[1]), limits)
    assert [(found, count) for found, count, _ in batch.refused] == [(reason, 2)]
    assert batch.refused[0][2].startswith(message)
    assert m.stored(batch.body) == [({"__name__": "up", "job": job}, [(NOW, *m.bits([1.5]))]) for job in "ab"]


def test_time_bounds_refuse_samples_and_not_their_series(splitter: native.Splitter) -> None:
    limits = native.WriteLimits(max_age_ms=60_000, max_future_ms=60_000)
    times = [NOW - 60_001, NOW - 60_000, NOW, NOW + 60_000, NOW + 60_001]
    labels = m.labels(name="up", job="a")
    batch = split(splitter, m.body(m.series(labels, *(m.sample(time, 2.0) for time in times))), limits)
    assert [time for time, _ in m.stored(batch.body)[0][1]] == times[1:-1]
    assert batch.refused == [
        ("too_old", 1, f'a sample at {NOW - 60_001} is 60.001 s old, the limit max_age_s is 60 s: up{{job="a"}}'),
        (
            "too_far_in_future",
            1,
            f"a sample at {NOW + 60_001} is 60.001 s ahead of the server's clock, the limit max_future_s is 60 s: "
            'up{job="a"}',
        ),
    ]


def test_by_default_any_age_passes_and_ten_minutes_ahead(splitter: native.Splitter) -> None:
    samples = [m.sample(time, 1.0) for time in (0, NOW + 600_000, NOW + 600_001)]
    batch = split(splitter, m.body(m.series(m.labels(name="up"), *samples)))
    assert batch.samples == 2
    assert [(reason, count) for reason, count, _ in batch.refused] == [("too_far_in_future", 1)]
    unbounded = split(splitter, m.body(m.series(m.labels(name="up"), *samples)), native.WriteLimits(max_future_ms=None))
    assert (unbounded.samples, unbounded.refused) == (3, [])


def test_a_bad_native_histogram_is_refused_beside_good_samples(splitter: native.Splitter) -> None:
    labels = m.labels(name="latency")
    good, bad = m.histogram(NOW), m.histogram(NOW + 1, zeros=2)
    batch = split(splitter, m.body(m.series(labels, m.sample(NOW - 1, 1.0), good, bad, bad)))
    assert (batch.samples, batch.histograms) == (2, 1)
    (reason, count, message), *others = batch.refused
    assert (reason, count, others) == ("invalid_histogram", 2, [])
    assert message == (
        "a native histogram is invalid: the observation count is not the number of observations found in the buckets "
        "(schema 0, count 1, 0 positive and 0 negative buckets): latency"
    )
    assert split(splitter, batch.body).histograms == 1


def test_reasons_are_counted_over_the_request_with_the_first_example(splitter: native.Splitter) -> None:
    nameless = [m.series(m.labels(job=job), m.sample(NOW, 1.0)) for job in "abc"]
    good = m.series(m.labels(name="up"), m.sample(NOW, 1.0))
    batch = split(splitter, m.body(*nameless, good, m.metadata(1, "")))
    assert [(reason, count) for reason, count, _ in batch.refused] == [("invalid_metadata", 1), ("missing_name", 3)]
    assert batch.refused[1][2].endswith('{job="a"}')


def test_a_request_of_which_nothing_is_left_is_an_empty_batch(splitter: native.Splitter) -> None:
    batch = split(splitter, m.body(m.series(m.labels(job="a"), m.sample(NOW, 1.0))))
    assert (batch.series, batch.samples, len(batch.refused)) == (0, 0, 1)
    assert m.decompress(batch.body) == b""


def test_an_empty_request_is_fine(splitter: native.Splitter) -> None:
    batch = split(splitter, m.body())
    assert (batch.series, batch.samples, batch.metadata, batch.refused) == (0, 0, 0, [])


def test_stale_markers_and_other_nans_keep_their_bits(splitter: native.Splitter) -> None:
    payloads = [STALE, b"\x01\0\0\0\0\0\xf8\x7f", b"\xef\xbe\xad\xde\0\0\xf4\xff", b"\0\0\0\0\0\0\0\x80"]
    samples = [m.sample(NOW + i, payload) for i, payload in enumerate(payloads)]
    # A bad neighbour, so that the body is written again from the columns.
    bad = m.series(m.labels(job="a"), m.sample(NOW, 1.0))
    batch = split(splitter, m.body(m.series(m.labels(name="up"), *samples), bad))
    expected = [(NOW + i, int.from_bytes(payload, "little")) for i, payload in enumerate(payloads)]
    assert m.stored(batch.body) == [({"__name__": "up"}, expected)]


def test_empty_labels_are_absent_and_order_does_not_matter(splitter: native.Splitter) -> None:
    labels = m.label("z", "1") + m.label("empty", "") + m.label("__name__", "up") + m.label("a", "2")
    batch = split(splitter, m.body(m.series(labels, m.sample(NOW, 1.0))))
    assert (batch.series, batch.refused) == (1, [])


def test_exemplars_are_taken_and_unknown_fields_passed_over(splitter: native.Splitter) -> None:
    exemplar = m.field(3, m.label("trace_id", "x"))
    unknown = m.field(1000, b"anything") + m.varint(900 << 3) + m.varint(1 << 60)
    body = m.body(m.series(m.labels(name="up"), m.sample(NOW, 1.0), exemplar, unknown), unknown)
    batch = split(splitter, body)
    assert (batch.samples, batch.exemplars, batch.refused, batch.body) == (1, 1, [], body)


UNDECODABLE = {
    "not snappy": b"\xff" * 20,
    "nothing at all": b"",
    "cut": m.body(m.series(m.labels(name="up"), m.sample(NOW, 1.0)))[:-1],
    "a series longer than the request": m.body(b"\x0a\x7f\x01"),
    "a series that is a number": m.body(b"\x08\x01"),
    "a sample cut short": m.body(m.series(m.labels(name="up"), b"\x12\x03\x09\x00\x00")),
    "a label that is a number": m.body(m.series(m.field(1, b"\x08\x01"), m.sample(NOW, 1.0))),
    "a declared gigabyte": b"\x80\x80\x80\x80\x04\x00a",
    "framed snappy": b"\xff\x06\x00\x00sNaPpY",
}


@pytest.mark.parametrize("body", UNDECODABLE.values(), ids=UNDECODABLE.keys())
def test_what_cannot_be_decoded_is_refused_as_a_whole(splitter: native.Splitter, body: bytes) -> None:
    with pytest.raises(native.BadDataError):
        split(splitter, body, native.WriteLimits(max_decoded_bytes=1 << 31))


def test_sizes_over_the_limit_are_too_large(splitter: native.Splitter) -> None:
    body = m.body(m.series(m.labels(name="up"), m.sample(NOW, 1.0)))
    with pytest.raises(native.TooLargeError, match="the limit max_body_bytes is 10"):
        split(splitter, body, native.WriteLimits(max_body_bytes=10))
    with pytest.raises(native.TooLargeError, match="declares 36 bytes decompressed, the limit max_decoded_bytes is 31"):
        split(splitter, body, native.WriteLimits(max_decoded_bytes=31))


def test_instances_use_consecutive_partitions_of_their_own(splitter: native.Splitter) -> None:
    starts = set()
    for i in range(64):
        partitions = splitter.partitions_of(i.to_bytes(16, "big"), 4)
        assert partitions == [(partitions[0] + k) % 16 for k in range(4)]
        starts.add(partitions[0])
    assert len(starts) > 8
    assert splitter.partitions_of(UID, 4)[:2] == splitter.partitions_of(UID, 2)
    other_secret = native.Splitter(secret=b"another secret", partitions=1 << 15)
    same_secret = native.Splitter(secret=b"a cluster secret", partitions=1 << 15)
    assert other_secret.partitions_of(UID, 1) != same_secret.partitions_of(UID, 1)
    assert same_secret.partitions_of(OTHER, 1) != same_secret.partitions_of(UID, 1)


def test_arguments_are_checked(splitter: native.Splitter) -> None:
    with pytest.raises(ValueError, match="a uid has 16 bytes, not 5"):
        splitter.partitions_of(b"short", 1)
    with pytest.raises(native.BadDataError, match="power of two and at most the 16 partitions"):
        split(splitter, m.body(), shards=3)
    with pytest.raises(native.BadDataError, match="secret"):
        native.Splitter(secret=b"", partitions=4)


def test_threads_share_a_splitter(splitter: native.Splitter) -> None:
    bodies = [
        m.body(*(m.series(m.labels(name="up", i=str(i), part=str(part)), m.sample(NOW, 1.0)) for i in range(200)))
        for part in range(4)
    ]
    failures: list[str] = []

    def work(body: bytes) -> None:
        for _ in range(20):
            batch = split(splitter, body)
            if (batch.series, batch.refused) != (200, []):
                failures.append(f"{batch.series} series, refused {batch.refused}")

    threads = [threading.Thread(target=work, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
