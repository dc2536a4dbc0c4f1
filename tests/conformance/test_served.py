"""The same language tests end to end: remote write, head and blocks, HTTP."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from querier.promql import Features
from tests.support.keepalive import Asker
from tests.support.processes import Headrace

from .promqltest.language import Eval, Load
from .promqltest.runner import AS_PROMETHEUS, Outcome, run_commands, segments
from .promqltest.served import WINDOW_MS, Instance, leading_loads
from .test_promqltest import OURS, THEIRS, features_of

_THREADS = 4

FIRST_OF_ITS_WINDOW = (
    "the first histogram of a window is behind none that is known, as in Prometheus the first of a chunk"
)
DIFFERENT = {
    ("native_histograms.test", 1880): FIRST_OF_ITS_WINDOW,
    ("native_histograms.test", 1885): FIRST_OF_ITS_WINDOW,
}
"""Evaluations that give something else end to end than where all samples lie together: file and line → why."""


@dataclass
class Segment:
    """The commands between two `clear`s, and the instance that they are run against."""

    file: str
    commands: list[Load | Eval]
    features: Features
    instance: Instance | None = None
    outcomes: list[Outcome] = field(default_factory=list)

    def begin(self, server: Asker) -> None:
        """Writes what is to be in the store."""
        self.instance = Instance.make(server, self.features)
        for load in leading_loads(self.commands):
            self.instance.load_part(load, first=True)

    def finish(self) -> None:
        """Writes what stays in memory, and asks."""
        assert self.instance is not None
        loads = leading_loads(self.commands)
        for load in loads:
            self.instance.load_part(load, first=False)
        self.outcomes = list(run_commands(self.file, self.commands[len(loads) :], self.instance))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headrace]:
    settings = {
        "INGESTER__WINDOW_S": WINDOW_MS // 1000,
        "QUERY__CONSISTENCY_WAIT_S": 60,
        "LIMITS__MAX_FUTURE_S": "none",
    }
    made = Headrace(
        tmp_path_factory.mktemp("conformance"), env={f"HEADRACE_{name}": str(value) for name, value in settings.items()}
    )
    try:
        made.start()
        made.wait_ready()
        yield made
    finally:
        made.kill()


def _run(server: Headrace, every: list[Segment]) -> None:
    with Asker(server.base) as asker, ThreadPoolExecutor(_THREADS) as threads:
        for _ in threads.map(lambda segment: segment.begin(asker), every):
            pass
        server.flush()
        for _ in threads.map(Segment.finish, every):
            pass


def _wrong(every: list[Segment]) -> list[str]:
    """What failed and is not listed, and what is listed and did not fail."""
    return [
        f"{outcome.file}:{outcome.line} {outcome.query}: {outcome.failure or 'passes although it is listed'}"
        for segment in every
        for outcome in segment.outcomes
        if bool(outcome.failure) != ((outcome.file, outcome.line) in DIFFERENT)
    ]


def _check(server: Headrace, every: list[Segment]) -> None:
    _run(server, every)
    print(f"\n{sum(len(segment.outcomes) for segment in every)} evaluations over HTTP")
    assert _wrong(every) == []


def test_our_cases(server: Headrace) -> None:
    _check(server, [Segment(path.name, commands, features_of(path)) for path in OURS for commands in segments(path)])


@pytest.mark.skipif(not THEIRS, reason="no .test files; set PROMQLTEST_DIR")
def test_cases_of_prometheus(server: Headrace) -> None:
    _check(server, [Segment(path.name, commands, AS_PROMETHEUS) for path in THEIRS for commands in segments(path)])
