"""The canonical text of queries."""

import pytest
from hypothesis import given

from querier.promql import ALL_FEATURES, format_query, parse
from querier.promql.format import canonical
from querier.promql.numbers import format_general, format_plain

from .queries import queries, sort_matchers


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("sum(x) by(a,b)", "sum by (a, b) (x)"),
        ("sum by () (x)", "sum(x)"),
        ("sum without () (x)", "sum without () (x)"),
        ('sum by ("a.b") (x)', 'sum by ("a.b") (x)'),
        ('x{b="1",a=~"2"}', 'x{a=~"2",b="1"}'),
        ('{__name__="x"}', '{__name__="x"}'),
        ('{"x.y", "l.m"=\'n\'}', '{"l.m"="n",__name__="x.y"}'),
        ("rate(x[60s])", "rate(x[1m])"),
        ("x[1h:60s]", "x[1h:1m]"),
        ("x[1h:]", "x[1h:]"),
        ("x offset 5m @ 1", "x @ 1.000 offset 5m"),
        ("x offset -(1h/2)", "x offset -(1h / 2)"),
        ("x[5m] @ start() offset -1m", "x[5m] @ start() offset -1m"),
        ("a+on()b", "a + on () b"),
        ("a*ignoring(c)group_left b", "a * ignoring (c) group_left () b"),
        ("a + fill(1) b", "a + fill (1) b"),
        ("a + fill(NaN) b", "a + fill (NaN) b"),
        ("a + fill_right(1) fill_left(1) b", "a + fill_left (1) fill_right (1) b"),
        ("a + fill_right(-1) fill_left(2m) b", "a + fill_left (120) fill_right (-1) b"),
        ("a >bool 1e6", "a > bool 1000000"),
        ("-1^2", "-1 ^ 2"),
        ("5m + 1", "5m + 1"),
        ("'a\"b'", '"a\\"b"'),
        ("`\\d`", '"\\\\d"'),
        ("(a)", "(a)"),
        ("x[5m] smoothed", "x[5m] smoothed"),
        ("histogram_quantile(.9,x)", "histogram_quantile(0.9, x)"),
    ],
)
def test_on_one_line(query: str, text: str) -> None:
    assert format_query(query) == text


def test_split_where_a_line_would_be_too_long() -> None:
    long = 'http_request_duration_seconds_bucket{handler="/api/v1/query_range",job="prometheus-in-the-cellar"}'
    assert format_query(f"histogram_quantile(0.9, sum by (le) (rate({long}[5m]))) > bool 1") == (
        "  histogram_quantile(\n"
        "    0.9,\n"
        "    sum by (le) (\n"
        "      rate(\n"
        f"        {long}[5m]\n"
        "      )\n"
        "    )\n"
        "  )\n"
        "> bool\n"
        "  1"
    )


def test_every_further_left_operand_stands_deeper() -> None:
    name = "x" * 60
    assert format_query(f"{name} + {name} - {name}") == (f"    {name}\n  +\n    {name}\n-\n  {name}")


@pytest.mark.parametrize(
    ("value", "plain", "general"),
    [
        (0.0, "0", "0"),
        (-0.0, "-0", "-0"),
        (1e21, "1" + "0" * 21, "1e+21"),
        (123456.0, "123456", "123456"),
        (1234567.5, "1234567.5", "1.2345675e+06"),
        (0.0001, "0.0001", "0.0001"),
        (0.00001, "0.00001", "1e-05"),
        (float("inf"), "+Inf", "+Inf"),
        (float("nan"), "NaN", "NaN"),
    ],
)
def test_numbers(value: float, plain: str, general: str) -> None:
    assert format_plain(value) == plain
    assert format_general(value) == general


# ---- any query ------------------------------------------------------------------------------------------------------


@given(queries)
def test_the_canonical_text_is_the_same_query(query: str) -> None:
    expr = parse(query, ALL_FEATURES)
    again = parse(canonical(expr), ALL_FEATURES)
    assert canonical(again) == canonical(expr)
    for tree in (expr, again):
        sort_matchers(tree)
    assert again == expr


@given(queries)
def test_splitting_lines_changes_nothing(query: str) -> None:
    expr = parse(query, ALL_FEATURES)
    assert canonical(parse(format_query(query), ALL_FEATURES)) == canonical(expr)
