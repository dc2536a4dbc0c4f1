"""Draws queries over the families of `data`, of all types, so that two engines can be compared."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from tests.support.queries.data import FAMILIES, INTERVAL_MS, SAMPLES, Family
from tests.support.queries.effects import (
    AGGREGATIONS,
    ELEMENT_WISE,
    EXACT,
    OVER_TIME,
    SIGNED,
    SMALL,
    arithmetic,
    blended,
    either,
    inexact,
    left,
    maybe_missing,
    negated,
    same,
    seconds,
    small,
    summed,
    unbounded,
    within_subquery,
)
from tests.support.queries.node import NOTHING, Kind, Need, Node, Rule, Traits

T = TypeVar("T")

_LABELS = ("job", "instance", "zone", "le", "version", "nowhere")
_OF_LIBRARIES = (
    "exp", "ln", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh",
    "acosh", "atanh",
)  # fmt: skip
_DATES = ("year", "month", "day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute")
_COMPARISONS = ("==", "!=", ">", "<", ">=", "<=")
_BUCKETS = next(family for family in FAMILIES if family.is_histogram)
_ATTEMPTS = 8
_NO_MINUS = Need(exact=True, positive=True)


@dataclass(frozen=True)
class Dialect:
    """`is_modern`: with what Prometheus 3 has and 2.42 has not, experimental parts included."""

    is_modern: bool = False


class Grammar:
    """Draws from `rng`. Times after `@` lie where the data from `start_ms` on is, half a second behind a whole one."""

    def __init__(self, rng: random.Random, start_ms: int, dialect: Dialect | None = None) -> None:
        self._rng = rng
        self._start_ms = start_ms
        self._vectors = self._productions(dialect or Dialect())

    def query(self, depth: int = 4, *, is_range: bool = False) -> Node:
        """Of any type that may be asked for; mostly an instant vector."""
        kind = self._one([*["vector"] * 18, "scalar", *([] if is_range else ["matrix"])])
        if kind == "scalar":
            return self._scalar(depth)
        return self._matrix(depth) if kind == "matrix" else self._vector(depth)

    @staticmethod
    def leaves() -> list[Node]:
        """The smallest parts, to shrink with."""
        vectors = [_leaf("vector", family.name, family.traits) for family in FAMILIES]
        return [*vectors, *(_leaf("matrix", f"{family.name}[5m]", family.traits) for family in FAMILIES), _literal("1")]

    def _productions(self, dialect: Dialect) -> list[Callable[[int], Node]]:
        weighted: list[tuple[int, Callable[[int], Node]]] = [
            (2, lambda _: self._selector(NOTHING)),
            (6, self._over_range),
            (4, self._aggregation),
            (1, self._top),
            (1, self._quantile),
            (1, self._count_values),
            (3, self._element_wise),
            (3, self._with_scalar),
            (4, self._with_vector),
            (2, self._set_operator),
            (1, self._absent),
            (2, self._labels),
            (1, self._sorted),
            (2, self._histogram_quantile),
            (1, self._of_scalar),
            (1, self._dates),
            (1, self._signed),
        ]
        if dialect.is_modern:
            weighted += [(3, self._modern), (1, self._filled)]
        return [production for weight, production in weighted for _ in range(weight)]

    def _vector(self, depth: int, need: Need = NOTHING) -> Node:
        """An instant vector that is what its user needs; a selector where nothing deeper is."""
        for _ in range(_ATTEMPTS if depth > 0 else 0):
            node = self._one(self._vectors)(depth - 1)
            if need.met_by(node.traits):
                return node
        return self._selector(need)

    # ---- selectors --------------------------------------------------------------------------------------------------

    def _selector(self, need: Need) -> Node:
        if self._chance(0.08):
            text, traits = self._several(need)
            return _leaf("vector", text + self._suffix(), traits)
        family = self._family(need)
        return _leaf("vector", self._metric(family) + self._suffix(), family.traits)

    def _several(self, need: Need) -> tuple[str, Traits]:
        """A selector of two names, so that dropping the name may leave equal series; one if no two will do."""
        one = self._family(need)
        other = self._one([family for family in FAMILIES if need.met_by(_together(one, family))] or [one])
        label = self._one(["", f",{self._matcher(self._one(['job', 'instance', 'zone']))}"])
        return f'{{__name__=~"{one.name}|{other.name}"{label}}}', _together(one, other)

    def _family(self, need: Need) -> Family:
        return self._one([family for family in FAMILIES if need.met_by(family.traits)])

    def _metric(self, family: Family) -> str:
        matchers = []
        if self._chance(0.4):
            names = ("job", "instance", *family.labels, "nowhere")
            matchers = [self._matcher(self._one(names)) for _ in range(self._one([1, 1, 2]))]
        if self._chance(0.1):
            return "{" + ",".join([f'__name__="{family.name}"', *matchers]) + "}"
        return family.name + ("{" + ",".join(matchers) + "}" if matchers else "")

    def _matcher(self, label: str) -> str:
        values = {
            "job": ["api", "db"],
            "instance": ["a:1", "b:1", 'ü\\"\\\\:1'],
            "le": ["0.1", "1", "+Inf"],
            "version": ["x", "y"],
        }.get(label, ["x", "y", "z1", ""])
        patterns = ["a.*", ".+", ".*", "x|y", "[a-d]+(:1)?", "(?i:API)", "", "^a:1$", ".{2}", "api|a:1|0\\\\.1", "[^x]"]
        if self._chance(0.5):
            return f'{label}{self._one(["=", "=", "!="])}"{self._one(values)}"'
        return f'{label}{self._one(["=~", "=~", "!~"])}"{self._one(patterns)}"'

    def _suffix(self) -> str:
        """`offset` and `@`, mostly neither."""
        offset = self._one([*[""] * 5, f" offset {self._duration()}", f" offset -{self._duration()}"])
        at = self._one([*[""] * 6, f" @ {self._moment()}", " @ start()", " @ end()"])
        return at + offset if self._chance(0.5) else offset + at

    def _moment(self) -> str:
        whole = self._start_ms // 1000 + self._rng.randrange(SAMPLES * INTERVAL_MS // 1000)
        return f"{whole}.5"

    def _duration(self) -> str:
        """Of whole seconds, so that window edges stay off the samples' times."""
        return self._one(["15s", "37s", "1m", "90s", "2m", "5m", "5m", "10m", "17m", "1h"])

    # ---- ranges -----------------------------------------------------------------------------------------------------

    def _matrix(self, depth: int, need: Need = NOTHING) -> Node:
        if depth > 0 and self._chance(0.35):
            subquery = self._subquery(self._vector(min(depth, 2), need))
            if need.met_by(subquery.traits):
                return subquery
        if self._chance(0.08):
            text, traits = self._several(need)
            return _leaf("matrix", f"{text}[{self._duration()}]{self._suffix()}", traits)
        return self._ranged(self._family(need))

    def _ranged(self, family: Family) -> Node:
        return _leaf("matrix", f"{self._metric(family)}[{self._duration()}]{self._suffix()}", family.traits)

    def _subquery(self, inner: Node) -> Node:
        """Its left edge lies a quarter of a second off the steps inside."""
        span, steps = self._one(
            [("1m", ["7s", "15s", "30s"]), ("5m", ["30s", "1m", "", "73s"]), ("20m", ["1m", "", "5m", "10m"])]
        )
        suffix = self._suffix()
        if "@" in inner.text:
            # Where its first step is the step outside, Prometheus forgets that the offset does not move what @ fixes.
            suffix = suffix.replace("offset -", "offset ")
        form = f"({{}})[{span}250ms:{self._one(steps)}]{suffix}"
        return Node("matrix", form, within_subquery, (inner,))

    def _over_range(self, depth: int) -> Node:
        name = self._one(list(OVER_TIME))
        need, rule = OVER_TIME[name]
        form = f"{name}({{}})"
        if name == "quantile_over_time":
            form = f"{name}({self._fraction()}, {{}})"
        elif name == "predict_linear":
            form = f"{name}({{}}, {self._one([0, 60, -300, 3600.5])})"
        return Node("vector", form, rule, (self._matrix(depth, need),), (need,))

    # ---- aggregations -----------------------------------------------------------------------------------------------

    def _aggregated(
        self, op: str, inner: Node, need: Need, rule: Rule, parameter: str = "", most_labels: int = 3
    ) -> Node:
        grouping = ""
        if self._chance(0.8):
            names = self._rng.sample([*_LABELS, "__name__"], min(self._one([0, 1, 1, 2, 3]), most_labels))
            grouping = f" {self._one(['by', 'without'])} ({', '.join(names)})"
        form = f"{op}{grouping} ({parameter}{{}})" if self._chance(0.5) else f"{op}({parameter}{{}}){grouping}"
        return Node("vector", form, rule, (inner,), (need,))

    def _aggregation(self, depth: int) -> Node:
        op = self._one(list(AGGREGATIONS))
        need, rule = AGGREGATIONS[op]
        return self._aggregated(op, self._vector(depth, need), need, rule)

    def _top(self, depth: int) -> Node:
        """Which of two equal values is among the first is for the engine to say, so there are none."""
        need = Need(exact=True, distinct=True)
        parameter = f"{self._one([0, 1, 2, 3, 3.7, 100])}, "
        return self._aggregated(self._one(["topk", "bottomk"]), self._vector(depth, need), need, same, parameter)

    def _quantile(self, depth: int) -> Node:
        return self._aggregated("quantile", self._vector(depth), NOTHING, blended, f"{self._fraction()}, ")

    def _fraction(self) -> str:
        return self._one(["0", "0.25", "0.5", "0.913", "1", "1.5", "-1", "NaN"])

    def _count_values(self, depth: int) -> Node:
        """By two labels at most: by three, 2.42 loses one of them from the second step on."""
        label = self._one(["value", "job", "zone"])
        inner = self._vector(depth, SIGNED)
        return self._aggregated("count_values", inner, SIGNED, small, f'"{label}", ', most_labels=2)

    # ---- functions --------------------------------------------------------------------------------------------------

    def _element_wise(self, depth: int) -> Node:
        choice = self._rng.random()
        if choice < 0.45:
            name = self._one(list(ELEMENT_WISE))
            return Node("vector", f"{name}({{}})", ELEMENT_WISE[name], (self._vector(depth, EXACT),), (EXACT,))
        if choice < 0.65:
            inner = self._vector(depth, EXACT)
            return Node("vector", f"{self._one(_OF_LIBRARIES)}({{}})", inexact, (inner,), (EXACT,))
        if choice < 0.8:
            to = self._one(["", ", 0.5", ", 10", ", 0.1", ", -2", ", 0", ", 1e-300"])
            return Node("vector", f"round({{}}{to})", unbounded, (self._vector(depth, EXACT),), (EXACT,))
        low, high = self._one([("-1", "10"), ("0", "1e6"), ("5", "1"), ("NaN", "1"), ("-Inf", "+Inf")])
        form = self._one([f"clamp({{}}, {low}, {high})", f"clamp_min({{}}, {low})", f"clamp_max({{}}, {high})"])
        return Node("vector", form, unbounded, (self._vector(depth, EXACT),), (EXACT,))

    def _dates(self, depth: int) -> Node:
        if self._chance(0.4):
            return Node("vector", "timestamp({})", seconds, (self._vector(depth),))
        name = self._one(_DATES)
        if self._chance(0.3):
            return Node("vector", f"{name}()", small)
        need = Need(exact=True, finite=True, scaled=True)
        return Node("vector", f"{name}({{}} * 4096)", small, (self._selector(need),), (need,))

    def _absent(self, depth: int) -> Node:
        if self._chance(0.5):
            return Node("vector", "absent({})", small, (self._vector(depth),))
        return Node("vector", "absent_over_time({})", small, (self._matrix(depth),))

    def _labels(self, depth: int) -> Node:
        target = self._one(["zone", "new", "job", "instance", "__name__"])
        if self._chance(0.6):
            source = self._one(["job", "instance", "nowhere", "__name__", "zone"])
            pattern = self._one(["(.*)", "(.).*", "a(.*)", "(?P<x>[a-z]+).*", "", "no", "(a|d)[^:]*(:.)?"])
            replacement = self._one(["$1", "${1}-x", "x", "", "$x", "$$", "$2$1", "a_$9"])
            if target == "__name__":
                replacement = "renamed"
            form = f'label_replace({{}}, "{target}", "{replacement}", "{source}", "{pattern}")'
        else:
            sources = "".join(f', "{name}"' for name in self._rng.sample(_LABELS, self._one([0, 1, 2, 3])))
            target = "new" if target == "__name__" else target
            form = f'label_join({{}}, "{target}", "{self._one(["", "-", "ü"])}"{sources})'
        return Node("vector", form, same, (self._vector(depth),))

    def _sorted(self, depth: int) -> Node:
        return Node("vector", f"{self._one(['sort', 'sort_desc'])}({{}})", same, (self._vector(depth),))

    def _histogram_quantile(self, depth: int) -> Node:
        """Over counts that are exact, or over rates with quantiles that meet no bucket's count.

        Counts that differ in their last bits only are made equal since 3.0, which may change what is found first.
        """
        choice = self._rng.random()
        quantile = self._fraction()
        if choice < 0.5:
            counts = _leaf("vector", self._metric(_BUCKETS) + self._suffix(), _BUCKETS.traits)
            if choice < 0.25:
                grouping = self._one(["by (le)", "by (job, le)", "without (instance)"])
                counts = Node("vector", f"sum {grouping} ({{}})", summed, (counts,))
        elif choice < 0.9:
            quantile = self._one(["0.37", "0.913"])
            name = self._one(["rate", "increase", "irate"])
            need, rule = OVER_TIME[name]
            counts = Node("vector", f"{name}({{}})", rule, (self._ranged(_BUCKETS),), (need,))
        else:
            counts = self._vector(depth, EXACT)
        return Node("vector", f"histogram_quantile({quantile}, {{}})", blended, (counts,), (EXACT,))

    def _of_scalar(self, depth: int) -> Node:
        return Node("vector", "vector({})", same, (self._scalar(depth),))

    def _signed(self, depth: int) -> Node:
        return Node("vector", self._one(["({})", "-({})", "+({})", "-(({}))"]), negated, (self._vector(depth),))

    # ---- operators --------------------------------------------------------------------------------------------------

    def _scalar(self, depth: int, need: Need = NOTHING) -> Node:
        choice = self._rng.random()
        if depth <= 0 or choice < 0.5 or need.positive:
            literals = ["0", "1", "2", "-1", "0.5", "3.7", "100", "-0.25", "NaN", "Inf", "-Inf", "1e300"]
            return _literal(self._one([text for text in literals if need.met_by(_literal(text).traits)]))
        if choice < 0.65:
            return _leaf("scalar", *self._one([("time()", seconds()), ("pi()", seconds())]))
        if choice < 0.85:
            # NaN where there is not one element only.
            return Node("scalar", "scalar({})", maybe_missing, (self._vector(depth - 1, need),), (need,))
        op = self._one(["+", "-", "*", "/", "%", *(f"{op} bool" for op in _COMPARISONS)])
        needs = (EXACT, SIGNED if op == "/" else EXACT)
        sides = self._scalar(depth - 1, needs[0]), self._scalar(depth - 1, needs[1])
        return Node("scalar", f"({{}} {op} {{}})", arithmetic(op), sides, needs)

    def _with_scalar(self, depth: int) -> Node:
        op, needs, rule = self._operator()
        # Before 2.47 `atan2` keeps the name, so that its operands have none.
        vector = "max by (job, instance) ({})" if op == "atan2" else "({})"
        if self._chance(0.6):
            pair = (self._vector(depth, needs[0]), self._scalar(depth, needs[1]))
            return Node("vector", f"({vector} {op} ({{}}))", rule, pair, needs)
        pair = (self._scalar(depth, needs[0]), self._vector(depth, needs[1]))
        return Node("vector", f"(({{}}) {op} {vector})", rule, pair, needs)

    def _operator(self) -> tuple[str, tuple[Need, Need], Rule]:
        if self._chance(0.45):
            op = self._one(_COMPARISONS)
            return (f"{op} bool", (EXACT, EXACT), small) if self._chance(0.4) else (op, (EXACT, EXACT), either)
        op = self._one(["+", "-", "*", "/", "%", "^", "atan2"])
        needs = {"/": (EXACT, SIGNED), "^": (SIGNED, EXACT), "atan2": (_NO_MINUS, _NO_MINUS)}
        return op, needs.get(op, (EXACT, EXACT)), arithmetic(op)

    def _matching(self) -> str:
        choice = self._rng.random()
        if choice < 0.4:
            return ""
        names = self._rng.sample(_LABELS, self._one([0, 1, 2, 2]))
        matching = f" {self._one(['on', 'ignoring'])} ({', '.join(names)})"
        if choice < 0.75:
            return matching
        extra = [name for name in self._rng.sample(_LABELS, self._one([0, 1, 2])) if name not in names]
        return f"{matching} {self._one(['group_left', 'group_right'])} ({', '.join(extra)})"

    def _with_vector(self, depth: int) -> Node:
        op, needs, rule = self._operator()
        form = f"(({{}}) {op}{self._matching()} ({{}}))"
        if op == "atan2" or self._chance(0.5):  # aggregated alike, so that the sides do match
            by = self._one(["job", "instance", "job, instance"])
            one = f"max by ({by}) ({{}})"
            many = "({})" if op != "atan2" else "max by (job, instance) ({})"
            form = f"({one} {op} {one})" if self._chance(0.5) else f"({many} {op} on ({by}) group_left () {one})"
            needs = (_NO_MINUS, _NO_MINUS) if op in ("/", "^") else needs
        sides = (self._vector(depth, needs[0]), self._vector(depth, needs[1]))
        return Node("vector", form, rule, sides, needs)

    def _set_operator(self, depth: int) -> Node:
        op = self._one(["and", "or", "or", "unless"])
        matching = ""
        if self._chance(0.5):
            names = self._rng.sample(_LABELS, self._one([0, 1, 2]))
            matching = f" {self._one(['on', 'ignoring'])} ({', '.join(names)})"
        sides = (self._vector(depth), self._vector(depth))
        return Node("vector", f"(({{}}) {op}{matching} ({{}}))", either if op == "or" else left, sides)

    # ---- what 2.42 has not ------------------------------------------------------------------------------------------

    def _modern(self, depth: int) -> Node:
        choice = self._rng.random()
        if choice < 0.4:
            name = self._one(
                ["ts_of_first_over_time", "ts_of_last_over_time", "ts_of_max_over_time", "ts_of_min_over_time",
                 "mad_over_time", "first_over_time"]
            )  # fmt: skip
            return Node("vector", f"{name}({{}})", inexact, (self._matrix(depth),))
        metric = self._metric(self._family(NOTHING))
        if choice < 0.6:
            name, kind = self._one([("rate", "anchored"), ("increase", "smoothed"), ("changes", "anchored")])
            return _leaf("vector", f"{name}({metric}[{self._duration()}]{self._suffix()} {kind})", inexact())
        if choice < 0.65:  # of a selector: elsewhere the order of rows is for the engine to say
            return _leaf("vector", f"limitk(2, {metric})", inexact())
        if choice < 0.75:
            span = self._one(["(1m + 30s)", "(5m * 2)", "max_of(step(), 1m)", "300"])
            return _leaf("vector", f"count_over_time({metric}[{span}])", SMALL)
        form = self._one(
            ["limit_ratio(0.5, {})", 'sort_by_label({}, "job")', "info({})",
             "double_exponential_smoothing(({})[5m:1m], 0.3, 0.6)"]
        )  # fmt: skip
        return Node("vector", form, inexact, (self._vector(depth),))

    def _filled(self, depth: int) -> Node:
        fill = self._one(["fill(0)", "fill_left(1)", "fill_right(-1.5)", "fill_left(1) fill_right(2)"])
        op, needs, rule = self._operator()
        matching = self._one(["", " on (job)", " ignoring (zone)"])
        sides = (self._vector(depth, needs[0]), self._vector(depth, needs[1]))
        return Node("vector", f"(({{}}) {op}{matching} {fill} ({{}}))", rule, sides, needs)

    # ---- dice -------------------------------------------------------------------------------------------------------

    def _one(self, among: Sequence[T]) -> T:
        return self._rng.choice(among)

    def _chance(self, probability: float) -> bool:
        return self._rng.random() < probability


def _together(one: Family, other: Family) -> Traits:
    """Counters stay counters: each series is one."""
    counter = one.traits.counter if one.traits.counter == other.traits.counter else "no"
    return one.traits if one is other else replace(either(one.traits, other.traits), counter=counter)


def _leaf(kind: Kind, text: str, traits: Traits) -> Node:
    return Node(kind, text, lambda: traits)


def _literal(text: str) -> Node:
    value = float(text)
    finite = math.isfinite(value)
    grid = not finite or ((value * 64).is_integer() and abs(value) < 2**24)
    traits = Traits(grid=grid, scale=abs(value) if finite else 1.0, finite=finite, positive=value >= 0)
    return _leaf("scalar", text, traits)
