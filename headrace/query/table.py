"""Rows: elements of a vector, or for each series of a matrix where it began and ended, its extremes and its shape."""

from collections.abc import Sequence
from itertools import pairwise

from headrace.query.answer import Series, number
from headrace.query.moments import shown

_BLOCKS = "▁▂▃▄▅▆▇█"
SPARK_WIDTH = 24


def of_vector(series: Sequence[Series]) -> str:
    rows = [(one.name or "scalar", _newest(one)) for one in series]
    return _aligned([("series", "value"), *rows])


def of_matrix(series: Sequence[Series]) -> str:
    rows = []
    for one in series:
        values = [value for _, value in one.finite]
        ends = [number(one.points[0][1]), number(one.points[-1][1])] if one.points else ["", ""]
        extremes = [number(min(values)), number(max(values))] if values else ["", ""]
        count = len(one.points) + len(one.histograms)
        last = max(time for time, _ in [*one.points, *one.histograms])
        rows.append((one.name, str(count), *ends, *extremes, shown(last), sparkline(values)))
    return _aligned([("series", "points", "first", "last", "lowest", "highest", "until (UTC)", ""), *rows])


def sparkline(values: Sequence[float], width: int = SPARK_WIDTH) -> str:
    """The shape of a curve in one line: the mean of each of at most `width` stretches."""
    if not values:
        return ""
    count = min(width, len(values))
    edges = [index * len(values) // count for index in range(count + 1)]
    means = [sum(values[low:high]) / (high - low) for low, high in pairwise(edges)]
    lowest, extent = min(means), max(means) - min(means)
    return "".join(_BLOCKS[int((mean - lowest) / extent * 7.999) if extent else 0] for mean in means)


def _newest(series: Series) -> str:
    return number(series.points[-1][1]) if series.points else series.histograms[-1][1]


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """The first column to the left, numbers to the right."""
    if len(rows) == 1:
        return "nothing matches"
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
