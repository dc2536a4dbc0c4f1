"""Any text is a query or a documented error, in every use of a query."""

from hypothesis import given, settings
from hypothesis import strategies as st

from querier.api.tree import tree
from querier.promql import evaluate, prepare
from querier.promql.format import pretty
from querier.promql.parser import parse
from shared import native
from shared.errors import BadDataError, ExecutionError

REFUSED = (BadDataError, ExecutionError, native.BadDataError)
FAILED = (native.ExecutionError, native.BadDataError)
GRID = (600_000, 60_000, 3)

WORDS = """
a b {} {x="y"} {x=~"y.*"} [5m] [10m:1m] offset @ 5 -1 1 1e308 NaN Inf 0x1f 5m ( ) , + - * / % ^ == bool > and or unless
on ignoring (x) group_left() sum by without count_values topk quantile rate max_over_time label_replace label_join #
histogram_quantile "x" "$1" "(.*)" absent time() vector scalar sort clamp round step() start() end() fill(0)
"""
PIECES = st.sampled_from(WORDS.split())
NESTED = st.recursive(
    st.sampled_from(["a", 'b{x="1"}', "1", "NaN", "Inf", "-1e308", "time()", "vector(2)", "a @ 5", "b offset -5m"]),
    lambda inner: st.builds(
        lambda form, left, right: form.replace("L", left).replace("R", right),
        st.sampled_from(
            [
                "(L) + (R)", "(L) / on(x) (R)", "(L) or (R)", "(L) unless (R)", "(L) > bool (R)", "-(L)",
                "sum by (x) (L)",
                "topk(R, L)", "quantile(R, L)", 'count_values("x", L)', "max_over_time((L)[5m:1m])",
                "rate((L)[5m:30s])",
                'label_replace(L, "x", "$1$1", "x", "(.*)")', 'label_join(L, "y", "-", "x", "x")', "absent(L)",
                "histogram_quantile(R, L)", "scalar(L)", "vector(R)", "clamp(L, R, R)", "round(L, R)", "sort(L)",
                "predict_linear((L)[5m:1m], R)", "day_of_month(L)",
            ]
        ),
        inner,
        inner,
    ),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=40), st.lists(PIECES, max_size=12).map(" ".join), NESTED), st.booleans())
def test_any_text_is_answered_or_refused(text: str, is_range: bool) -> None:
    try:
        expr = parse(text)
    except REFUSED:
        return
    tree(expr)
    assert parse(pretty(expr)) is not None
    try:
        plan = prepare(text, GRID if is_range else (600_000, 1, 1), is_range=is_range)
    except REFUSED:
        return
    query = native.Query()
    times = [480_000, 540_000, 660_000]
    series = [({"__name__": name, "x": x}, times, [1.0, float(i), -2e307]) for i, x in enumerate("12") for name in "ab"]
    sets = [native.series_from_samples(query, series) for _ in plan.selects]
    try:
        evaluate(plan, sets, query)
    except FAILED:
        return
