from collections.abc import Callable

from ingester.sealer import due, largest
from ingester.settings import IngesterSettings
from tests.unit.ingester.windows import Window

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
SETTINGS = IngesterSettings(window_ms=2 * HOUR_MS, grace_ms=10 * MINUTE_MS, grace_stagger_ms=MINUTE_MS)
W = 100 * 2 * HOUR_MS
OPEN_MS = 2 * HOUR_MS + 10 * MINUTE_MS


def accepted(at_ms: int) -> Callable[[int], int]:
    return lambda _offset: at_ms


def is_due(window: Window, now_ms: int, opened_ms: int, partition: int = 0) -> bool:
    return due(partition, [window], now_ms, accepted_ms=accepted(opened_ms), settings=SETTINGS) == [window.window]


class TestDue:
    def test_a_window_in_time_is_sealed_after_its_grace(self) -> None:
        assert not is_due(Window(W), W + OPEN_MS - 1, opened_ms=W + 5)
        assert is_due(Window(W), W + OPEN_MS, opened_ms=W + 5)

    def test_partitions_take_turns(self) -> None:
        assert not is_due(Window(W), W + OPEN_MS, opened_ms=W + 5, partition=2)
        assert is_due(Window(W), W + OPEN_MS + 2 * MINUTE_MS, opened_ms=W + 5, partition=2)

    def test_late_data_gathers_before_it_is_sealed(self) -> None:
        late_ms = W + OPEN_MS + 1
        assert not is_due(Window(W), late_ms + 1000, opened_ms=late_ms)
        assert not is_due(Window(W), late_ms + OPEN_MS - 1, opened_ms=late_ms)
        assert is_due(Window(W), late_ms + OPEN_MS, opened_ms=late_ms)

    def test_back_fill_is_the_same_case(self) -> None:
        assert not is_due(Window(0), W + OPEN_MS - 1, opened_ms=W)
        assert is_due(Window(0), W + OPEN_MS, opened_ms=W)

    def test_a_window_years_ahead_does_not_stay_open(self) -> None:
        ahead = Window(W * 50)
        assert not is_due(ahead, W + OPEN_MS - 1, opened_ms=W)
        assert is_due(ahead, W + OPEN_MS, opened_ms=W)

    def test_a_clock_that_was_set_back_does_not_keep_a_window_open(self) -> None:
        assert not is_due(Window(W), W + 5, opened_ms=W + 5 + OPEN_MS - 1)
        assert is_due(Window(W), W + 5, opened_ms=W + 5 + OPEN_MS)

    def test_what_is_sealed_is_not_sealed_again(self) -> None:
        assert not is_due(Window(W, sealed=7), W + 10 * OPEN_MS, opened_ms=W)

    def test_windows_do_not_move_one_another(self) -> None:
        windows = [Window(W + 2 * HOUR_MS), Window(W), Window(W * 50)]
        assert due(0, windows, W + OPEN_MS, accepted_ms=accepted(W + 5), settings=SETTINGS) == [W]


class TestLargest:
    def test_takes_the_largest_until_it_is_enough(self) -> None:
        held = [
            (0, Window(1, bytes=50)),
            (1, Window(2, bytes=300)),
            (1, Window(3, bytes=200)),
            (0, Window(4, bytes=100)),
        ]
        assert largest(held, 400, min_bytes=1) == {1: [2, 3]}

    def test_takes_nothing_without_need(self) -> None:
        assert largest([(0, Window(1, bytes=50))], 0, min_bytes=1) == {}

    def test_counts_what_is_on_its_way(self) -> None:
        held = [(0, Window(1, bytes=500, sealed=9)), (1, Window(2, bytes=300))]
        assert largest(held, 400, min_bytes=1) == {}
        assert largest(held, 600, min_bytes=1) == {1: [2]}

    def test_leaves_small_ones_alone(self) -> None:
        assert largest([(0, Window(1, bytes=50))], 1000, min_bytes=51) == {}
