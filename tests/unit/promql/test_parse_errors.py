"""Every mistake is reported where and how Prometheus does it."""

from dataclasses import replace

import pytest

from querier.promql import ALL_FEATURES, DEFAULT_FEATURES, Features, ParseError, parse
from querier.promql.cursor import MAX_DEPTH
from querier.promql.parser import MAX_QUERY_LENGTH
from shared.errors import BadDataError

SYNTAX = [
    ("", "unknown position", "no expression found in input"),
    (" # nothing", "1:1", "no expression found in input"),
    ("1+", "1:3", "unexpected end of input"),
    ("* 1", "1:1", "unexpected <op:*>"),
    ("foo bar", "1:5", 'unexpected identifier "bar"'),
    ("foo a:b", "1:5", 'unexpected metric identifier "a:b"'),
    ("foo 7", "1:5", 'unexpected number "7"'),
    ("foo 7m", "1:5", 'unexpected duration "7m"'),
    ('foo "a somewhat long text"', "1:5", 'unexpected string "\\"a somewha"...'),
    ("foo{a=b}", "1:7", 'unexpected identifier "b" in label matching, expected string'),
    ("foo{x}", "1:6", 'unexpected "}" in label matching, expected label matching operator'),
    ('foo{a="b" c="d"}', "1:11", 'unexpected identifier "c" in label matching, expected "," or "}"'),
    ('foo{a="b",,}', "1:11", 'unexpected "," in label matching, expected identifier or "}"'),
    ('foo{"a"=}', "1:9", 'unexpected "}" in label matching, expected string'),
    ('foo{a>="b"}', "1:6", "unexpected character inside braces: '>'"),
    ('foo{a!"b"}', "1:6", "unexpected character after '!' inside braces: '\"'"),
    ("foo{a{", "1:6", "unexpected left brace '{'"),
    ('foo{a="b"', "1:10", "unexpected end of input inside braces"),
    ("some}", "1:5", "unexpected character: '}'"),
    ("foo]", "1:4", "unexpected right bracket ']'"),
    ("(1", "1:3", "unclosed left parenthesis"),
    ("(1))", "1:5", "unexpected right parenthesis ')'"),
    ("1 $ 2", "1:3", "unexpected character: '$'"),
    ("1 =~ 1", "1:3", "unexpected character after '=': '~'"),
    ("1 ! 2", "1:3", "unexpected character after '!': ' '"),
    ("5mm", "1:1", 'bad number or duration syntax: "5mm"'),
    ("0b1", "1:1", 'bad number or duration syntax: "0b"'),
    ("1..2", "1:1", 'bad number or duration syntax: "1..2"'),
    ("foo[5m1h]", "1:5", 'not a valid duration string: "5m1h"'),
    ("foo[5y1hs]", "1:5", 'unknown unit "hs" in duration "5y1hs"'),
    ("foo[300y]", "1:5", "duration out of range"),
    ("1e999", "1:1", 'error parsing number: strconv.ParseFloat: parsing "1e999": value out of range'),
    ("foo[", "1:5", "unexpected end of input in duration expression"),
    (
        "foo[]",
        "1:5",
        'unexpected "]" in subquery or range selector, expected number, duration, step(), or range()',
    ),
    ('foo["5m"]', "1:5", "unexpected character in duration expression: '\"'"),
    ("foo[x]", "1:5", "unexpected character in duration expression: 'x'"),
    ("foo[5m x]", "1:8", "unexpected character: 'x', expected ':'"),
    ("foo[:5m]", "1:6", "unexpected colon before duration in duration expression"),
    ("foo[5m:1m:]", "1:10", "unexpected colon ':'"),
    ("foo[5m::]", "1:9", "unexpected repeated colon in duration expression"),
    ("foo[5m", "1:7", "unclosed left bracket"),
    ("foo[5m 6m]", "1:8", 'unexpected duration "6m" in subquery or range, expected ":" or "]"'),
    ("foo[5m:6m 7m]", "1:11", 'unexpected duration "7m" in subquery selector, expected "]"'),
    (
        "foo[5m:*]",
        "1:8",
        'unexpected <op:*> in subquery selector, expected number, duration, step(), range(), or "]"',
    ),
    ("foo[0m]", "1:5", "duration must be greater than 0"),
    ("foo[5m/0]", "1:7", "division by zero"),
    ("foo[5m%0s]", "1:7", "modulo by zero"),
    ("foo offset x", "1:12", 'unexpected identifier "x" in offset, expected number, duration, step(), or range()'),
    ("foo offset 1m offset 2m", "1:1", "offset may not be set multiple times"),
    ("foo @ x", "1:7", 'unexpected identifier "x" in @, expected timestamp'),
    ("foo @ start", "1:12", "unexpected end of input in @, expected timestamp"),
    ("foo @ 1 @ 2", "1:1", "@ <timestamp> may not be set multiple times"),
    ("foo @ end() @ 2", "1:1", "@ <timestamp> may not be set multiple times"),
    ("foo @ +Inf", "1:1", "timestamp out of bounds for @ modifier: +Inf"),
    ("foo @ -Inf", "1:1", "timestamp out of bounds for @ modifier: -Inf"),
    ("foo @ NaN", "1:1", "timestamp out of bounds for @ modifier: NaN"),
    (
        "1 offset 5m",
        "1:1",
        "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
    ),
    (
        "sum(x) @ 5",
        "1:1",
        "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
    ),
    ("foo offset 1m [5m]", "1:15", "no offset modifiers allowed before range"),
    ("foo @ 1 [5m]", "1:9", "no @ modifiers allowed before range"),
    ("1[5m]", "1:2", "ranges only allowed for vector selectors"),
    ("sum x by (a)", "1:5", 'unexpected identifier "x"'),
    ("sum(a b)", "1:7", 'unexpected identifier "b" in aggregation'),
    ("sum by (a b) (c)", "1:11", 'unexpected identifier "b" in grouping opts, expected "," or ")"'),
    ("sum by a (c)", "1:8", 'unexpected identifier "a" in grouping opts, expected "("'),
    ("sum without(==)(x)", "1:13", "unexpected <op:==> in grouping opts, expected label"),
    ('sum by ("")(x)', "1:9", 'invalid label name for grouping: ""'),
    ("sum()", "1:1", "no arguments for aggregate expression provided"),
    ("topk(a)", "1:1", "wrong number of arguments for aggregate expression provided, expected 2, got 1"),
    ("sum(a, b)", "1:1", "wrong number of arguments for aggregate expression provided, expected 1, got 2"),
    ("a + group_left(x) b", "1:5", "unexpected <group_left>"),
    ("a + on b", "1:8", 'unexpected identifier "b" in grouping opts, expected "("'),
    ("foo()", "1:1", 'unknown function with name "foo"'),
    ("RATE(x[5m])", "1:1", 'unknown function with name "RATE"'),
    ("abs(a,)", "1:6", "trailing commas not allowed in function call args"),
    ("foo anchored smoothed", "1:1", "anchored and smoothed modifiers cannot be used together"),
    ("foo[5m:] anchored", "1:1", "anchored modifier is not supported for subqueries"),
    ('"a', "1:1", "unterminated quoted string"),
    ("'a\nb'", "1:1", "unterminated quoted string"),
    ("`a", "1:1", "unterminated raw string"),
    (r'"\c"', "1:1", "unknown escape sequence U+0063 'c'"),
    ('"\\', "1:1", "escape sequence not terminated"),
    (r'"\xg0"', "1:1", "illegal character U+0067 'g' in escape sequence"),
    (r'"\ud800"', "1:1", "escape sequence is an invalid Unicode code point"),
    ("foo +\n  *", "2:3", "unexpected <op:*>"),
    ('"ä" x', "1:6", 'unexpected identifier "x"'),
]

