"""What the operators of a query share, and the operators that change labels or turn frames into series."""

import math

import pytest

from shared import native

from .frames import STEP_MS, Rows, frame_of, grid_of, rows_of, series_of


def test_a_cancelled_query_does_nothing_more() -> None:
    query = native.Query()
    series = series_of(query, [({}, [1])])
    query.cancel()
    with pytest.raises(native.CanceledError):
        native.select_instant(query, series, grid_of(1), offset_ms=0, lookback_ms=1)


def test_held_samples_are_limited_and_given_back() -> None:
    query = native.Query(max_samples=5)
    series = series_of(query, [({"x": str(i)}, [1, 1]) for i in range(2)])
    for _ in range(3):
        native.select_instant(query, series, grid_of(2), offset_ms=0, lookback_ms=1)
    held = native.select_instant(query, series, grid_of(2), offset_ms=0, lookback_ms=1)
    with pytest.raises(native.ExecutionError) as raised:
        native.select_instant(query, series, grid_of(2), offset_ms=0, lookback_ms=1)
    text = "query processing would load too many samples into memory in query execution"
    assert str(raised.value) == f"{text}: more than 5 at a time, the instance's limit max_query_samples: 8 or more"
    assert held.rows == 2
    wide = series_of(query, [({}, [1.0] * 10)])
    with pytest.raises(native.ExecutionError, match=text):
        native.select_range(query, wide, (9 * STEP_MS, 1, 1), "sum_over_time", range_ms=10 * STEP_MS, offset_ms=0)
    assert query.peak_samples > 5


def test_memory_is_limited() -> None:
    query = native.Query(max_bytes=10_000)
    with pytest.raises(native.ExecutionError, match="10000 bytes of memory"):
        frame_of(query, [({"x": str(i)}, [1.0] * 100) for i in range(20)])
    assert query.peak_bytes > 10_000


def test_rates_note_names_that_are_no_counters() -> None:
    query = native.Query()
    series = series_of(
        query,
        [
            ({"__name__": "a_total"}, [1, 2]),
            ({"__name__": "gauge", "x": "1"}, [1, 2]),
            ({"__name__": "gauge", "x": "2"}, [1, 2]),
            ({"__name__": "lonely"}, [1, None]),
        ],
    )
    native.select_range(query, series, grid_of(2), "rate", range_ms=STEP_MS * 2, offset_ms=0)
    assert query.take_notes() == [("not_a_counter", "", "gauge")]


def test_dropped_names_merge_rows_that_never_meet() -> None:
    query = native.Query()
    apart: Rows = [({"__name__": "a", "x": "1"}, [1, None]), ({"__name__": "b", "x": "1"}, [None, 2])]
    assert rows_of(query, native.drop_names(query, frame_of(query, apart))) == [({"x": "1"}, [1, 2])]
    together: Rows = [({"__name__": "a"}, [1]), ({"__name__": "b"}, [2])]
    with pytest.raises(native.ExecutionError, match="vector cannot contain metrics with the same labelset"):
        native.drop_names(query, frame_of(query, together))


def test_labels_are_replaced_and_joined() -> None:
    query = native.Query()
    frame = frame_of(query, [({"src": "a-1", "z": "z"}, [1]), ({"src": "b"}, [2])])
    replaced = native.label_replace(query, frame, "dst", "$2.${1}", "src", "(.*)-(.*)")
    assert rows_of(query, replaced) == [({"dst": "1.a", "src": "a-1", "z": "z"}, [1]), ({"src": "b"}, [2])]
    removed = native.label_replace(query, frame, "src", "", "src", "b")
    assert rows_of(query, removed) == [({}, [2]), ({"src": "a-1", "z": "z"}, [1])]
    joined = native.label_join(query, frame, "dst", "/", ["z", "src", "none"])
    assert [row[0]["dst"] for row in rows_of(query, joined)] == ["/b/", "z/a-1/"]
    with pytest.raises(native.ExecutionError) as raised:
        native.label_replace(query, frame, "dst", "", "src", "(.*")
    assert str(raised.value) == "invalid regular expression in label_replace(): (.*"


