"""Offsets: in a model of log, head and store the arithmetic must neither lose a sample nor store it twice."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from ingester.cursor import Step, contained, next_step, replay_from

WINDOWS = 3


class TestNextStep:
    def test_commits_from_where_the_store_ends(self) -> None:
        assert next_step(boundary=10, first_offset=12, sealed=20, through=10) is Step.COMMIT

    def test_the_first_generation(self) -> None:
        assert next_step(boundary=0, first_offset=0, sealed=20, through=0) is Step.COMMIT

    def test_finds_the_work_done(self) -> None:
        assert next_step(boundary=10, first_offset=12, sealed=20, through=20) is Step.DONE
        assert next_step(boundary=10, first_offset=12, sealed=20, through=35) is Step.DONE

    def test_notices_a_store_that_forgot(self) -> None:
        assert next_step(boundary=10, first_offset=12, sealed=20, through=4) is Step.ROLLED_BACK

    def test_passes_over_an_empty_generation_of_another_committer(self) -> None:
        assert next_step(boundary=10, first_offset=16, sealed=20, through=15) is Step.COMMIT

    def test_refuses_to_cut_a_generation_in_two(self) -> None:
        assert next_step(boundary=10, first_offset=12, sealed=20, through=15) is Step.DIVERGED


class TestContained:
    def test_is_what_the_store_says(self) -> None:
        assert contained(7, boundary=10, replay_from=100) == 7

    def test_of_a_window_that_was_forgotten_is_where_the_head_handed_it_over(self) -> None:
        assert contained(None, boundary=10, replay_from=10) == 10
        assert contained(None, boundary=0, replay_from=0) == 0

    def test_of_a_window_that_was_lost_is_nothing(self) -> None:
        assert contained(None, boundary=10, replay_from=9) == 0


class TestReplayFrom:
    def test_is_the_end_when_nothing_is_held(self) -> None:
        assert replay_from(17, []) == 17

    @given(st.integers(0, 100), st.lists(st.integers(0, 100)))
    def test_needs_everything_that_is_held_and_nothing_more(self, applied: int, held: list[int]) -> None:
        found = replay_from(applied, held)
        assert found <= applied
        assert all(found <= first for first in held)
        assert found in {applied, *held}


@dataclass
class Model:
    """A log of samples and seal markers, each of a window; a head by the rules of `next_step`; a store."""

    log: list[tuple[str, int]] = field(default_factory=list)
    through: dict[int, int] = field(default_factory=dict)
    stored: dict[tuple[int, int], list[int]] = field(default_factory=dict)  # (window, marker) -> offsets
    replay_from: int = 0
    boundaries: dict[int, int] = field(default_factory=dict)
    open: dict[int, list[int]] = field(default_factory=dict)
    sealed: list[tuple[int, int, list[int]]] = field(default_factory=list)  # (window, marker, offsets)

    def restart(self) -> None:
        self.boundaries, self.open, self.sealed = dict(self.through), {}, []
        for offset in range(self.replay_from, len(self.log)):
            self.apply(offset)

    def apply(self, offset: int) -> None:
        kind, window = self.log[offset]
        if kind == "seal":
            if held := self.open.pop(window, None):
                self.sealed.append((window, offset, held))
        elif offset >= self.through.get(window, 0):
            self.open.setdefault(window, []).append(offset)

    def append(self, kind: str, window: int) -> None:
        self.log.append((kind, window))
        self.apply(len(self.log) - 1)

    def cut(self) -> None:
        if not self.sealed:
            return
        window, marker, held = self.sealed.pop(0)
        step = next_step(
            boundary=self.boundaries.get(window, 0),
            first_offset=held[0],
            sealed=marker,
            through=self.through.get(window, 0),
        )
        assert step is Step.COMMIT
        self.stored[window, marker] = held
        self.through[window] = self.boundaries[window] = marker

    def advance(self) -> None:
        held = [offsets[0] for offsets in self.open.values()] + [offsets[0] for _, _, offsets in self.sealed]
        self.replay_from = max(self.replay_from, replay_from(len(self.log), held))

    def check(self) -> None:
        contained = sorted(offset for offsets in self.stored.values() for offset in offsets)
        in_head = sorted(o for offsets in self.open.values() for o in offsets) + [
            o for _, _, s in self.sealed for o in s
        ]
        samples = [offset for offset, (kind, _) in enumerate(self.log) if kind == "sample"]
        assert sorted(contained + in_head) == samples
        assert all(offset in contained for offset in samples if offset < self.replay_from)


steps = st.one_of(
    st.tuples(st.just("sample"), st.integers(0, WINDOWS - 1)),
    st.tuples(st.just("seal"), st.integers(0, WINDOWS - 1)),
    st.tuples(st.sampled_from(["cut", "advance", "restart"]), st.just(0)),
)


@given(st.lists(steps, max_size=60))
def test_every_sample_is_in_the_store_or_the_head_exactly_once(actions: list[tuple[str, int]]) -> None:
    model = Model()
    for action, window in actions:
        if action in ("sample", "seal"):
            model.append(action, window)
        else:
            getattr(model, action)()
        model.check()
