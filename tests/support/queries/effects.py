"""What operators and functions make of the traits of their operands."""

import math
from dataclasses import replace

from tests.support.queries.node import ABSOLUTE, Need, Rule, Traits

MOST_SERIES = 128.0
MOST_SAMPLES = 2048.0
_GRID_SCALE = 2.0**44
"""Multiples of 1/64 up to here are exact, with room for one more sum."""

EXACT = Need(exact=True)
SIGNED = Need(exact=True, sure=True)
"""Where the sign of a zero shows: 1 / 0 and 1 / -0 are as far apart as can be."""

SMALL = Traits(grid=True, finite=True, positive=True, scale=4096.0)
"""Counts, parts of dates, 0 and 1."""
SECONDS = Traits(finite=True, positive=True, scale=2.0**32)
INEXACT = Traits(exact=False)


def small(*_: Traits) -> Traits:
    return SMALL


def seconds(*_: Traits) -> Traits:
    return SECONDS


def inexact(*_: Traits) -> Traits:
    return INEXACT


def same(traits: Traits) -> Traits:
    return traits


def picked(traits: Traits) -> Traits:
    """One of the values."""
    return traits.changed()


def picked_of_series(traits: Traits) -> Traits:
    """One of the values; of 0 and -0 the one that came first."""
    return traits.changed(sure=False)


def left(traits: Traits, _: Traits) -> Traits:
    return traits


def either(one: Traits, other: Traits) -> Traits:
    """Values of both."""
    return Traits(
        exact=one.exact and other.exact,
        grid=one.grid and other.grid,
        scale=max(one.scale, other.scale),
        slack=max(one.slack, other.slack),
        finite=one.finite and other.finite,
        positive=one.positive and other.positive,
        sure=_sure(one, other),
    )


def _sure(*operands: Traits) -> bool:
    return all(traits.sure or traits.positive for traits in operands)


def negated(traits: Traits) -> Traits:
    return replace(traits, positive=False, sure=_sure(traits), counter="no")


def absolute(traits: Traits) -> Traits:
    return traits.changed(positive=True)


def rounded(traits: Traits) -> Traits:
    """Rounded the same way everywhere, to something of the same size."""
    return traits.changed(grid=False)


def unbounded(traits: Traits) -> Traits:
    """The same everywhere, but of any size."""
    return Traits(exact=traits.exact, sure=_sure(traits))


def blended(traits: Traits) -> Traits:
    """Between two of the values, or infinite, or NaN."""
    return traits.changed(grid=False, finite=False, sure=False)


def maybe_missing(traits: Traits) -> Traits:
    """A value, or NaN for none."""
    return traits.changed(finite=False)


def _cancelling(scale: float) -> float:
    """What may be left of values up to `scale` that cancel."""
    return 0.0 if math.isinf(scale) else scale * ABSOLUTE


def summed(traits: Traits, times: float = MOST_SERIES) -> Traits:
    """Of what is not on the grid Prometheus 2.42 adds in another order, and without compensation."""
    scale = traits.scale * times
    grid = traits.grid and scale <= _GRID_SCALE
    slack = traits.slack * times + (0.0 if grid else _cancelling(scale))
    return traits.changed(grid=grid, exact=grid and traits.exact, scale=scale, slack=slack, sure=False)


def summed_over_time(traits: Traits) -> Traits:
    return summed(traits, MOST_SAMPLES)


def averaged(traits: Traits) -> Traits:
    """2.42 moves a mean from value to value."""
    slack = traits.slack + _cancelling(traits.scale)
    return traits.changed(grid=False, exact=False, slack=slack, sure=False)


def deviation(traits: Traits) -> Traits:
    return averaged(traits).changed(positive=True)


def variance(traits: Traits) -> Traits:
    scale = traits.scale * traits.scale
    return deviation(traits).changed(scale=scale, slack=_cancelling(scale))


def per_second(traits: Traits) -> Traits:
    """Of counters: rate, increase and their kin."""
    return traits.changed(grid=False, scale=traits.scale * 4)


def difference(traits: Traits) -> Traits:
    return traits.changed(grid=False, positive=False, scale=traits.scale * 4)


def sign(traits: Traits) -> Traits:
    return traits.changed(scale=1.0)


def root(traits: Traits) -> Traits:
    return traits.changed(grid=False, finite=False, positive=True, scale=max(traits.scale, 1.0))


def turned(traits: Traits) -> Traits:
    """Degrees to radians and back."""
    return traits.changed(grid=False, scale=traits.scale * 60)


def within_subquery(traits: Traits) -> Traits:
    return replace(traits, distinct=False, counter="any" if traits.counter == "any" else "no")


def arithmetic(op: str) -> Rule:
    def rule(one: Traits, other: Traits) -> Traits:
        exact = one.exact and other.exact
        sure = _sure(one, other)
        positive = one.positive and other.positive
        finite = one.finite and other.finite
        if op in ("+", "-"):
            scale = one.scale + other.scale
            return Traits(
                exact=exact,
                grid=one.grid and other.grid and scale <= _GRID_SCALE,
                scale=scale,
                finite=finite and not math.isinf(scale),
                positive=positive and op == "+",
                sure=sure,
            )
        if op == "*":
            scale = one.scale * other.scale
            return Traits(
                exact=exact, scale=scale, finite=finite and not math.isinf(scale), positive=positive, sure=sure
            )
        if op == "/":
            return Traits(exact=exact, positive=positive, sure=sure)
        if op == "%":
            return Traits(exact=exact, grid=one.grid and other.grid, scale=one.scale, positive=one.positive, sure=sure)
        if op in ("^", "atan2"):
            return INEXACT
        return SMALL

    return rule


ELEMENT_WISE: dict[str, Rule] = {
    "abs": absolute, "ceil": picked, "floor": picked, "sgn": sign, "sqrt": root, "rad": turned, "deg": turned,
}  # fmt: skip
"""Computed alike everywhere. `ceil` and `floor` stay on the grid."""

AGGREGATIONS: dict[str, tuple[Need, Rule]] = {
    "sum": (Need(summable=True), summed),
    "avg": (Need(summable=True, finite=True), averaged),
    "min": (Need(), picked_of_series),
    "max": (Need(), picked_of_series),
    "count": (Need(), small),
    "group": (Need(), small),
    "stddev": (Need(scaled=True, finite=True), deviation),
    "stdvar": (Need(scaled=True, finite=True), variance),
}
OVER_TIME: dict[str, tuple[Need, Rule]] = {
    "sum_over_time": (Need(summable=True), summed_over_time),
    "avg_over_time": (Need(summable=True, finite=True), averaged),
    "min_over_time": (Need(), picked),
    "max_over_time": (Need(), picked),
    "last_over_time": (Need(), picked),
    "count_over_time": (Need(), small),
    "present_over_time": (Need(), small),
    "stddev_over_time": (Need(scaled=True, finite=True), deviation),
    "stdvar_over_time": (Need(scaled=True, finite=True), variance),
    "quantile_over_time": (Need(), blended),
    "changes": (EXACT, small),
    "resets": (EXACT, small),
    "delta": (EXACT, difference),
    "idelta": (EXACT, difference),
    "rate": (Need(exact=True, counter=True), per_second),
    "increase": (Need(exact=True, counter=True), per_second),
    "irate": (EXACT, per_second),
    "deriv": (EXACT, unbounded),
    "predict_linear": (EXACT, unbounded),
}