def test_a_frame_is_a_source_of_samples() -> None:
    query = native.Query()
    inner = frame_of(query, [({"x": "1"}, [1, 2, 3, 4]), ({"x": "2"}, [1, None, 3, None])])
    series = native.as_series(query, inner, grid_of(4))
    sums = native.select_range(query, series, grid_of(4), "sum_over_time", range_ms=2 * STEP_MS, offset_ms=0)
    assert rows_of(query, sums) == [({"x": "1"}, [1, 3, 5, 7]), ({"x": "2"}, [1, 1, 3, 3])]


def test_scalars_and_absence() -> None:
    query = native.Query()
    frame = frame_of(query, [({"x": "1"}, [1, 2, None]), ({"x": "2"}, [1, None, None])])
    values = rows_of(query, native.to_scalar(frame))[0][1]
    assert values[1] == 2
    assert all(math.isnan(value) for value in (values[0], values[2]) if value is not None)
    absent = native.absent(query, frame, [("job", "a"), ("b", "c")])
    assert rows_of(query, absent) == [({"b": "c", "job": "a"}, [None, None, 1])]


def test_series_from_samples_refuses_what_is_not_a_series() -> None:
    query = native.Query()
    for times, values in [([2, 1], [1.0, 1.0]), ([1, 1], [1.0, 1.0]), ([1], [])]:
        with pytest.raises(native.BadDataError):
            native.series_from_samples(query, [({}, times, values)])


def test_buckets_are_repaired_and_told() -> None:
    query = native.Query()
    buckets: Rows = [({"le": "1"}, [5, 5]), ({"le": "2.0"}, [3, 6]), ({"le": "+Inf"}, [6, 6]), ({"le": "x"}, [1, 1])]
    result = native.histogram_quantile(query, native.number(0.5, 1), frame_of(query, buckets))
    assert rows_of(query, result) == [({}, [0.6, 0.6])]
    assert query.take_notes() == [("bad_bucket_label", "x", ""), ("forced_monotonicity", "2 2 2 1 0 0", "")]


@pytest.mark.parametrize("call", ["rate_over_time", "no_such"])
def test_unknown_names_are_bad_data(call: str) -> None:
    query = native.Query()
    series = series_of(query, [({}, [1])])
    with pytest.raises(native.BadDataError):
        native.select_range(query, series, grid_of(1), call, range_ms=1, offset_ms=0)
    with pytest.raises(native.BadDataError):
        native.apply_function(query, call, frame_of(query, [({}, [1])]), grid=grid_of(1))


def test_too_many_samples_are_refused_when_they_are_met() -> None:
    query = native.Query(max_samples=1500)
    series = series_of(query, [({"x": str(i)}, [1.0]) for i in range(5000)])
    with pytest.raises(native.ExecutionError, match="more than 1500 at a time"):
        native.select_instant(query, series, grid_of(1), offset_ms=0, lookback_ms=1)
    assert query.samples_read == 2048  # of two chunks of rows


@pytest.mark.parametrize("write", ["vector", "matrix", "samples"])
def test_the_text_of_an_answer_counts_with_its_copies(write: str) -> None:
    def written(query: native.Query) -> bytes:
        rows = [({"x": str(i) + "y" * 1000}, [1.0]) for i in range(2000)]
        if write == "samples":
            return native.json_samples(query, series_of(query, rows), 0, 0, 0)[0]
        frame = frame_of(query, rows)
        writer = native.json_vector if write == "vector" else native.json_matrix
        return writer(query, frame, grid_of(1), 0)[0]

    query = native.Query()
    text = written(query)
    assert len(text) > 2_000_000
    assert query.peak_bytes >= 3 * len(text)
    with pytest.raises(native.ExecutionError, match="the instance's limit max_query_bytes"):
        written(native.Query(max_bytes=2 * len(text)))
