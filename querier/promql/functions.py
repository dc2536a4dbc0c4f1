"""Signatures of the functions, as Prometheus 3.14 has them."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

ValueType: TypeAlias = Literal["scalar", "vector", "matrix", "string"]

DOCUMENTED_TYPE: dict[ValueType, str] = {
    "scalar": "scalar",
    "vector": "instant vector",
    "matrix": "range vector",
    "string": "string",
}


@dataclass(slots=True, frozen=True)
class Function:
    """`variadic`: 0 takes exactly `arg_types`; n > 0 allows 0 to n of the last; -1 any number of it."""

    name: str
    arg_types: tuple[ValueType, ...]
    variadic: int
    return_type: ValueType
    experimental: bool


_TYPES: dict[str, ValueType] = {"V": "vector", "M": "matrix", "S": "scalar", "Str": "string"}

# One line is one signature, and the names that have it.
_SIGNATURES = """
V -> V: abs absent acos acosh asin asinh atan atanh ceil cos cosh deg exp floor ln log10 log2 rad sgn sin sinh sqrt tan
V -> V: tanh timestamp sort sort_desc histogram_avg histogram_count histogram_sum histogram_stddev histogram_stdvar
V -> V: start_timestamp!
V? -> V: days_in_month day_of_month day_of_week day_of_year hour minute month year
V S? -> V: round
V S -> V: clamp_max clamp_min
V S S -> V: clamp
M -> V: absent_over_time avg_over_time changes count_over_time delta deriv first_over_time idelta increase irate
M -> V: last_over_time max_over_time min_over_time present_over_time rate resets stddev_over_time stdvar_over_time
M -> V: sum_over_time mad_over_time! ts_of_first_over_time! ts_of_last_over_time! ts_of_max_over_time!
M -> V: ts_of_min_over_time!
M S -> V: predict_linear
M S S -> V: double_exponential_smoothing!
S M -> V: quantile_over_time
S V -> V: histogram_quantile
S S V -> V: histogram_fraction
V Str Str Str Str -> V: label_replace
V Str Str Str* -> V: label_join
V Str* -> V: sort_by_label! sort_by_label_desc!
V V? -> V: info!
V -> S: scalar
S -> V: vector
-> S: pi time end! range! start! step!
S S -> S: max_of! min_of!
"""

FUNCTIONS: dict[str, Function] = {}


def _declare() -> None:
    for line in _SIGNATURES.strip().splitlines():
        signature, names = line.split(":")
        args, returned = signature.split("->")
        words = args.split()
        variadic = (-1 if words[-1].endswith("*") else int(words[-1].endswith("?"))) if words else 0
        types = tuple(_TYPES[word.rstrip("?*")] for word in words)
        for name in names.split():
            bare = name.rstrip("!")
            FUNCTIONS[bare] = Function(bare, types, variadic, _TYPES[returned.strip()], name.endswith("!"))
    FUNCTIONS["histogram_quantiles"] = Function(
        "histogram_quantiles", ("vector", "string", "scalar", "scalar"), 9, "vector", experimental=True
    )


_declare()

DATE_FUNCTIONS = frozenset(
    {"days_in_month", "day_of_month", "day_of_week", "day_of_year", "hour", "minute", "month", "year"}
)
KEEP_NAME = frozenset(
    {
        "first_over_time",
        "last_over_time",
        "label_replace",
        "label_join",
        "sort",
        "sort_desc",
        "sort_by_label",
        "sort_by_label_desc",
        "info",
    }
)
"""Functions whose result still carries the metric's name."""
ANCHORABLE = ("changes", "delta", "increase", "rate", "resets")
SMOOTHABLE = ("delta", "increase", "rate")
