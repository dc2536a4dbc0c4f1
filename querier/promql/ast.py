"""The syntax tree of a query.

`start` and `end` are character indices into the query and take no part in comparisons, so that a query and its
canonical form compare equal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from shared import native

if TYPE_CHECKING:
    from querier.promql.functions import Function

MatchOp: TypeAlias = Literal["=", "!=", "=~", "!~"]
Edge: TypeAlias = Literal["start", "end"]
Card: TypeAlias = Literal["one-to-one", "many-to-one", "one-to-many", "many-to-many"]


@dataclass(slots=True)
class NumberLiteral:
    """A duration literal is a number of seconds that is printed as a duration."""

    value: float
    is_duration: bool = field(compare=False)
    start: int = field(compare=False)
    end: int = field(compare=False)


@dataclass(slots=True)
class StringLiteral:
    value: str
    start: int = field(compare=False)
    end: int = field(compare=False)


@dataclass(slots=True)
class LabelMatcher:
    """`compiled` is set for regular expressions, which are checked while parsing."""

    name: str
    op: MatchOp
    value: str
    compiled: native.Matcher | None = field(default=None, compare=False, repr=False)

    def to_native(self) -> native.Matcher:
        return self.compiled or native.Matcher(self.name, self.op, self.value)


@dataclass(slots=True)
class DurationExpr:
    """Arithmetic inside brackets or after `offset`. `left` is None for a sign, both are None for `step` and `range`."""

    op: str
    left: Duration | None
    right: Duration | None
    start: int = field(compare=False)
    end: int = field(compare=False)
    is_wrapped: bool = False


Duration: TypeAlias = NumberLiteral | DurationExpr


@dataclass(slots=True)
class When:
    """`offset` and `@`. An offset that needs the query's times stays an expression until the query is planned."""

    offset_ms: int = 0
    offset_expr: DurationExpr | None = None
    at_ms: int | None = None
    at_edge: Edge | None = None


@dataclass(slots=True)
class VectorSelector:
    """`matchers` ends with the one for `name` if a name stands before the braces."""

    name: str
    matchers: list[LabelMatcher]
    start: int = field(compare=False)
    end: int = field(compare=False)
    when: When = field(default_factory=When)
    is_anchored: bool = False
    is_smoothed: bool = False
    may_match_all: bool = field(default=False, compare=False)


@dataclass(slots=True)
class MatrixSelector:
    selector: VectorSelector
    range_ms: int
    range_expr: DurationExpr | None
    end: int = field(compare=False)

    @property
    def start(self) -> int:
        return self.selector.start


@dataclass(slots=True)
class Subquery:
    """`step_ms` 0 without `step_expr`: the server's default."""

    expr: Expr
    range_ms: int
    range_expr: DurationExpr | None
    step_ms: int
    step_expr: DurationExpr | None
    end: int = field(compare=False)
    when: When = field(default_factory=When)

    @property
    def start(self) -> int:
        return self.expr.start


@dataclass(slots=True)
class Call:
    function: Function
    args: list[Expr]
    start: int = field(compare=False)
    end: int = field(compare=False)


@dataclass(slots=True)
class Aggregate:
    op: str
    expr: Expr
    param: Expr | None
    grouping: list[str]
    without: bool
    start: int = field(compare=False)
    end: int = field(compare=False)


@dataclass(slots=True)
class Matching:
    """`is_one_fill`: both sides are filled by one `fill`."""

    card: Card
    labels: list[str]
    on: bool
    include: list[str]
    fill_left: float | None = None
    fill_right: float | None = None
    is_one_fill: bool = field(default=False, compare=False)


@dataclass(slots=True)
class Binary:
    """`matching` is None unless both sides are instant vectors."""

    op: str
    left: Expr
    right: Expr
    return_bool: bool
    matching: Matching | None
    start: int = field(compare=False)
    end: int = field(compare=False)


@dataclass(slots=True)
class Unary:
    op: str
    expr: Expr
    start: int = field(compare=False)

    @property
    def end(self) -> int:
        return self.expr.end


@dataclass(slots=True)
class Paren:
    expr: Expr
    start: int = field(compare=False)
    end: int = field(compare=False)


Expr: TypeAlias = (
    NumberLiteral
    | StringLiteral
    | VectorSelector
    | MatrixSelector
    | Subquery
    | Call
    | Aggregate
    | Binary
    | Unary
    | Paren
)


def without_parens(expr: Expr) -> Expr:
    """What stands inside any number of parentheses."""
    while isinstance(expr, Paren):
        expr = expr.expr
    return expr
