"""How the cost of a query grows: with series, with steps, with samples; drawn as docs/growth.svg.

`python -m tests.bench.growth [FILE]` evaluates `sum by (le) (rate(x[5m]))` in this process over series in memory, each
size some times, and takes the least CPU time. What grows is doubled from point to point while the rest stays.
"""

import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from querier.promql import evaluate, prepare
from shared import native

QUERY = "sum by (le) (rate(x[5m]))"
DOUBLINGS = 5
REPEATS = 7
INTERVAL_MS = 15_000
GROUPS = 13


@dataclass(frozen=True, slots=True)
class Size:
    """`samples` are those of each series; the steps are spread over them."""

    series: int
    steps: int
    samples: int


BASE = Size(series=1000, steps=60, samples=240)


@dataclass(frozen=True, slots=True)
class Curve:
    """CPU milliseconds by factor of what grows."""

    name: str
    milliseconds: Sequence[float]

    @property
    def exponent(self) -> float:
        """Of the power law through the second half of the curve: 1 is linear."""
        half = len(self.milliseconds) // 2
        rise = self.milliseconds[-1] / self.milliseconds[half]
        return math.log2(rise) / (len(self.milliseconds) - 1 - half)


def cost_ms(size: Size) -> float:
    """The least CPU time of some evaluations."""
    times = [INTERVAL_MS * number for number in range(size.samples)]
    rows = [
        ({"__name__": "x", "le": str(number % GROUPS), "instance": str(number)}, times, _counter(number, size.samples))
        for number in range(size.series)
    ]
    end_ms = times[-1]
    step_ms = max((end_ms - 300_000) // size.steps, 1)
    plan = prepare(QUERY, (end_ms - step_ms * (size.steps - 1), step_ms, size.steps), is_range=True)
    best = math.inf
    query = native.Query()
    sets = [native.series_from_samples(query, rows)]
    for _ in range(REPEATS):
        began = time.process_time()
        evaluate(plan, sets, query)
        best = min(best, time.process_time() - began)
    return best * 1000


def _counter(seed: int, samples: int) -> list[float]:
    return [float(number * (1 + seed % 7)) for number in range(samples)]


def curves() -> Iterator[Curve]:
    for name in ("series", "steps", "samples"):
        costs = []
        for doubling in range(DOUBLINGS):
            grown = {"series": BASE.series, "steps": BASE.steps, "samples": BASE.samples}
            grown[name] <<= doubling
            costs.append(cost_ms(Size(**grown)))
        yield Curve(name, costs)


WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 640, 400, 70, 40, 150, 50
COLOURS = ("#1b6ca8", "#c1440e", "#3c8d2f")


def drawn(found: Sequence[Curve]) -> str:
    """As SVG, both axes logarithmic, so that what is linear has the slope of the grey lines."""
    costs = [cost for curve in found for cost in curve.milliseconds]
    low, high = math.floor(math.log2(min(costs))), math.ceil(math.log2(max(costs)))
    steps = DOUBLINGS - 1

    def at(doubling: float, cost: float) -> tuple[float, float]:
        x = LEFT + doubling / steps * (WIDTH - LEFT - RIGHT)
        return x, HEIGHT - BOTTOM - (math.log2(cost) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        "<style>text { font-size: 12px }</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="14">CPU time of {QUERY}</text>',
    ]
    for doubling in range(DOUBLINGS):
        x, _ = at(doubling, 2**low)
        parts.append(f'<text x="{x:.0f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{1 << doubling}</text>')
    for power in range(low, high + 1):
        _, y = at(0, 2**power)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#eee"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{2.0**power:g} ms</text>')
    base = f"{BASE.series} series, {BASE.steps} steps, {BASE.samples} samples a series"
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 10}">times as many as {base}</text>')
    for number, (curve, colour) in enumerate(zip(found, COLOURS, strict=True)):
        points = [at(doubling, cost) for doubling, cost in enumerate(curve.milliseconds)]
        start = curve.milliseconds[0]
        ends = [at(0, start), at(steps, min(start * 2**steps, 2**high))] if start * 2**steps <= 2**high else []
        if ends:
            parts.append(_line(ends, "#bbb", 'stroke-dasharray="4 4"'))
        parts.append(_line(points, colour, 'stroke-width="2"'))
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        label_y = TOP + 20 * number + 10
        text = f"{curve.name}: exponent {curve.exponent:.2f}"
        parts.append(f'<text x="{WIDTH - RIGHT + 10}" y="{label_y}" fill="{colour}">{text}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _line(points: Sequence[tuple[float, float]], colour: str, style: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" {style}/>'


def main() -> None:
    found = list(curves())
    for curve in found:
        print(f"{curve.name:8} {' '.join(f'{cost:8.2f}' for cost in curve.milliseconds)} ms, {curve.exponent:.2f}")
    Path(sys.argv[1] if len(sys.argv) > 1 else "docs/growth.svg").write_text(drawn(found), encoding="utf-8")


if __name__ == "__main__":
    main()
