"""What a query means: structure, precedence and literals."""

import math

import pytest

from querier.promql import ALL_FEATURES, parse, parse_selector
from querier.promql.ast import (
    Aggregate,
    Binary,
    Call,
    DurationExpr,
    Expr,
    MatrixSelector,
    NumberLiteral,
    StringLiteral,
    Subquery,
    Unary,
    VectorSelector,
)
from querier.promql.format import canonical


def parsed(query: str) -> Expr:
    return parse(query, ALL_FEATURES)


@pytest.mark.parametrize(
    ("query", "same"),
    [
        ("1 + 2 * 3", "1 + (2 * 3)"),
        ("1 - 2 - 3", "(1 - 2) - 3"),
        ("2 ^ 3 ^ 2", "2 ^ (3 ^ 2)"),
        ("a or b and c", "a or (b and c)"),
        ("a and b unless c", "(a and b) unless c"),
        ("a == bool b + c", "a == bool (b + c)"),
        ("a atan2 b + c", "(a atan2 b) + c"),
        ("-a ^ 2", "-(a ^ 2)"),
        ("-a * b", "(-a) * b"),
        ("a * -b ^ 2", "a * (-(b ^ 2))"),
        ("2 ^ -a * b", "(2 ^ (-a)) * b"),
        ("-a offset 5m", "-(a offset 5m)"),
        ("a offset 5m + b", "(a offset 5m) + b"),
        ("a offset -5m * 2", "(a offset -5m) * 2"),
        ("a </ 1 + 2", "a </ (1 + 2)"),
    ],
)
def test_precedence(query: str, same: str) -> None:
    def strip(expr: Expr) -> str:
        return canonical(expr).replace("(", "").replace(")", "")

    with_parens, without = parsed(same), parsed(query)
    assert strip(with_parens) == strip(without)
    assert _shape(with_parens) == _shape(without)


def _shape(expr: Expr) -> object:
    """The nesting of operators, parentheses left out."""
    if isinstance(expr, Binary):
        return (expr.op, _shape(expr.left), _shape(expr.right))
    if isinstance(expr, Unary):
        return (expr.op, _shape(expr.expr))
    if hasattr(expr, "expr"):
        return _shape(expr.expr)
    return canonical(expr)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0),
        ("1_000", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("0x1F", 31.0),
        ("010", 8.0),
        ("08", 8.0),
        ("1h30m", 5400.0),
        ("100ms", 0.1),
        ("1y", 31_536_000.0),
        ("Inf", math.inf),
        ("-inF", -math.inf),
        ("-1", -1.0),
        ("- -1", 1.0),
    ],
)
def test_numbers(text: str, value: float) -> None:
    expr = parsed(text)
    assert isinstance(expr, NumberLiteral)
    assert expr.value == value


def test_nan() -> None:
    expr = parsed("nan")
    assert isinstance(expr, NumberLiteral)
    assert math.isnan(expr.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"a\\tb"', "a\tb"),
        ("'it\\'s'", "it's"),
        (r'"\x41\101\u00e4\U0001F600"', "AAä😀"),
        (r"`\n`", r"\n"),
        ("`two\nlines`", "two\nlines"),
        (r'"\xc3\xa4"', "ä"),
        (r'"\xff"', "\udcff"),
    ],
)
def test_strings(text: str, value: str) -> None:
    expr = parsed(text)
    assert isinstance(expr, StringLiteral)
    assert expr.value == value


def test_a_selector_with_everything() -> None:
    expr = parsed('rate(foo{a="b", c!~"d.*", "e.f"!=""}[5m] offset 1h @ 12.3456)')
    assert isinstance(expr, Call)
    windows = expr.args[0]
    assert isinstance(windows, MatrixSelector)
    selector = windows.selector
    assert windows.range_ms == 300_000
    assert selector.name == "foo"
    assert [(m.name, m.op, m.value) for m in selector.matchers] == [
        ("a", "=", "b"),
        ("c", "!~", "d.*"),
        ("e.f", "!=", ""),
        ("__name__", "=", "foo"),
    ]
    assert (selector.when.offset_ms, selector.when.at_ms) == (3_600_000, 12_346)


def test_suffixes_come_in_any_order() -> None:
    assert parsed("a[5m] @ end() offset -1m") == parsed("a[5m] offset -1m @ end()")


def test_at_rounds_half_away_from_zero() -> None:
    for text, at_ms in (("0.0005", 1), ("-0.0005", -1), ("1m", 60_000), ("+2", 2_000)):
        expr = parsed(f"a @ {text}")
        assert isinstance(expr, VectorSelector)
        assert expr.when.at_ms == at_ms


def test_a_subquery() -> None:
    expr = parsed("rate(a[1m])[1h:30s] offset 5m")
    assert isinstance(expr, Subquery)
    assert (expr.range_ms, expr.step_ms, expr.when.offset_ms) == (3_600_000, 30_000, 300_000)
    default = parsed("a[1h:]")
    assert isinstance(default, Subquery)
    assert default.step_ms == 0


def test_durations_may_be_expressions() -> None:
    expr = parsed("a[step() * 2:max_of(1m, range() / 10)]")
    assert isinstance(expr, Subquery)
    assert isinstance(expr.range_expr, DurationExpr)
    assert isinstance(expr.step_expr, DurationExpr)


def test_modifiers_of_aggregations_stand_before_or_behind() -> None:
    before, behind = parsed("SUM BY (a, b,) (x)"), parsed("sum(x) by (a, b)")
    assert isinstance(before, Aggregate)
    assert before == behind
    assert before.grouping == ["a", "b"]


def test_keywords_are_names_where_names_stand() -> None:
    for query in (
        "sum{by='x'}",
        "by + without",
        "offset offset 5m",
        "fill + fill(0) fill",
        "sum by (on, group_left, bool) (start)",
        "limitk",
        "end / step",
    ):
        parsed(query)


def test_group_left_takes_the_parentheses_that_follow() -> None:
    expr = parsed("a * on (x) group_left (y) (b)")
    assert isinstance(expr, Binary)
    assert expr.matching is not None
    assert (expr.matching.card, expr.matching.labels, expr.matching.include) == ("many-to-one", ["x"], ["y"])


def test_set_operators_match_many_to_many() -> None:
    expr = parsed("a unless on (x) b")
    assert isinstance(expr, Binary)
    assert expr.matching is not None
    assert expr.matching.card == "many-to-many"


def test_scalars_have_no_matching() -> None:
    expr = parsed("a + 1")
    assert isinstance(expr, Binary)
    assert expr.matching is None


def test_comments_and_blanks_do_not_count() -> None:
    assert parsed("# first\nsum ( # in\n a )\r\n\t") == parsed("sum(a)")


def test_a_selector_for_match() -> None:
    matchers = parse_selector('{__name__=~"a.*", b=""}')
    assert [(m.name, m.op, m.value) for m in matchers] == [("__name__", "=~", "a.*"), ("b", "=", "")]