TYPES = [
    ("1 == 1", "1:3", "comparisons between scalars must use BOOL modifier"),
    ("1 and 1", "1:1", 'set operator "and" not allowed in binary scalar expression'),
    ("a or 1", "1:1", 'set operator "or" not allowed in binary scalar expression'),
    ("a + bool b", "1:3", "bool modifier can only be used on comparison operators"),
    ("1 + on(x) 2", "1:1", "vector matching only allowed between instant vectors"),
    ("1 + fill(0) a", "1:1", "filling in missing series only allowed between instant vectors"),
    ("a and on(x) group_left b", "1:1", 'no grouping allowed for "and" operation'),
    ("a + on(x) group_left(x) b", "1:3", 'label "x" must not occur in ON and GROUP clause at once'),
    ("a and fill(0) b", "1:1", "filling in missing series not allowed for set operators"),
    ('"a" + 1', "1:1", "binary expression must contain only scalar and instant vector types"),
    ("1 + a[5m]", "1:5", "binary expression must contain only scalar and instant vector types"),
    (
        '-"a"',
        "1:1",
        'unary expression only allowed on expressions of type scalar or instant vector, got "string"',
    ),
    ("foo[5m][1h:]", "1:1", "subquery is only allowed on instant vector, got matrix instead"),
    ("rate(a)", "1:6", 'expected type range vector in call to function "rate", got instant vector'),
    ("abs(1)", "1:5", 'expected type instant vector in call to function "abs", got scalar'),
    ("round(a,1,2)", "1:1", 'expected at most 2 argument(s) in call to "round", got 3'),
    ("label_join(a)", "1:1", 'expected at least 3 argument(s) in call to "label_join", got 1'),
    ("abs()", "1:1", 'expected 1 argument(s) in call to "abs", got 0'),
    ("topk(a, b)", "1:6", "expected type scalar in aggregation parameter, got instant vector"),
    ("count_values(1, b)", "1:14", "expected type string in aggregation parameter, got scalar"),
    ("sum(a[5m])", "1:5", "expected type instant vector in aggregation expression, got range vector"),
    ("info(a, b)", "1:9", "expected label selectors only, got vector selector instead"),
    ("info(a, 1)", "1:1", 'expected type instant vector in call to function "info", got scalar'),
    ("info(a, abs(b))", "1:9", "expected label selectors only"),
    ('foo{__name__="bar"}', "1:1", 'metric name must not be set twice: "foo" or "bar"'),
    ('{x=""}', "1:1", "vector selector must contain at least one non-empty matcher"),
    ('{x=~".*"}', "1:1", "vector selector must contain at least one non-empty matcher"),
    ('{x!="y"}', "1:1", "vector selector must contain at least one non-empty matcher"),
    ("{}", "1:1", "vector selector must contain at least one non-empty matcher"),
    ("1 + (2 + (a == 1 == bool 1)) + (1 == 2)", "1:35", "comparisons between scalars must use BOOL modifier"),
]


