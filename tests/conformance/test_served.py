"""The same language tests end to end: remote write, head and blocks, HTTP."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from querier.promql import Features
from tests.support.keepalive import Asker
from tests.support.processes import Headrace

from .promqltest.language import Eval, Load
from .promqltest.runner import AS_PROMETHEUS, Outcome, run_commands, segments
from .promqltest.served import WINDOW_MS, Instance, cannot_be_written, leading_loads
from .test_promqltest import OURS, THEIRS, features_of

_THREADS = 4


@dataclass
class Segment:
    """The commands between two `clear`s, and the instance that they are run against."""

    file: str
    commands: list[Load | Eval]
    features: Features
    instance: Instance | None = None
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def obstacle(self) -> str | None:
        """Why it cannot be run."""
        reasons = (cannot_be_written(command) for command in self.commands if isinstance(command, Load))
        return next((reason for reason in reasons if reason), None)

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


def _failed(every: list[Segment]) -> list[str]:
    return [
        f"{outcome.file}:{outcome.line} {outcome.query}: {outcome.failure}"
        for segment in every
        for outcome in segment.outcomes
        if outcome.failure
    ]


def _report(every: list[Segment], run: list[Segment]) -> None:
    waiting = Counter[str]()
    for segment in every:
        if segment.obstacle:
            waiting[segment.obstacle] += sum(isinstance(command, Eval) for command in segment.commands)
    print(f"\n{sum(len(segment.outcomes) for segment in run)} evaluations over HTTP; not carried: {dict(waiting)}")


def test_our_cases(server: Headrace) -> None:
    every = [Segment(path.name, commands, features_of(path)) for path in OURS for commands in segments(path)]
    run = [segment for segment in every if segment.obstacle is None]
    _run(server, run)
    _report(every, run)
    assert _failed(run) == []


@pytest.mark.skipif(not THEIRS, reason="no .test files; set PROMQLTEST_DIR")
def test_cases_of_prometheus(server: Headrace) -> None:
    every = [Segment(path.name, commands, AS_PROMETHEUS) for path in THEIRS for commands in segments(path)]
    run = [segment for segment in every if segment.obstacle is None]
    _run(server, run)
    _report(every, run)
    assert _failed(run) == []
