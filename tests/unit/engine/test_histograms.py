"""What frames with histograms cost, and what they say of kinds that do not go together."""

import pytest

from shared import native

from .frames import STEP_MS, grid_of

WIDE = native.Histogram(count=64, positive=[(index, 1) for index in range(64)])


def selected(query: native.Query, values: list[float | native.Histogram], steps: int) -> native.Frame:
    times = [step * STEP_MS for step in range(len(values))]
    series = native.series_from_samples(query, [({"__name__": "m"}, times, values)])
    return native.select_instant(query, series, grid_of(steps), offset_ms=0, lookback_ms=STEP_MS * steps)


def test_a_histogram_weighs_a_sixteenth_of_its_bytes_at_each_step() -> None:
    # 168 bytes, a run of 8 and 64 counts of 8; the half is rounded up.
    weight = (168 + 8 + 64 * 8 + 8) // 16
    query = native.Query()
    frame = selected(query, [WIDE], 10)
    assert query.peak_samples == 10 * weight
    assert frame.rows == 1
    with pytest.raises(native.ExecutionError, match="too many samples"):
        selected(native.Query(max_samples=10 * weight - 1), [WIDE], 10)


def test_the_memory_of_a_histogram_is_charged_once_and_given_back() -> None:
    # At ten steps stands one histogram of some 800 bytes.
    query = native.Query(max_bytes=4000)
    for _ in range(10):
        selected(query, [WIDE], 10)
    with pytest.raises(native.ExecutionError, match="bytes of memory"):
        selected(native.Query(max_bytes=4000), [WIDE, *(WIDE.plus(WIDE) for _ in range(5))], 6)


def test_notes_name_the_metric() -> None:
    query = native.Query()
    series = native.series_from_samples(query, [({"__name__": "m"}, [0, STEP_MS], [1.0, WIDE])])
    native.select_range(query, series, (STEP_MS, 1, 1), "rate", range_ms=2 * STEP_MS, offset_ms=0)
    assert query.take_notes() == [("mixed_kinds", "", "m")]


def test_what_is_no_histogram_is_refused() -> None:
    with pytest.raises(ValueError, match="strictly ascending"):
        native.Histogram(positive=[(2, 1), (1, 1)])
    with pytest.raises(ValueError, match="what is known of resets"):
        native.Histogram(hint="maybe")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="do not add up"):
        WIDE.plus(native.Histogram(schema=-53))


def test_extended_ranges_without_a_function_are_of_floats() -> None:
    query = native.Query()
    series = native.series_from_samples(query, [({"__name__": "m"}, [0, STEP_MS], [1.0, WIDE])])
    with pytest.raises(native.ExecutionError, match="smoothed modifier is not supported with histograms"):
        native.json_pinned_samples(query, series, 0, STEP_MS, 0, edges="smoothed", lookback_ms=STEP_MS)
    with pytest.raises(ValueError, match="edges are anchored or smoothed"):
        native.json_pinned_samples(query, series, 0, 1, 0, edges="x", lookback_ms=1)  # type: ignore[arg-type]
