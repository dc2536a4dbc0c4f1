"""Runs one file and tells how each of its evaluations went."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from querier.promql import ALL_FEATURES, ParseError, Result, evaluate, parse, prepare
from querier.promql.format import canonical
from shared import native
from shared.errors import HeadraceError

from .at_modifier import pinned
from .expectation import MismatchError, check_failure, check_middle, check_notes, check_result
from .language import Clear, Eval, Load, parse_file
from .storage import HistogramsNeededError, Storage

_USES_QUERY_TIMES = re.compile(r"(?:start|end|range|step)\(\)")
_REFUSALS = (HeadraceError, native.ExecutionError, native.BadDataError)


@dataclass(frozen=True)
class Outcome:
    """`failure` is None if the evaluation gave what it should."""

    file: str
    line: int
    query: str
    failure: str | None


def run_file(path: Path) -> Iterator[Outcome]:
    storage = Storage()
    for command in parse_file(path.read_text(encoding="utf-8")):
        if isinstance(command, Clear):
            storage.clear()
        elif isinstance(command, Load):
            storage.load(command)
        else:
            yield Outcome(path.name, command.line, command.query, _failure(command, storage))


def _failure(command: Eval, storage: Storage) -> str | None:
    try:
        if command.is_range:
            _run_range(command, storage)
        else:
            _run_instant(command, storage)
    except (MismatchError, HistogramsNeededError) as error:
        return str(error)
    return None


def _query(storage: Storage, text: str, grid: tuple[int, int, int], *, is_range: bool, end_ms: int) -> Result:
    plan = prepare(text, grid, ALL_FEATURES, is_range=is_range, end_ms=end_ms)
    query = native.Query()
    return evaluate(plan, [storage.select(query, select) for select in plan.selects], query)


def _run_range(command: Eval, storage: Storage) -> None:
    steps = (command.end_ms - command.start_ms) // command.step_ms + 1
    grid = (command.start_ms, command.step_ms, steps)
    try:
        result = _query(storage, command.query, grid, is_range=True, end_ms=command.end_ms)
    except _REFUSALS as error:
        check_failure(command, error)
        return
    if "fail" in command.marks:
        raise MismatchError(f"did not fail: {result.json!r}")
    check_notes(command, result)
    check_result(command, result)


def _run_instant(command: Eval, storage: Storage) -> None:
    """The query as it is, and again with its time fixed by `@` and evaluated at others."""
    _run_instant_at(command, storage, command.query, command.start_ms)
    try:
        expr = pinned(parse(command.query, ALL_FEATURES), command.start_ms)
    except ParseError:
        return
    if expr is None:
        return
    at_ms = command.start_ms
    for other_ms in (-10 * at_ms, 0, at_ms // 5, at_ms, 10 * at_ms) if at_ms else (-1000, 0, 1000):
        _run_instant_at(command, storage, canonical(expr), other_ms)


def _run_instant_at(command: Eval, storage: Storage, text: str, at_ms: int) -> None:
    try:
        result = _query(storage, text, (at_ms, 1, 1), is_range=False, end_ms=at_ms)
    except _REFUSALS as error:
        check_failure(command, error)
        return
    if "fail" in command.marks:
        raise MismatchError(f"did not fail: {result.json!r}")
    check_notes(command, result)
    check_result(command, result)
    if result.type in ("matrix", "string") or _USES_QUERY_TIMES.search(text) or "ordered" in command.marks:
        return
    grid = (at_ms - 60_000, 60_000, 3)
    try:
        result = _query(storage, text, grid, is_range=True, end_ms=at_ms + 60_000)
    except _REFUSALS as error:
        raise MismatchError(f"as a range query {text} failed: {error}") from error
    check_middle(command, result, at_ms)
