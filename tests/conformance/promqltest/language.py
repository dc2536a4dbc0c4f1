"""Test files to commands."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from querier.promql.strings import unquote
from shared.durations import parse_duration_ms

from .series import Labels, Value, is_start_times, parse_series, parse_start_times

Mark: TypeAlias = Literal["ordered", "fail", "warn", "no_warn", "info", "no_info"]


@dataclass(frozen=True)
class Clear:
    """Forget what was loaded."""


@dataclass(frozen=True)
class Load:
    """Series of samples, one each `gap_ms` from the epoch on."""

    gap_ms: int
    with_custom_histograms: bool
    series: list[tuple[Labels, list[Value]]]
    starts: list[list[int | None]]
    """For each series the offsets in ms of start timestamps from the samples; empty if it has none."""


@dataclass(frozen=True)
class Text:
    """What a message must be, or match; anything if both are None."""

    exact: str | None = None
    pattern: str | None = None

    def accepts(self, text: str) -> bool:
        if self.exact is not None:
            return text == self.exact
        return self.pattern is None or re.search(self.pattern, text) is not None


@dataclass
class Eval:
    """An evaluation and what it should give. For an instant query `start_ms` is `end_ms` and `step_ms` 0."""

    line: int
    query: str
    is_range: bool
    start_ms: int
    end_ms: int
    step_ms: int
    marks: dict[Mark, list[Text]] = field(default_factory=dict)
    series: list[tuple[Labels, list[Value]]] = field(default_factory=list)
    scalar: Value = None
    string: str | None = None
    expects_samples: tuple[int, int, int] | None = None
    """(from, to, step) in ms of the samples that a range selector shows."""

    def expect(self, mark: Mark, text: Text) -> None:
        self.marks.setdefault(mark, []).append(text)


Command: TypeAlias = Clear | Load | Eval

_LOAD = re.compile(r"load(_with_nhcb)?\s+(\S+)$")
_INSTANT = re.compile(r"eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(\S+)\s+)?(.+)$")
_RANGE = re.compile(r"eval(?:_(fail|warn|info))?\s+range\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)\s+(.+)$")
_EXPECT = re.compile(r"expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):(.+))?$")
_EXPECT_SAMPLES = re.compile(r"expect range vector\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)$")
_NUMBER = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]+|[0-9.][0-9.eE_+-]*|inf|nan)$", re.IGNORECASE)


def parse_file(text: str) -> list[Command]:
    """Raises ValueError, naming the line, for what is not in the language."""
    lines = [("" if line.strip().startswith("#") else line.strip()) for line in text.split("\n")]
    commands: list[Command] = []
    position = 0
    while position < len(lines):
        line = lines[position]
        body: list[str] = []
        start = position
        position += 1
        if not line:
            continue
        if line != "clear":
            while position < len(lines) and lines[position]:
                body.append(lines[position])
                position += 1
        try:
            commands.append(_command(line, body, start + 1))
        except ValueError as error:
            raise ValueError(f"line {start + 1}: {error}") from error
    return commands


def _command(line: str, body: list[str], number: int) -> Command:
    if line == "clear":
        return Clear()
    if load := _LOAD.match(line):
        loaded = list(_loaded(body))
        series, starts = [one for one, _ in loaded], [offsets for _, offsets in loaded]
        return Load(parse_duration_ms(load[2]), load[1] is not None, series, starts)
    if line.startswith("eval"):
        return _eval(line, body, number)
    raise ValueError(f"not a command: {line!r}")


def _loaded(body: list[str]) -> Iterator[tuple[tuple[Labels, list[Value]], list[int | None]]]:
    start_times: tuple[Labels, list[int | None]] | None = None
    for line in body:
        if is_start_times(line):
            start_times = parse_start_times(line)
            continue
        labels, values = parse_series(line)
        if start_times is not None and (start_times[0] != labels or len(start_times[1]) != len(values)):
            raise ValueError(f"the start timestamps do not belong to {line!r}")
        yield (labels, values), start_times[1] if start_times is not None else []
        start_times = None


def _eval(line: str, body: list[str], number: int) -> Eval:
    mark: str | None
    if instant := _INSTANT.match(line):
        mark, at, query = instant.groups()
        at_ms = _offset_ms(at or "0")
        command = Eval(number, query, False, at_ms, at_ms, 0)
    elif ranged := _RANGE.match(line):
        mark, start, end, step, query = ranged.groups()
        command = Eval(number, query, True, _offset_ms(start), _offset_ms(end), _offset_ms(step))
    else:
        raise ValueError(f"neither an instant nor a range evaluation: {line!r}")
    if mark:
        command.expect(mark, Text())  # type: ignore[arg-type]  # the pattern names only marks
    for expected in body:
        _expected(command, expected)
    return command


def _expected(command: Eval, line: str) -> None:
    if line.startswith("expected_fail_message"):
        command.marks["fail"] = [Text(exact=line.removeprefix("expected_fail_message").strip())]
    elif line.startswith("expected_fail_regexp"):
        command.marks["fail"] = [Text(pattern=line.removeprefix("expected_fail_regexp").strip())]
    elif samples := _EXPECT_SAMPLES.match(line):
        start, end, step = (_offset_ms(part) for part in samples.groups())
        command.expects_samples = (start, end, step)
    elif line.startswith("expect string"):
        command.string = unquote(line.removeprefix("expect string").strip())
    elif line.split()[0] == "expect":
        _mark(command, line)
    elif _NUMBER.match(line):
        command.scalar = float(line.replace("_", ""))
    else:
        command.series.append(parse_series(line))


def _mark(command: Eval, line: str) -> None:
    found = _EXPECT.match(line)
    if found is None:
        raise ValueError(f"not an expectation: {line!r}")
    kind: Mark
    kind, how, text = found.groups()  # type: ignore[assignment]  # the pattern names only marks
    given = (text or "").strip()
    command.expect(
        kind,
        Text() if how is None else Text(exact=given) if how == "msg" else Text(pattern=given),
    )


def _offset_ms(text: str) -> int:
    return 0 if text == "0" else parse_duration_ms(text)
