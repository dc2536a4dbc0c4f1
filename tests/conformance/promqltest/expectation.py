"""Compares what a query gave with what its file says."""

import json
import math
import struct
import sys
from collections.abc import Sequence
from typing import Any, TypeAlias

from querier.promql import Result
from shared import native

from .language import Eval, Mark
from .series import STALE, Histogram, Labels, Value
from .shown import ShownHistogram

_RELATIVE_TOLERANCE = 1e-6

Row: TypeAlias = tuple[dict[str, str], list[float | native.Histogram | None]]
"""Labels, and what stands at each step."""


Found: TypeAlias = float | native.Histogram | ShownHistogram


class MismatchError(AssertionError):
    """What differs, in words."""


def check_notes(expected: Eval, result: Result) -> None:
    """Warnings and infos: those expected are there, and where any are expected no others are."""
    kinds: tuple[tuple[Mark, Mark, list[str]], ...] = (
        ("warn", "no_warn", result.warnings),
        ("info", "no_info", result.infos),
    )
    for wanted, refused, found in kinds:
        texts = expected.marks.get(wanted, [])
        for text in texts:
            if not any(map(text.accepts, found)):
                raise MismatchError(f"no {wanted} like {text.exact or text.pattern or 'any'!r} but {found}")
        for note in found:
            if refused in expected.marks or (texts and not any(text.accepts(note) for text in texts)):
                raise MismatchError(f"{wanted} not expected: {note!r}")


def check_failure(expected: Eval, error: Exception) -> None:
    if "fail" not in expected.marks:
        raise MismatchError(f"failed: {error}")
    for text in expected.marks["fail"]:
        if not text.accepts(str(error)):
            raise MismatchError(f"failed with {str(error)!r} instead of {text.exact or text.pattern!r}")


class Answer:
    """What a query gave: its JSON, and where `rows` tell it all that histograms are, which JSON does not show."""

    def __init__(self, result: Result, rows: Sequence[Row] | None, grid: native.Grid) -> None:
        self.type = result.type
        self.value: Any = json.loads(result.json)
        self._grid = grid
        self._rows = None if rows is None else {_key(labels): values for labels, values in rows}

    def vector(self) -> list[tuple[Labels, Found]]:
        return [(row["metric"], self._element(row, row.get("value"), row.get("histogram"))) for row in self.value]

    def matrix(self) -> list[tuple[Labels, dict[int, Found]]]:
        """By time in ms."""
        rows = []
        for row in self.value:
            points = [(point, None) for point in row.get("values", ())]
            points += [(None, point) for point in row.get("histograms", ())]
            assert points, f"a row without points: {row}"
            rows.append(
                (
                    row["metric"],
                    {
                        _milliseconds((value or histogram)[0]): self._element(row, value, histogram)
                        for value, histogram in points
                    },
                )
            )
        return rows

    def _element(self, row: Any, value: Any, histogram: Any) -> Found:
        if value is not None:
            return float(value[1])
        time, shown = histogram
        if self._rows is None:
            return ShownHistogram.read(shown)
        start_ms, step_ms, _ = self._grid
        values = self._rows[_key(row["metric"])]
        step = (_milliseconds(time) - start_ms) // step_ms if len(values) > 1 else 0
        found = values[step]
        assert isinstance(found, native.Histogram)
        assert float(shown["count"]) == found.count or math.isnan(found.count)
        assert len(shown.get("buckets", ())) >= len(found.compacted().positive)
        return found


def check_result(expected: Eval, answer: Answer) -> None:
    """The answer to the query as it stands in the file."""
    value = answer.value
    if answer.type == "scalar":
        if expected.scalar is None:
            raise MismatchError(f"a scalar: {value}")
        _check_value(expected.scalar, float(value[1]), "the scalar")
    elif answer.type == "string":
        if value[1] != expected.string:
            raise MismatchError(f"the string {value[1]!r} instead of {expected.string!r}")
    elif answer.type == "matrix":
        _check_matrix(expected, answer.matrix())
    else:
        check_vector(expected, answer.vector())


def check_middle(expected: Eval, answer: Answer, at_ms: int) -> None:
    """The step at `at_ms` of a range query gives what the instant query did."""
    rows = [(labels, points[at_ms]) for labels, points in answer.matrix() if at_ms in points]
    if expected.scalar is None:
        check_vector(expected, rows)
        return
    if len(rows) != 1:
        raise MismatchError(f"a scalar as a range query has {len(rows)} rows")
    _check_value(expected.scalar, rows[0][1], "the scalar")


