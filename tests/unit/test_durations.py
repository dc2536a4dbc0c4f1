import pytest
from hypothesis import given
from hypothesis import strategies as st

from querier.promql import ALL_FEATURES, parse
from querier.promql.ast import DurationExpr, MatrixSelector
from querier.promql.duration_parser import duration_ms
from shared.durations import MAX_DURATION_MS, format_duration, parse_duration_ms


@pytest.mark.parametrize(
    ("text", "ms"),
    [("1ms", 1), ("1m", 60_000), ("1h30m", 5_400_000), ("1y2w3d4h5m6s7ms", 33_019_506_007), ("90d", 7_776_000_000)],
)
def test_parse(text: str, ms: int) -> None:
    assert parse_duration_ms(text) == ms


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "0s"), (60_000, "1m"), (86_400_000 * 90, "90d"), (604_800_000 * 2, "2w"), (-1500, "-1s500ms")],
)
def test_format(ms: int, text: str) -> None:
    assert format_duration(ms) == text


@given(st.integers(min_value=1, max_value=MAX_DURATION_MS))
def test_what_is_formatted_parses_to_the_same(ms: int) -> None:
    assert parse_duration_ms(format_duration(ms)) == ms


def value_of(text: str) -> int:
    expr = parse(f"x[{text}]", ALL_FEATURES)
    assert isinstance(expr, MatrixSelector)
    assert isinstance(expr.range_expr, DurationExpr)
    return duration_ms(expr.range_expr, step_ms=15_000, range_ms=3_600_000, may_be_negative=False)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1h/2", 1_800_000),
        ("2m*(10+5)", 1_800_000),
        ("-5m+35m", 1_800_000),
        ("30m1s-30m1s % 1m", 1_800_000),
        ("step()", 15_000),
        ("range() / step()", 240_000),
        ("2^3^2 * 1s", 512_000),
        ("-2^2 + 10", 6_000),
        ("max_of(step(), min_of(1m, range()))", 60_000),
        ("1.0005 + 0", 1_000),
    ],
)
def test_expressions(text: str, ms: int) -> None:
    assert value_of(text) == ms


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1m - 1h", "duration must be greater than 0"),
        ("0 ^ -1 + 1", "duration is NaN or infinite"),
        ("(-1) ^ 0.5 + 1", "duration is NaN or infinite"),
        ("1m / (1 - 1)", "division by zero"),
        ("1m % (step() - step())", "modulo by zero"),
        ("1e9 * 1e9", "duration is out of range"),
    ],
)
def test_expressions_that_are_no_duration(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        value_of(text)
