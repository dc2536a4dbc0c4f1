"""An answer's series as numbers."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.query.errors import QueryError


@dataclass(frozen=True, slots=True)
class Series:
    """`points` are (time in s, value) of floats, `histograms` (time in s, text) of native histograms."""

    name: str
    points: list[tuple[float, float]]
    histograms: list[tuple[float, str]]

    @property
    def finite(self) -> list[tuple[float, float]]:
        return [point for point in self.points if math.isfinite(point[1])]


def series_of(data: Mapping[str, Any]) -> list[Series]:
    """Of a vector, a matrix or a scalar. Raises QueryError for what is none of them."""
    kind, result = data.get("resultType"), data.get("result")
    try:
        if kind == "scalar":
            return [Series("", [_point(result)], [])]
        if kind == "vector":
            return [
                Series(
                    name_of(row["metric"]),
                    [_point(row["value"])] if "value" in row else [],
                    [_histogram(row["histogram"])] if "histogram" in row else [],
                )
                for row in result or ()
            ]
        if kind == "matrix":
            return [
                Series(
                    name_of(row["metric"]),
                    [_point(point) for point in row.get("values", ())],
                    [_histogram(point) for point in row.get("histograms", ())],
                )
                for row in result or ()
            ]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise QueryError(f"the answer is damaged: {error!r}") from None
    raise QueryError(f"there is no table or graph of a {kind}: ask with --output json")


def name_of(labels: Mapping[str, str]) -> str:
    """As PromQL writes a series."""
    rest = ", ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in labels.items() if name != "__name__"
    )
    name = labels.get("__name__", "")
    return f"{name}{{{rest}}}" if rest or not name else name


def number(value: float) -> str:
    """Short, and exact enough to read."""
    is_whole = math.isfinite(value) and value == int(value) and abs(value) < 1e15
    return str(int(value)) if is_whole else f"{value:.6g}"


def _point(point: Any) -> tuple[float, float]:
    return float(point[0]), float(point[1])


def _histogram(point: Any) -> tuple[float, str]:
    histogram = point[1]
    return float(point[0]), f"count {histogram['count']}, sum {histogram['sum']}"