@pytest.mark.parametrize(("query", "place", "text"), SYNTAX + TYPES)
def test_text_and_place(query: str, place: str, text: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse(query, ALL_FEATURES)
    assert str(caught.value) == f"{place}: parse error: {text}"


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("info(a)", '1:1: parse error: function "info" is not enabled'),
        ("step()", '1:1: parse error: function "step" is not enabled'),
        (
            "limitk(1, a)",
            "1:1: parse error: limitk() is experimental and must be enabled with "
            "--enable-feature=promql-experimental-functions",
        ),
        ("a[5m] anchored", "1:1: parse error: anchored modifier is experimental and not enabled"),
        ("a smoothed", "1:1: parse error: smoothed modifier is experimental and not enabled"),
        ("a + fill(0) b", "1:1: parse error: binop fill modifiers are experimental and not enabled"),
    ],
)
def test_experiments_are_off_by_default(query: str, text: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse(query, DEFAULT_FEATURES)
    prometheus, _, how = str(caught.value).partition("; to enable it: ")
    assert prometheus == text
    assert how.startswith("headrace instances set-feature APPID ")
    parse(query, replace(DEFAULT_FEATURES, **{how.split()[-1].removesuffix("=on"): True}))


def test_one_feature_does_not_enable_another() -> None:
    with pytest.raises(ParseError, match="anchored modifier is experimental"):
        parse("a[5m] anchored", Features(experimental_functions=True))


def test_a_bad_regex_is_reported_at_its_matcher() -> None:
    with pytest.raises(ParseError) as caught:
        parse('foo{a="b", c=~"("}')
    assert str(caught.value).startswith("1:12: parse error: ")


@pytest.mark.parametrize("opening", ["(", "-", "abs(", "sum(", "2^", "vector(-("])
def test_deep_nesting_is_refused_and_not_a_crash(opening: str) -> None:
    with pytest.raises(ParseError, match=f"nested more than {MAX_DEPTH} levels deep"):
        parse(opening * 5000)
    with pytest.raises(ParseError, match=f"nested more than {MAX_DEPTH} levels deep"):
        parse("a[" + "(" * 5000)


def test_a_long_chain_of_subqueries_is_refused_and_not_a_crash() -> None:
    with pytest.raises(ParseError, match=f"nested more than {MAX_DEPTH} levels deep"):
        parse("a" + "[5m:1m]" * 5000)


def test_a_long_chain_is_not_deep() -> None:
    parse(" or ".join(["a"] * 5000))


@pytest.mark.parametrize("number", ["1" * 5000, "0" + "7" * 5000, "0x" + "f" * 5000, "1" * 5000 + "m", "1e99999"])
def test_numbers_of_any_length_are_refused(number: str) -> None:
    with pytest.raises(ParseError):
        parse(number)


def test_a_query_beyond_the_limit_is_refused() -> None:
    with pytest.raises(ParseError, match=f"longer than {MAX_QUERY_LENGTH} characters"):
        parse("a" * (MAX_QUERY_LENGTH + 1))


def test_parse_errors_are_bad_data() -> None:
    assert issubclass(ParseError, BadDataError)
