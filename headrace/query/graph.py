"""Curves in dots: a character of Unicode's braille block is a raster of two by four of them."""

import math
from collections.abc import Sequence

from headrace.query.answer import Series, number
from headrace.query.moments import shown

_BRAILLE = 0x2800
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # rows from the top, columns from the left
_COLOURS = (32, 33, 36, 35, 34, 31)  # of a terminal: green, yellow, cyan, magenta, blue, red
MAX_NAMED = 12
MAX_BAR = 40


def of_matrix(series: Sequence[Series], width: int, height: int, *, colours: bool) -> str:
    """All series in one frame of `width` times `height` characters, with axes and names."""
    drawn = [one for one in series if one.finite]
    if not drawn:
        return "nothing to draw: no series has a finite float"
    points = [point for one in drawn for point in one.finite]
    first, last = min(time for time, _ in points), max(time for time, _ in points)
    lowest, highest = min(value for _, value in points), max(value for _, value in points)
    labels = [number(highest), number((highest + lowest) / 2), number(lowest)]
    margin = max(map(len, labels))
    raster = _Raster(max(width - margin - 2, 10), max(height, 3))
    for index, one in enumerate(drawn):
        raster.draw(one.finite, (first, last), (lowest, highest), index)
    lines = raster.lines(colours=colours)
    titles = {0: labels[0], len(lines) // 2: labels[1], len(lines) - 1: labels[2]}
    framed = [f"{titles.get(row, ''):>{margin}} ┤{line}" for row, line in enumerate(lines)]
    begins, ends = shown(first), shown(last)
    gap = max(raster.width - len(begins) - len(ends), 1)
    axis = f"{'':>{margin}} └{'─' * raster.width}\n{'':>{margin}}  {begins}{' ' * gap}{ends}"
    return "\n".join([*framed, axis, *_names(drawn, colours=colours)])


def of_vector(series: Sequence[Series]) -> str:
    """A bar for each element, from 0 on."""
    bars = [(one.name or "scalar", one.finite[-1][1]) for one in series if one.finite]
    if not bars:
        return "nothing to draw: no element is a finite float"
    longest = max(abs(value) for _, value in bars) or 1.0
    width = max(len(name) for name, _ in bars)
    return "\n".join(
        f"{name:<{width}}  {'█' * math.ceil(abs(value) / longest * MAX_BAR)} {number(value)}" for name, value in bars
    )


def _names(drawn: Sequence[Series], *, colours: bool) -> list[str]:
    lines = [
        f"  {_coloured('━━', index, colours=colours)} {one.name or 'scalar'}  {number(one.finite[-1][1])}"
        for index, one in enumerate(drawn[:MAX_NAMED])
    ]
    return lines if len(drawn) <= MAX_NAMED else [*lines, f"  and {len(drawn) - MAX_NAMED} more"]


def _coloured(text: str, index: int, *, colours: bool) -> str:
    return f"\x1b[{_COLOURS[index % len(_COLOURS)]}m{text}\x1b[0m" if colours else text


class _Raster:
    """Dots, and of which series the last one in each character was."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self._dots = [[0] * width for _ in range(height)]
        self._owner = [[0] * width for _ in range(height)]

    def draw(
        self,
        points: Sequence[tuple[float, float]],
        times: tuple[float, float],
        values: tuple[float, float],
        owner: int,
    ) -> None:
        """Neighbouring points are joined by a line."""
        before: tuple[int, int] | None = None
        for time, value in points:
            at = (
                _scaled(time, times, self.width * 2 - 1),
                self.height * 4 - 1 - _scaled(value, values, self.height * 4 - 1),
            )
            self._line(before or at, at, owner)
            before = at

    def _line(self, start: tuple[int, int], end: tuple[int, int], owner: int) -> None:
        steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
        for step in range(steps + 1):
            x = round(start[0] + (end[0] - start[0]) * step / steps)
            y = round(start[1] + (end[1] - start[1]) * step / steps)
            self._dots[y // 4][x // 2] |= _DOTS[y % 4][x % 2]
            self._owner[y // 4][x // 2] = owner

    def lines(self, *, colours: bool) -> list[str]:
        return [
            "".join(
                _coloured(chr(_BRAILLE + dots), owner, colours=colours) if dots else " "
                for dots, owner in zip(row, owners, strict=True)
            ).rstrip()
            for row, owners in zip(self._dots, self._owner, strict=True)
        ]


def _scaled(value: float, extent: tuple[float, float], last: int) -> int:
    """Where a value stands between two others, from 0 to `last`. Halved, so that no extent is infinite."""
    low, high = extent
    return round((value / 2 - low / 2) / (high / 2 - low / 2) * last) if high > low else last // 2
