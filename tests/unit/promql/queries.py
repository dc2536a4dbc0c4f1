"""Random queries that parse and type-check, for laws that hold for every query."""

from hypothesis import strategies as st

from querier.promql.functions import FUNCTIONS

_names = st.sampled_from(["x", "sum", "a:b", "offset", "start", "fill", "le"])
_labels = st.sampled_from(["a", "b", "on", "__name__", "le"])
_values = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\ufffd"), max_size=5)
_durations = st.sampled_from(["5m", "1h30m", "1500ms", "300", "1y", "step()", "(1h / 2)", "max_of(step(), 5m)"])
_suffixes = st.sampled_from(["", " offset 5m", " offset -1h", " @ 1.500", " @ end()", " @ start() offset 1m"])
# No Inf: it is printed as +Inf, whose sign is an operator of its own when it is read in front of `^`.
_scalars = st.sampled_from(["1", "-2", "0.5", "5m", "time()", "pi()", "scalar(x)", "010", "0x1f", "1e-9"])
_of_vectors = sorted(name for name, f in FUNCTIONS.items() if f.arg_types == ("vector",) and f.return_type == "vector")
_of_ranges = sorted(name for name, f in FUNCTIONS.items() if f.arg_types == ("matrix",))
_aggregations = ["sum", "avg", "count", "min", "max", "group", "stddev", "stdvar"]
_with_number = ["topk", "bottomk", "quantile", "limitk", "limit_ratio"]


@st.composite
def _selectors(draw: st.DrawFn) -> str:
    name = draw(_names)
    matchers = draw(st.lists(st.tuples(_labels.filter(lambda label: label != "__name__"), _values), max_size=2))
    inside = ", ".join(f"{label} = {_quoted(value)}" for label, value in matchers)
    return f"{name}{{{inside}}}"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _deeper(vectors: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    labels = st.lists(_labels, max_size=2, unique=True).map(", ".join)
    matching = st.one_of(
        labels.map(lambda names: f"on ({names})"),
        labels.map(lambda names: f"ignoring({names}) group_left ()"),
        st.just("fill(0)"),
    )
    arithmetic = st.sampled_from(["+", "-", "*", "/", "%", "^", "atan2", "==", ">"])
    return st.one_of(
        st.tuples(vectors, arithmetic, vectors).map(" ".join),
        # Without parentheses a scalar of the operand next to it could be what is matched.
        st.tuples(vectors, arithmetic, matching, vectors).map(
            lambda parts: f"({parts[0]}) {parts[1]} {parts[2]} ({parts[3]})"
        ),
        st.tuples(vectors, st.sampled_from(["and", "or", "unless"]), vectors).map(" ".join),
        st.tuples(_scalars, st.sampled_from(["+", ">", "^"]), vectors).map(
            lambda parts: f"{parts[0]} {parts[1]} ({parts[2]})"
        ),
        st.tuples(vectors, st.sampled_from(["== bool", "*", "</"]), _scalars).map(" ".join),
        vectors.map(lambda inner: f"({inner})"),
        vectors.map(lambda inner: f"-{inner}"),
        st.tuples(st.sampled_from(_of_vectors), vectors).map(lambda parts: f"{parts[0]}({parts[1]})"),
        st.tuples(st.sampled_from(_aggregations), labels, vectors).map(
            lambda parts: f"{parts[0]} by ({parts[1]}) ({parts[2]})"
        ),
        st.tuples(st.sampled_from(_with_number), _scalars, labels, vectors).map(
            lambda parts: f"{parts[0]}({parts[1]}, {parts[3]}) without ({parts[2]})"
        ),
        st.tuples(st.sampled_from(_of_ranges), vectors, _durations, _durations, _suffixes).map(
            lambda parts: f"{parts[0]}(({parts[1]})[{parts[2]}:{parts[3]}]{parts[4]})"
        ),
        vectors.map(lambda inner: f'label_replace({inner}, "b", "$1", "a", "(.).*")'),
        st.tuples(_scalars, vectors).map(lambda parts: f"histogram_quantile({parts[0]}, {parts[1]})"),
    )


_plain = st.one_of(
    st.tuples(_selectors(), _suffixes).map("".join),
    st.tuples(st.sampled_from(_of_ranges), _selectors(), _durations, _suffixes).map(
        lambda parts: f"{parts[0]}({parts[1]}[{parts[2]}]{parts[3]})"
    ),
    _scalars.map(lambda scalar: f"vector({scalar})"),
)
queries = st.recursive(_plain, _deeper, max_leaves=8)
"""Instant vectors."""


def sort_matchers(node: object) -> None:
    """Their order is not part of a query's meaning, and the canonical text sorts them."""
    for name in getattr(node, "__slots__", ()):
        child = getattr(node, name)
        if name == "matchers":
            child.sort(key=lambda matcher: (matcher.name, matcher.op, matcher.value))
        for part in child if isinstance(child, list) else [child]:
            if type(part).__module__ == type(node).__module__:
                sort_matchers(part)
