"""Runs one file and tells how each of its evaluations went: on the engine alone, or wherever else it can be asked."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from querier.promql import ALL_FEATURES, Features, ParseError, Plan, Result, evaluate, parse, prepare
from querier.promql.evaluate import evaluate_cells
from querier.promql.format import canonical
from querier.promql.run import Run
from shared import native
from shared.errors import HeadraceError

from .at_modifier import pinned
from .expectation import Answer, MismatchError, Row, check_failure, check_middle, check_notes, check_result
from .language import Clear, Eval, Load, parse_file
from .storage import Storage

_USES_QUERY_TIMES = re.compile(r"(?:start|end|range|step)\(\)")
_REFUSALS = (HeadraceError, native.ExecutionError, native.BadDataError)


@dataclass(frozen=True)
class Outcome:
    """`failure` is None if the evaluation gave what it should."""

    file: str
    line: int
    query: str
    failure: str | None


AS_PROMETHEUS = replace(ALL_FEATURES, type_and_unit_labels=False)
"""What Prometheus switches on for its own tests: some of them expect the names of metrics to tell their types."""


class Target(Protocol):
    """What is loaded and asked. Nobody has loaded anything into it before."""

    features: Features
    is_asked_twice: bool
    """Instant queries are asked again with their time fixed by `@`."""

    def load(self, command: Load) -> None: ...

    def query(
        self, text: str, grid: native.Grid, shown: native.Grid, *, is_range: bool, end_ms: int
    ) -> tuple[Result, Answer]:
        """`shown` are the times that the answer has points at. Raises HeadraceError and the native errors."""
        ...


def run_file(path: Path, features: Features = AS_PROMETHEUS) -> Iterator[Outcome]:
    for segment in segments(path):
        yield from run_commands(path.name, segment, Engine(Storage(), features))


def segments(path: Path) -> Iterator[list[Load | Eval]]:
    """The commands between one `clear` and the next: they know nothing of one another."""
    segment: list[Load | Eval] = []
    for command in parse_file(path.read_text(encoding="utf-8")):
        if not isinstance(command, Clear):
            segment.append(command)
        elif segment:
            yield segment
            segment = []
    if segment:
        yield segment


def run_commands(file: str, commands: Iterable[Load | Eval], target: Target) -> Iterator[Outcome]:
    for command in commands:
        if isinstance(command, Load):
            target.load(command)
        else:
            yield Outcome(file, command.line, command.query, _failure(command, target))


@dataclass(frozen=True)
class Engine(Target):
    """What is evaluated, and how."""

    storage: Storage
    features: Features
    is_asked_twice: bool = True

    def load(self, command: Load) -> None:
        self.storage.load(command)

    def query(
        self, text: str, grid: native.Grid, shown: native.Grid, *, is_range: bool, end_ms: int
    ) -> tuple[Result, Answer]:
        """`shown` are the times that the answer has points at."""
        plan = prepare(text, grid, self.features, is_range=is_range, end_ms=end_ms)
        query = _query_of(plan)
        result = evaluate(plan, [self.storage.select(query, select) for select in plan.selects], query)
        rows = self._rows(plan, shown) if b'"histogram' in result.json else []
        return result, Answer(result, rows, shown)

    def _rows(self, plan: Plan, shown: native.Grid) -> Sequence[Row]:
        """What stands in each cell, by evaluating once more."""
        query = _query_of(plan)
        sets = [self.storage.select(query, select) for select in plan.selects]
        run = Run(plan.query, query, sets, delays_names=plan.features.delayed_name_removal)
        if plan.root is not None:
            return native.elements(query, evaluate_cells(plan.root, run))
        assert plan.samples is not None
        series = plan.samples.series(run)
        return native.elements(query, native.select_instant(query, series, shown, offset_ms=0, lookback_ms=1))


def _query_of(plan: Plan) -> native.Query:
    features = plan.features
    return native.Query(
        delays_names=features.delayed_name_removal,
        uses_starts=features.use_start_timestamps,
        uses_types=features.type_and_unit_labels,
    )


def _failure(command: Eval, target: Target) -> str | None:
    try:
        if command.is_range:
            _run_range(command, target)
        else:
            _run_instant(command, target)
    except MismatchError as error:
        return str(error)
    return None


def _shown(command: Eval, at_ms: int) -> native.Grid:
    """The times of the points that an instant query shows."""
    if command.expects_samples is None:
        return (at_ms, 1, 1)
    start_ms, end_ms, step_ms = command.expects_samples
    return (start_ms, step_ms, (end_ms - start_ms) // step_ms + 1)


def _run_range(command: Eval, target: Target) -> None:
    steps = (command.end_ms - command.start_ms) // command.step_ms + 1
    grid = (command.start_ms, command.step_ms, steps)
    try:
        result, answer = target.query(command.query, grid, grid, is_range=True, end_ms=command.end_ms)
    except _REFUSALS as error:
        check_failure(command, error)
        return
    if "fail" in command.marks:
        raise MismatchError(f"did not fail: {result.json!r}")
    check_notes(command, result)
    check_result(command, answer)


def _run_instant(command: Eval, target: Target) -> None:
    """The query as it is, and again with its time fixed by `@` and evaluated at others."""
    _run_instant_at(command, target, command.query, command.start_ms)
    if not target.is_asked_twice:
        return
    try:
        expr = pinned(parse(command.query, target.features), command.start_ms)
    except ParseError:
        return
    if expr is None:
        return
    at_ms = command.start_ms
    for other_ms in (-10 * at_ms, 0, at_ms // 5, at_ms, 10 * at_ms) if at_ms else (-1000, 0, 1000):
        _run_instant_at(command, target, canonical(expr), other_ms)


def _run_instant_at(command: Eval, target: Target, text: str, at_ms: int) -> None:
    try:
        result, answer = target.query(text, (at_ms, 1, 1), _shown(command, at_ms), is_range=False, end_ms=at_ms)
    except _REFUSALS as error:
        check_failure(command, error)
        return
    if "fail" in command.marks:
        raise MismatchError(f"did not fail: {result.json!r}")
    check_notes(command, result)
    check_result(command, answer)
    if result.type in ("matrix", "string") or _USES_QUERY_TIMES.search(text) or "ordered" in command.marks:
        return
    grid = (at_ms - 60_000, 60_000, 3)
    try:
        _, answer = target.query(text, grid, grid, is_range=True, end_ms=at_ms + 60_000)
    except _REFUSALS as error:
        raise MismatchError(f"as a range query {text} failed: {error}") from error
    check_middle(command, answer, at_ms)