def check_vector(expected: Eval, rows: list[tuple[Labels, Found]]) -> None:
    if expected.scalar is not None:
        raise MismatchError(f"a vector instead of a scalar: {rows}")
    wanted = {_key(labels): values[0] for labels, values in expected.series}
    for labels, value in rows:
        if _key(labels) not in wanted:
            raise MismatchError(f"{labels} not expected: {value}")
        _check_value(wanted[_key(labels)], value, str(labels))
    if len(rows) != len(wanted):
        raise MismatchError(f"{len(rows)} elements instead of {len(wanted)}: {rows}")
    if "ordered" in expected.marks:
        order = [_key(labels) for labels, _ in expected.series]
        if [_key(labels) for labels, _ in rows] != order:
            raise MismatchError(f"in another order: {rows}")


def _check_matrix(expected: Eval, rows: list[tuple[Labels, dict[int, Found]]]) -> None:
    start_ms, end_ms, step_ms = expected.expects_samples or (expected.start_ms, expected.end_ms, expected.step_ms)
    keys = [_key(labels) for labels, _ in rows]
    if keys != sorted(keys):
        raise MismatchError(f"rows are not sorted: {keys}")
    wanted = {}
    for labels, values in expected.series:
        if start_ms + (len(values) - 1) * max(step_ms, 1) > end_ms:
            raise MismatchError(f"{len(values)} points of {labels} do not fit")
        wanted[_key(labels)] = {
            start_ms + index * step_ms: value for index, value in enumerate(values) if value is not None
        }
    for labels, points in rows:
        points_wanted = wanted.pop(_key(labels), None)
        if points_wanted is None:
            raise MismatchError(f"{labels} not expected: {points}")
        if points.keys() != points_wanted.keys():
            raise MismatchError(f"{labels} at {list(points)} instead of {list(points_wanted)}: {points}")
        for time, value in points_wanted.items():
            _check_value(value, points[time], f"{labels} at {time}")
    missing = [key for key, points in wanted.items() if points]
    if missing:
        raise MismatchError(f"no {missing}")


def _check_value(wanted: Value, found: Found, what: str) -> None:
    if isinstance(wanted, Histogram) and isinstance(found, ShownHistogram):
        shown = ShownHistogram.of(wanted.native)
        if not shown.is_like(found, _almost_equal):
            raise MismatchError(f"{what}: {found} instead of {shown}")
    elif isinstance(wanted, Histogram) and isinstance(found, native.Histogram):
        differing = _difference(wanted.native.compacted(), found.compacted(), with_hint=wanted.gives_hint)
        if differing is not None:
            raise MismatchError(f"{what}: {differing} of {found} is not that of {wanted.native}")
    elif not isinstance(wanted, float) or not isinstance(found, float) or not _almost_equal(wanted, found):
        shown = wanted.native if isinstance(wanted, Histogram) else wanted
        raise MismatchError(f"{what}: {found} instead of {shown}")


def _difference(wanted: native.Histogram, found: native.Histogram, *, with_hint: bool) -> str | None:
    """The first field in which two histograms differ; counts and sums may by a little."""
    if with_hint and wanted.hint != found.hint:
        return f"hint {found.hint} instead of {wanted.hint}"
    for field in ("schema", "zero_threshold", "custom_values"):
        if getattr(wanted, field) != getattr(found, field):
            return f"{field} {getattr(found, field)} instead of {getattr(wanted, field)}"
    for field in ("count", "total", "zero_count"):
        if not _almost_equal(getattr(wanted, field), getattr(found, field)):
            return f"{field} {getattr(found, field)} instead of {getattr(wanted, field)}"
    for field in ("positive", "negative"):
        buckets: list[tuple[int, float]] = getattr(wanted, field)
        others: list[tuple[int, float]] = getattr(found, field)
        if [index for index, _ in buckets] != [index for index, _ in others] or not all(
            _almost_equal(count, other) for (_, count), (_, other) in zip(buckets, others, strict=True)
        ):
            return f"{field} buckets {others} instead of {buckets}"
    return None


def _almost_equal(left: float, right: float) -> bool:
    if _bits(STALE) in (_bits(left), _bits(right)):
        return _bits(left) == _bits(right)
    if left == right or (math.isnan(left) and math.isnan(right)):
        return True
    total = abs(left) + abs(right)
    if left == 0 or right == 0 or total < sys.float_info.min:
        return abs(left - right) < _RELATIVE_TOLERANCE * sys.float_info.min
    return abs(left - right) / min(total, sys.float_info.max) < _RELATIVE_TOLERANCE


def _bits(value: float) -> bytes:
    return struct.pack("<d", value)


def _key(labels: Labels) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(sorted((name.encode(), value.encode()) for name, value in labels.items()))


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
