"""Which blocks are merged and which are dropped."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ingester.compaction import DAY_MS, MANY_GENERATIONS, expired, merges
from ingester.settings import IngesterSettings
from shared.seams.store import Manifest
from tests.support.manifests import WINDOW, block

DAY = 100
AFTER_MS = (DAY + 2) * DAY_MS
DURING_MS = DAY * DAY_MS + DAY_MS // 2
SETTINGS = IngesterSettings(window_ms=WINDOW, merge_bytes=1000)


def made(number: int, window: int, *, level: int = 0, size: int = 10, windows: int = 1) -> Manifest:
    """The block of a window of day `DAY`, with `size` bytes."""
    start = DAY * DAY_MS + window * WINDOW
    manifest, _ = block(f"a{number}", start, number * 10, number * 10 + 10, values=(b"x" * size,))
    return replace(manifest, level=level, max_time=start + windows * WINDOW - 1)


class TestMerges:
    def test_a_day_that_is_over_becomes_one_block(self) -> None:
        blocks = [made(n, n) for n in range(12)]
        assert merges(blocks, AFTER_MS, settings=SETTINGS) == [tuple(blocks)]

    def test_a_day_that_goes_on_is_left_alone(self) -> None:
        assert merges([made(n, n) for n in range(6)], DURING_MS, settings=SETTINGS) == []

    def test_one_block_is_left_alone(self) -> None:
        assert merges([made(0, 0)], AFTER_MS, settings=SETTINGS) == []

    def test_many_generations_of_a_window_do_not_wait_for_the_evening(self) -> None:
        blocks = [made(n, 3) for n in range(MANY_GENERATIONS)]
        assert merges(blocks[:-1], DURING_MS, settings=SETTINGS) == []
        assert merges(blocks, DURING_MS, settings=SETTINGS) == [tuple(blocks)]

    def test_a_trickle_of_late_samples_does_not_rewrite_the_day(self) -> None:
        day = made(0, 0, level=1, size=400, windows=12)
        assert merges([day, made(1, 3, size=10)], AFTER_MS, settings=SETTINGS) == []
        much = [day, made(1, 3, size=100)]
        assert merges(much, AFTER_MS, settings=SETTINGS) == [tuple(much)]

    def test_a_day_too_large_is_merged_by_window(self) -> None:
        blocks = [made(0, 0, size=400), made(1, 1, size=400), made(2, 0, size=400)]
        assert merges(blocks, AFTER_MS, settings=SETTINGS) == [(blocks[0], blocks[2])]

    def test_a_block_over_several_windows_ties_a_large_day_together(self) -> None:
        blocks = [made(0, 0, size=700, level=1, windows=3), made(1, 1, size=700)]
        assert merges(blocks, AFTER_MS, settings=SETTINGS) == []

    def test_a_merge_leaves_the_heads_their_part_of_the_memory(self) -> None:
        blocks = [made(0, 0, size=70), made(1, 1, size=40)]
        settings = replace(SETTINGS, memory_bytes=1100)
        assert settings.mergeable_bytes == 109
        assert merges(blocks, AFTER_MS, settings=settings) == []
        assert merges(blocks, AFTER_MS, settings=replace(settings, memory_bytes=1200)) == [tuple(blocks)]

    @given(st.lists(st.tuples(st.integers(0, 11), st.integers(1, 300), st.booleans()), max_size=25))
    def test_a_set_holds_all_blocks_of_its_windows_in_log_order(self, shape: list[tuple[int, int, bool]]) -> None:
        blocks = [made(n, w, size=size, level=int(merged)) for n, (w, size, merged) in enumerate(shape)]
        for chosen in merges(blocks, AFTER_MS, settings=SETTINGS):
            windows = {manifest.window for manifest in chosen}
            assert chosen == tuple(manifest for manifest in blocks if manifest.window in windows)
            assert sum(sum(manifest.lengths) for manifest in chosen) <= SETTINGS.merge_bytes


class TestExpired:
    def test_a_block_goes_when_its_youngest_sample_is_too_old(self) -> None:
        manifest = made(0, 0)
        keep_ms = 3 * DAY_MS
        assert expired([manifest], manifest.max_time + keep_ms, retention_ms=keep_ms) == ()
        assert expired([manifest], manifest.max_time + keep_ms + 1, retention_ms=keep_ms) == (manifest,)
