"""Which steps of an aggregation need nothing but what a head is complete from."""

import random

from shared.seams.ingester_client import Fold


def test_a_late_step_begins_where_the_head_is_complete_and_the_one_before_does_not() -> None:
    chance = random.Random(1)
    for _ in range(2000):
        start_ms, range_ms = chance.randrange(-500, 500), chance.randrange(1, 300)
        step_ms, steps = chance.choice([1, 7, 50]), chance.randrange(1, 30)
        offset_ms, complete_ms = chance.randrange(-100, 100), chance.randrange(-1000, 1500)
        fold = Fold("sum", False, (), "rate", (start_ms, step_ms, steps), range_ms, offset_ms)
        begins = [start_ms + step * step_ms - offset_ms - range_ms + 1 for step in range(steps)]
        late = [step for step, begin in enumerate(begins) if begin >= complete_ms]
        assert fold.first_late(begins[0], complete_ms) == min(late, default=steps)
        # What is older than the instance keeps matters to no step.
        assert fold.first_late(max(begins[0], complete_ms), complete_ms) == 0
        assert fold.first_late(begins[0], None) == steps


def test_one_step_is_late_or_is_not() -> None:
    fold = Fold("sum", False, (), None, (1000, 0, 1), 300, 0)
    assert [fold.first_late(701, complete_ms) for complete_ms in (700, 701, 702)] == [0, 0, 1]
