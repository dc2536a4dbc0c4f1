"""PromQL: parse, plan, evaluate.

    plan = prepare("sum(rate(x_total[5m]))", (start_ms, step_ms, steps), is_range=True)
    sets = [... one SeriesSet for each of plan.selects ...]
    result = evaluate(plan, sets, query)

Planning is pure Python and takes some tens of microseconds; evaluating is a handful of calls of the native engine.
"""

from querier.promql.errors import ParseError
from querier.promql.evaluate import Result, evaluate
from querier.promql.features import ALL_FEATURES, DEFAULT_FEATURES, Features
from querier.promql.format import pretty
from querier.promql.parser import parse, parse_selector
from querier.promql.plan import Plan, Select, prepare

__all__ = [
    "ALL_FEATURES",
    "DEFAULT_FEATURES",
    "Features",
    "ParseError",
    "Plan",
    "Result",
    "Select",
    "evaluate",
    "format_query",
    "parse",
    "parse_selector",
    "prepare",
]


def format_query(query: str, features: Features = ALL_FEATURES) -> str:
    """The query as Prometheus prints it. Raises ParseError."""
    return pretty(parse(query, features))
