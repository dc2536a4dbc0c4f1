from hypothesis import given
from hypothesis import strategies as st

from ingester.ages import Ages


class TestAges:
    def test_knows_nothing_at_first(self) -> None:
        assert Ages().at(5, 77) == 77

    def test_finds_the_second_a_record_came_in(self) -> None:
        ages = Ages()
        ages.note([(10, 5000), (11, 5400), (12, 6000)])
        ages.note([(20, 9000)])
        assert [ages.at(offset, 0) for offset in (9, 10, 11, 12, 19, 20, 30)] == [0, 5000, 5000, 6000, 6000, 9000, 9000]

    def test_a_clock_that_steps_back_is_followed(self) -> None:
        ages = Ages()
        ages.note([(1, 900_000), (2, 700_000)])
        assert (ages.at(1, 0), ages.at(2, 0)) == (900_000, 700_000)

    def test_clocks_a_minute_apart_cost_no_entries(self) -> None:
        ages = Ages()
        ages.note((offset, 1_000_000 + offset * 10 - offset % 2 * 60_000) for offset in range(1000))
        assert len(ages._entries) == 10
        assert ages.at(999, 0) == 1_009_000

    @given(st.lists(st.integers(0, 1_000_000), max_size=30), st.integers(0, 30), st.integers(0, 30))
    def test_forgetting_changes_no_answer_above(self, times: list[int], below: int, above: int) -> None:
        ages, kept = Ages(), Ages()
        ages.note(enumerate(times))
        kept.note(enumerate(times))
        ages.forget(below)
        asked = below + above
        assert ages.at(asked, -1) == kept.at(asked, -1)
        assert len(ages._entries) <= len(kept._entries)
