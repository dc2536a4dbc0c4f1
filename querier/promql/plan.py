"""What a query needs and how it is evaluated: the selectors to fetch, and a tree of operators over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from querier.promql.ast import MatrixSelector, StringLiteral, Subquery, without_parens
from querier.promql.features import DEFAULT_FEATURES, Features
from querier.promql.functions import DOCUMENTED_TYPE, ValueType
from querier.promql.parsed import PARSED
from querier.promql.planner import Planner
from querier.promql.sharing import shared
from shared.errors import BadDataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from querier.promql.ast import Expr, LabelMatcher
    from querier.promql.operators.sources import Samples
    from querier.promql.run import Operator
    from shared.native import Grid, Matcher
    from shared.seams.ingester_client import Fold

DEFAULT_LOOKBACK_MS = 5 * 60_000
DEFAULT_SUBQUERY_STEP_MS = 60_000

SHARED_HEIGHT = 60
"""Trees higher than this are left as they are: the passes over them are recursive."""


@dataclass(slots=True, frozen=True)
class Select:
    """The samples of one selector that the query may look at; times are inclusive.

    `matchers` are those of `selector`, compiled. `fold` is the aggregation over them if nothing else looks at them.
    """

    selector: Sequence[LabelMatcher]
    matchers: Sequence[Matcher]
    min_ms: int
    max_ms: int
    fold: Fold | None


@dataclass(slots=True, frozen=True)
class Plan:
    """A query that is ready to run.

    `root` evaluates a scalar or a vector, `samples` is what an instant query for a range vector shows, `text` a string:
    one of the three is set. `inner_steps` counts those of all subqueries. `type` is what the answer calls itself, so
    always matrix in range queries. The native query must be made with the plan's `features`.
    """

    query: str
    expr: Expr
    grid: Grid
    is_range: bool
    type: ValueType
    selects: Sequence[Select]
    inner_steps: int
    root: Operator | None
    samples: Samples | None
    text: str | None
    features: Features


def prepare(
    query: str,
    grid: Grid,
    features: Features = DEFAULT_FEATURES,
    lookback_ms: int = DEFAULT_LOOKBACK_MS,
    *,
    is_range: bool,
    end_ms: int | None = None,
    subquery_step_ms: int = DEFAULT_SUBQUERY_STEP_MS,
) -> Plan:
    """Parse, check and plan. `grid` is (start_ms, step_ms, steps); an instant query has one step of any length.

    `end_ms` is the end that a range query was asked for, which need not fall on a step (None: it does). Raises
    ParseError, a BadDataError, for what is wrong with the query, and ExecutionError for what shows only in planning.
    """
    parsed = PARSED.of(query, features)
    expr, found = parsed.expr, parsed.type
    if is_range and found not in ("scalar", "vector"):
        raise BadDataError(
            f'invalid expression type "{DOCUMENTED_TYPE[found]}" for range query, must be Scalar or instant Vector'
        )
    start_ms, step_ms, steps = grid
    last_ms = start_ms + (steps - 1) * step_ms
    planner = Planner(
        (start_ms, end_ms if is_range and end_ms is not None else last_ms),
        step_ms if is_range else 0,
        lookback_ms,
        subquery_step_ms,
        parsed.invariance,
        parsed.statistics,
        features,
        parsed.narrowed,
    )
    bare = without_parens(expr)
    root: Operator | None = None
    samples: Samples | None = None
    text: str | None = None
    if isinstance(bare, StringLiteral):
        text = bare.value
    elif isinstance(bare, MatrixSelector | Subquery):
        samples = planner.samples(bare, grid)
    else:
        root = planner.plan(bare, grid)
        if planner.reads_twice and parsed.height <= SHARED_HEIGHT:
            root = shared(root)
    selects = [Select(*needed) for needed in planner.needed()]
    return Plan(
        query,
        expr,
        grid,
        is_range,
        "matrix" if is_range else found,
        selects,
        planner.inner_steps,
        root,
        samples,
        text,
        features,
    )
