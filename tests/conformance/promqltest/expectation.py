"""Compares what a query gave with what its file says."""

import json
import math
import struct
import sys
from typing import Any

from querier.promql import Result

from .language import Eval, Mark
from .series import STALE, Histogram, Labels, Value

_RELATIVE_TOLERANCE = 1e-6


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


def check_result(expected: Eval, result: Result) -> None:
    """`result` of the query as it stands in the file."""
    value = json.loads(result.json)
    if result.type == "scalar":
        if expected.scalar is None:
            raise MismatchError(f"a scalar: {value}")
        _check_value(expected.scalar, float(value[1]), "the scalar")
    elif result.type == "string":
        if value[1] != expected.string:
            raise MismatchError(f"the string {value[1]!r} instead of {expected.string!r}")
    elif result.type == "matrix":
        _check_matrix(expected, value)
    else:
        check_vector(expected, [(row["metric"], float(row["value"][1])) for row in value])


def check_middle(expected: Eval, result: Result, at_ms: int) -> None:
    """The step at `at_ms` of a range query gives what the instant query did."""
    rows = [
        (row["metric"], float(text))
        for row in json.loads(result.json)
        for time, text in row["values"]
        if _milliseconds(time) == at_ms
    ]
    if expected.scalar is None:
        check_vector(expected, rows)
        return
    if len(rows) != 1:
        raise MismatchError(f"a scalar as a range query has {len(rows)} rows")
    _check_value(expected.scalar, rows[0][1], "the scalar")


def check_vector(expected: Eval, rows: list[tuple[Labels, float]]) -> None:
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


def _check_matrix(expected: Eval, rows: list[dict[str, Any]]) -> None:
    start_ms, end_ms, step_ms = expected.expects_samples or (expected.start_ms, expected.end_ms, expected.step_ms)
    keys = [_key(row["metric"]) for row in rows]
    if keys != sorted(keys):
        raise MismatchError(f"rows are not sorted: {keys}")
    wanted = {}
    for labels, values in expected.series:
        if start_ms + (len(values) - 1) * max(step_ms, 1) > end_ms:
            raise MismatchError(f"{len(values)} points of {labels} do not fit")
        wanted[_key(labels)] = {
            start_ms + index * step_ms: value for index, value in enumerate(values) if value is not None
        }
    for row in rows:
        points = {_milliseconds(time): float(text) for time, text in row["values"]}
        points_wanted = wanted.pop(_key(row["metric"]), None)
        if points_wanted is None:
            raise MismatchError(f"{row['metric']} not expected: {points}")
        if points.keys() != points_wanted.keys():
            raise MismatchError(f"{row['metric']} at {list(points)} instead of {list(points_wanted)}: {points}")
        for time, value in points_wanted.items():
            _check_value(value, points[time], f"{row['metric']} at {time}")
    missing = [key for key, points in wanted.items() if points]
    if missing:
        raise MismatchError(f"no {missing}")


def _check_value(wanted: Value, found: float, what: str) -> None:
    if isinstance(wanted, Histogram) or wanted is None or not _almost_equal(wanted, found):
        raise MismatchError(f"{what}: {found} instead of {wanted}")


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
