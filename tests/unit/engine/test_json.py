"""Answers as the query API writes them."""

import json
import math

import pytest

from shared import native

from .frames import STEP_MS, Rows, frame_of, grid_of, series_of


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1e-7, "1e-07"),
        (-0.0, "-0"),
        (1 / 3, "0.3333333333333333"),
        (math.inf, "+Inf"),
        (math.nan, "NaN"),
    ],
)
def test_values(value: float, text: str) -> None:
    assert native.format_float(value) == text


@pytest.mark.parametrize(
    ("time_ms", "text"), [(1435781451000, "1435781451"), (1435781451050, "1435781451.050"), (-1500, "-1.500"), (0, "0")]
)
def test_times(time_ms: int, text: str) -> None:
    assert native.json_scalar(native.number(1e22, 1), time_ms) == f'[{text},"10000000000000000000000"]'.encode()
    assert native.json_string('a"b', time_ms) == f'[{text},"a\\"b"]'.encode()


def test_a_vector_is_sorted_and_cut() -> None:
    query = native.Query()
    frame = frame_of(query, [({"b": "1"}, [1]), ({"a": "2"}, [2]), ({"a": "1", "b": "0"}, [3]), ({"a": "1"}, [4])])
    text, is_cut = native.json_vector(query, frame, (1500, 0, 1), 0)
    assert not is_cut
    assert json.loads(text) == [
        {"metric": {"a": "1"}, "value": [1.5, "4"]},
        {"metric": {"a": "1", "b": "0"}, "value": [1.5, "3"]},
        {"metric": {"a": "2"}, "value": [1.5, "2"]},
        {"metric": {"b": "1"}, "value": [1.5, "1"]},
    ]
    text, is_cut = native.json_vector(query, frame, (1500, 0, 1), 3)
    assert is_cut
    assert len(json.loads(text)) == 3


def test_label_names_sort_bytewise_with_upper_case_first() -> None:
    query = native.Query()
    text, _ = native.json_vector(query, frame_of(query, [({"a": "x", "__name__": "m", "Z": "y"}, [1])]), grid_of(1), 0)
    assert text == b'[{"metric":{"Z":"y","__name__":"m","a":"x"},"value":[0,"1"]}]'


def test_strings_survive() -> None:
    query = native.Query()
    labels = {"path": 'C:\\a "b"\n\t\x01', "snow": "\u2603\U0001f600", "label with space": "<&>"}
    text, _ = native.json_vector(query, frame_of(query, [(labels, [1])]), grid_of(1), 0)
    assert json.loads(text)[0]["metric"] == labels


def test_a_matrix_leaves_out_what_is_absent() -> None:
    query = native.Query()
    frame = frame_of(query, [({"x": "2"}, [None, 1.5, None]), ({"x": "1"}, [math.nan, None, 2])])
    nothing = native.binary_scalar(query, ">", frame, native.number(1e9, 1), scalar_left=False, return_bool=False)
    assert native.json_matrix(query, nothing, grid_of(3), 0) == (b"[]", False)
    assert native.json_matrix(query, frame, grid_of(3), 0)[0] == (
        b'[{"metric":{"x":"1"},"values":[[0,"NaN"],[120,"2"]]},{"metric":{"x":"2"},"values":[[60,"1.5"]]}]'
    )
    assert native.json_matrix(query, frame, grid_of(3), 1)[1]


def test_one_step_is_written_at_every_step_of_a_matrix() -> None:
    query = native.Query()
    text, _ = native.json_matrix(query, native.number(1, 1), grid_of(3), 0)
    assert text == b'[{"metric":{},"values":[[0,"1"],[60,"1"],[120,"1"]]}]'


def test_raw_samples_keep_their_times() -> None:
    query = native.Query()
    series = series_of(query, [({"x": "2"}, [1, 2, 3]), ({"x": "1"}, [None, None, 4])])
    text, is_cut = native.json_samples(query, series, 60_000, 119_999, 0)
    assert (text, is_cut) == (b'[{"metric":{"x":"2"},"values":[[60,"2"]]}]', False)
    assert native.json_samples(query, series, 0, 200_000, 1)[1]
    assert query.samples_read > 0


def test_many_rows_are_written_in_order() -> None:
    query = native.Query()
    rows: Rows = [({"i": f"{i:04}"}, [i / 7] * 50) for i in range(4000)]
    text, _ = native.json_matrix(query, frame_of(query, rows[::-1]), grid_of(50), 0)
    written = json.loads(text)
    assert [row["metric"] for row in written] == [labels for labels, _ in rows]
    assert all(float(row["values"][49][1]) == values[49] for row, (_, values) in zip(written, rows, strict=True))


def test_histograms_have_a_member_of_their_own() -> None:
    query = native.Query()
    histogram = native.Histogram(
        count=6.5,
        total=-1.25,
        zero_threshold=0.25,
        zero_count=1,
        positive=[(0, 2), (1, 0), (3, 1e21)],
        negative=[(1, 2.5)],
    )
    series = native.series_from_samples(
        query,
        [
            ({"a": "both"}, [0, STEP_MS], [histogram, 2.0]),
            ({"a": "one"}, [0], [native.Histogram(schema=-53, custom_values=[5], positive=[(0, 1), (1, 2)])]),
        ],
    )
    frame = native.select_instant(query, series, grid_of(2), offset_ms=0, lookback_ms=1)
    written = {
        "count": "6.5",
        "sum": "-1.25",
        "buckets": [
            [1, "-2", "-1", "2.5"],
            [3, "-0.25", "0.25", "1"],
            [0, "0.5", "1", "2"],
            [0, "4", "8", "1e+21"],
        ],
    }
    custom = {"count": "0", "sum": "0", "buckets": [[3, "-Inf", "5", "1"], [0, "5", "+Inf", "2"]]}
    text, _ = native.json_matrix(query, frame, grid_of(2), 0)
    assert json.loads(text) == [
        {"metric": {"a": "both"}, "values": [[60, "2"]], "histograms": [[0, written]]},
        {"metric": {"a": "one"}, "histograms": [[0, custom]]},
    ]
    text, _ = native.json_vector(query, frame, grid_of(1), 0)
    assert json.loads(text) == [
        {"metric": {"a": "both"}, "histogram": [0, written]},
        {"metric": {"a": "one"}, "histogram": [0, custom]},
    ]
    text, _ = native.json_samples(query, series, 0, STEP_MS, 0)
    assert json.loads(text)[0] == {"metric": {"a": "both"}, "values": [[60, "2"]], "histograms": [[0, written]]}
