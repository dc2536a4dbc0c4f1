"""Tokens to a syntax tree: precedence climbing for operators, plain descent for the rest.

Mistakes are reported with the texts and positions of Prometheus, whose yacc grammar names the innermost construct that
has an error rule: inside an aggregation's parentheses every misplaced token is "in aggregation".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NoReturn, cast

from querier.promql.ast import (
    Aggregate,
    Binary,
    Call,
    DurationExpr,
    Edge,
    Expr,
    LabelMatcher,
    Matching,
    MatchOp,
    MatrixSelector,
    NumberLiteral,
    Paren,
    StringLiteral,
    Subquery,
    Unary,
    VectorSelector,
    When,
)
from querier.promql.cursor import MAX_DEPTH
from querier.promql.duration_parser import DurationParser, literal_ms
from querier.promql.errors import ParseError
from querier.promql.features import DEFAULT_FEATURES, Features
from querier.promql.functions import FUNCTIONS
from querier.promql.strings import unquote
from querier.promql.tokens import (
    AGGREGATORS,
    AGGREGATORS_WITH_PARAMETER,
    CALLABLE_KEYWORDS,
    DURATION,
    END,
    EXPERIMENTAL_AGGREGATORS,
    IDENTIFIER,
    NAMES_A_LABEL,
    NAMES_A_METRIC,
    NUMBER,
    PRECEDENCE,
    STRING,
    quoted,
)
from querier.promql.types import check
from shared import native
from shared.durations import FAR_MS
from shared.model.features import how_to_enable

if TYPE_CHECKING:
    from querier.promql.ast import Duration

MAX_QUERY_LENGTH = 1 << 18
"""Characters. Long alternations of a dashboard's variables stay well below; parsing one this long takes some 0.1 s."""

MAX_REGEX_BYTES = 64 << 20
"""Compiled, as bounded by `Matcher.regex_bytes`: some 4,000 small ones or 16 of the largest, made in 0.2 s."""
TOO_MANY_REGEXES = f"regular expressions take more than {MAX_REGEX_BYTES} bytes together: use fewer or shorter ones"

_MATCH_OPS = frozenset({"=", "!=", "=~", "!~"})
_SUFFIXES = frozenset({"[", "offset", "@", "anchored", "smoothed"})
_UNARY_BINDS = PRECEDENCE["^"]
_MODIFIER_BEFORE_SELECTOR = (
    "modifier must be preceded by an instant vector selector or range vector selector or a subquery"
)


def parse(query: str, features: Features = DEFAULT_FEATURES) -> Expr:
    """The checked tree of `query`. Raises ParseError."""
    return parse_measured(query, features)[0]


def parse_measured(query: str, features: Features) -> tuple[Expr, int]:
    """The same, and the bytes that its compiled regular expressions take at most."""
    if len(query) > MAX_QUERY_LENGTH:
        raise ParseError(query, 0, f"query is longer than {MAX_QUERY_LENGTH} characters: {len(query)}")
    parser = _Parser(query, features)
    expr = parser.whole()
    check(expr, query)
    return expr, parser.regex_bytes


def parse_selector(query: str) -> list[LabelMatcher]:
    """The matchers of a plain vector selector, for `match[]`. Raises ParseError.

    Whether any matcher refuses the empty string is left to the caller.
    """
    if len(query) > MAX_QUERY_LENGTH:
        raise ParseError(query, 0, f"query is longer than {MAX_QUERY_LENGTH} characters: {len(query)}")
    return _Parser(query, DEFAULT_FEATURES).only_selector()


class _Parser(DurationParser):
    __slots__ = ("aggregations", "features", "regex_bytes")

    def __init__(self, query: str, features: Features) -> None:
        super().__init__(query)
        self.features = features
        self.aggregations = 0
        self.regex_bytes = 0

    def whole(self) -> Expr:
        if self.kinds[0] == END:
            self.fail(0, "no expression found in input")
        expr = self._expr(1)
        if self.kinds[self.index] != END:
            self.unexpected()
        return expr

    def only_selector(self) -> list[LabelMatcher]:
        kind = self.kinds[0]
        if kind != "{" and kind not in NAMES_A_METRIC:
            self.unexpected()
        selector = self._selector()
        if self.kinds[self.index] != END:
            self.unexpected()
        return selector.matchers

    def _misplaced(self) -> None:
        self.unexpected(" in aggregation" if self.aggregations else "")

    # ---- operators -------------------------------------------------------------------------------------------------

    def _expr(self, weakest: int) -> Expr:
        """An expression of operators that bind at least as strongly as `weakest`."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.depth -= 1
            self.descend()
        left = self._operand()
        while (precedence := PRECEDENCE.get(self.kinds[self.index], 0)) >= weakest:
            op = self.kinds[self.index]
            self.index += 1
            return_bool, matching = self._modifiers()
            right = self._expr(precedence if op == "^" else precedence + 1)
            if not self.features.binop_fill_modifiers and not (matching.fill_left is matching.fill_right is None):
                self._disabled(
                    left.start, "binop fill modifiers are experimental and not enabled", "binop_fill_modifiers"
                )
            left = Binary(op, left, right, return_bool, matching, left.start, right.end)
        self.depth -= 1
        return left

    def _modifiers(self) -> tuple[bool, Matching]:
        kinds = self.kinds
        return_bool = kinds[self.index] == "bool"
        self.index += return_bool
        matching = Matching("one-to-one", [], on=False, include=[])
        kind = kinds[self.index]
        if kind in ("on", "ignoring"):
            self.index += 1
            matching.labels = self._labels()
            matching.on = kind == "on"
            group = kinds[self.index]
            if group in ("group_left", "group_right"):
                self.index += 1
                matching.card = "many-to-one" if group == "group_left" else "one-to-many"
                if kinds[self.index] == "(":
                    matching.include = self._labels()
        kind = kinds[self.index]
        if kind == "fill":
            matching.fill_left = matching.fill_right = self._fill_value()
            matching.is_one_fill = True
        elif kind in ("fill_left", "fill_right"):
            self._one_fill(matching)
            if kinds[self.index] == ("fill_right" if kind == "fill_left" else "fill_left"):
                self._one_fill(matching)
        return return_bool, matching

    def _one_fill(self, matching: Matching) -> None:
        if self.kinds[self.index] == "fill_left":
            matching.fill_left = self._fill_value()
        else:
            matching.fill_right = self._fill_value()

    def _fill_value(self) -> float:
        self.index += 2  # the modifier and its parenthesis, without which it is a metric's name
        sign = self.kinds[self.index]
        self.index += sign in ("+", "-")
        if self.kinds[self.index] not in (NUMBER, DURATION):
            self._misplaced()
        value = self.number_literal().value
        self._take_or_misplaced(")")
        return -value if sign == "-" else value

    def _take_or_misplaced(self, kind: str) -> int:
        """Pass a token of one character; returns where it ends."""
        if self.kinds[self.index] != kind:
            self._misplaced()
        self.index += 1
        return self.starts[self.index - 1] + 1

    # ---- operands --------------------------------------------------------------------------------------------------

    def _operand(self) -> Expr:
        kind = self.kinds[self.index]
        start = self.starts[self.index]
        if kind in ("+", "-"):
            return self._unary(kind, start)
        expr: Expr
        if kind in (NUMBER, DURATION):
            expr = self.number_literal()
        elif kind == STRING:
            text = self.texts[self.index]
            self.index += 1
            expr = StringLiteral(unquote(text), start, start + len(text))
        elif kind == "(":
            self.index += 1
            inner = self._expr(1)
            expr = Paren(inner, start, self._take_or_misplaced(")"))
        elif kind == "{":
            expr = self._selector()
        elif kind in NAMES_A_METRIC:
            following = self.kinds[self.index + 1]
            if kind in AGGREGATORS and following in ("(", "by", "without"):
                expr = self._aggregate(kind, start)
            elif following == "(" and (kind == IDENTIFIER or kind in CALLABLE_KEYWORDS):
                expr = self._call(start)
            else:
                expr = self._selector()
        else:
            self._misplaced()
            raise AssertionError("unreachable")
        while self.kinds[self.index] in _SUFFIXES:
            expr = self._suffix(expr)
        return expr

    def _unary(self, op: str, start: int) -> Expr:
        self.index += 1
        expr = self._expr(_UNARY_BINDS)
        if isinstance(expr, NumberLiteral):
            return NumberLiteral(-expr.value if op == "-" else expr.value, expr.is_duration, start, expr.end)
        return Unary(op, expr, start)

    def _aggregate(self, op: str, start: int) -> Expr:
        self.index += 1
        self.aggregations += 1
        grouping: list[str] = []
        without = has_modifier = False
        if self.kinds[self.index] != "(":
            has_modifier = True
            without, grouping = self._grouping()
        args, end = self._args()
        if not has_modifier and self.kinds[self.index] in ("by", "without"):
            without, grouping = self._grouping()
            end = self.starts[self.index - 1] + 1
        self.aggregations -= 1
        if not args:
            self.fail(start, "no arguments for aggregate expression provided")
        wanted = 1
        if op in AGGREGATORS_WITH_PARAMETER:
            if op in EXPERIMENTAL_AGGREGATORS and not self.features.experimental_functions:
                flag = "must be enabled with --enable-feature=promql-experimental-functions"
                self._disabled(start, f"{op}() is experimental and {flag}", "experimental_functions")
            wanted = 2
        if len(args) != wanted:
            message = "wrong number of arguments for aggregate expression provided"
            self.fail(start, f"{message}, expected {wanted}, got {len(args)}")
        return Aggregate(op, args[-1], args[0] if wanted > 1 else None, grouping, without, start, end)

    def _disabled(self, position: int, message: str, feature: str) -> NoReturn:
        self.fail(position, f"{message}; to enable it: {how_to_enable(feature)}")

    def _grouping(self) -> tuple[bool, list[str]]:
        without = self.kinds[self.index] == "without"
        self.index += 1
        return without, self._labels()

    def _labels(self) -> list[str]:
        """A list of label names in parentheses; a trailing comma is allowed."""
        kinds = self.kinds
        if kinds[self.index] != "(":
            self.unexpected(' in grouping opts, expected "("')
        self.index += 1
        labels: list[str] = []
        while kinds[self.index] != ")":
            kind, text = kinds[self.index], self.texts[self.index]
            if kind == STRING:
                text = unquote(text)
            elif kind not in NAMES_A_LABEL:
                self.unexpected(" in grouping opts, expected label")
            if not text or (not text.isascii() and _has_bad_bytes(text)):
                self.fail(self.starts[self.index], f"invalid label name for grouping: {quoted(text)}")
            labels.append(text)
            self.index += 1
            if kinds[self.index] == ",":
                self.index += 1
            elif kinds[self.index] != ")":
                self.unexpected(' in grouping opts, expected "," or ")"')
        self.index += 1
        return labels

    def _args(self) -> tuple[list[Expr], int]:
        """Arguments in parentheses, and where these end."""
        self._take_or_misplaced("(")
        args: list[Expr] = []
        if self.kinds[self.index] == ")":
            self.index += 1
            return args, self.starts[self.index - 1] + 1
        while True:
            args.append(self._expr(1))
            if self.kinds[self.index] != ",":
                return args, self._take_or_misplaced(")")
            self.index += 1
            if self.kinds[self.index] == ")":
                self.fail(self.starts[self.index - 1], "trailing commas not allowed in function call args")

    def _call(self, start: int) -> Expr:
        name = self.texts[self.index]
        self.index += 1
        # An aggregation further out is no longer the innermost construct, yet calls have no error rule of their own.
        args, end = self._args()
        function = FUNCTIONS.get(name)
        if function is None:
            self.fail(start, f"unknown function with name {quoted(name)}")
        if function.experimental and not self.features.experimental_functions:
            self._disabled(start, f"function {quoted(name)} is not enabled", "experimental_functions")
        return Call(function, args, start, end)

    # ---- selectors -------------------------------------------------------------------------------------------------

    def _selector(self) -> VectorSelector:
        kinds = self.kinds
        index = self.index
        start = self.starts[index]
        name = ""
        end = start
        if kinds[index] != "{":
            name = self.texts[index]
            end = start + len(name)
            self.index = index + 1
        matchers: list[LabelMatcher] = []
        if kinds[self.index] == "{":
            end = self._matchers(matchers)
        if name:
            matchers.append(LabelMatcher("__name__", "=", name))
        return VectorSelector(name, matchers, start, end)

    def _matchers(self, matchers: list[LabelMatcher]) -> int:
        kinds = self.kinds
        self.index += 1
        while kinds[self.index] != "}":
            matchers.append(self._matcher())
            if kinds[self.index] == ",":
                self.index += 1
            elif kinds[self.index] != "}":
                self.unexpected(' in label matching, expected "," or "}"')
        self.index += 1
        return self.starts[self.index - 1] + 1

    def _matcher(self) -> LabelMatcher:
        index = self.index
        kinds, texts = self.kinds, self.texts
        kind = kinds[index]
        name = texts[index]
        if kind == STRING:
            name = unquote(name)
        elif kind != IDENTIFIER:
            self.unexpected(' in label matching, expected identifier or "}"')
        self.index = index + 1
        op = kinds[index + 1]
        if op not in _MATCH_OPS:
            if kind != STRING:
                self.unexpected(" in label matching, expected label matching operator")
            return LabelMatcher("__name__", "=", name)
        self.index = index + 2
        if kinds[index + 2] != STRING:
            self.unexpected(" in label matching, expected string")
        self.index = index + 3
        value = unquote(texts[index + 2])
        compiled = None
        if not value.isascii() and _has_bad_bytes(value):
            self.fail(self.starts[index], f"label value is not valid UTF-8: {quoted(value)}")
        if op in ("=~", "!~"):
            try:
                compiled = native.Matcher(name, cast("Literal['=~', '!~']", op), value)
            except native.BadDataError as error:
                self.fail(self.starts[index], str(error))
            self.regex_bytes += compiled.regex_bytes
            if self.regex_bytes > MAX_REGEX_BYTES:
                self.fail(self.starts[index], TOO_MANY_REGEXES)
        return LabelMatcher(name, cast("MatchOp", op), value, compiled)

    # ---- suffixes --------------------------------------------------------------------------------------------------

    def _suffix(self, expr: Expr) -> Expr:
        kind = self.kinds[self.index]
        if kind == "[":
            return self._range(expr)
        self.index += 1
        if kind == "offset":
            self._offset(expr)
        elif kind == "@":
            self._at(expr)
        else:
            self._extend(expr, kind)
        if isinstance(expr, VectorSelector | MatrixSelector | Subquery):
            expr.end = self.starts[self.index - 1] + len(self.texts[self.index - 1])
        return expr

    def _range(self, expr: Expr) -> Expr:
        bracket = self.starts[self.index]
        self.index += 1
        extent = self.positive_duration("subquery or range selector")
        kind = self.kinds[self.index]
        if kind == ":":
            return self._subquery(expr, extent)
        if kind != "]":
            self.unexpected(' in subquery or range, expected ":" or "]"')
        self.index += 1
        if not isinstance(expr, VectorSelector):
            self.fail(bracket, "ranges only allowed for vector selectors")
        when = expr.when
        if when.offset_ms or when.offset_expr is not None:
            self.fail(bracket, "no offset modifiers allowed before range")
        if when.at_ms is not None or when.at_edge is not None:
            self.fail(bracket, "no @ modifiers allowed before range")
        return MatrixSelector(expr, *literal_ms(extent), self.starts[self.index - 1] + 1)

    def _subquery(self, expr: Expr, extent: Duration) -> Subquery:
        self.index += 1
        step: tuple[int, DurationExpr | None] = (0, None)
        if self.kinds[self.index] != "]":
            step = literal_ms(self.positive_duration("subquery selector", 'number, duration, step(), range(), or "]"'))
            if self.kinds[self.index] != "]":
                self.unexpected(' in subquery selector, expected "]"')
        self.index += 1
        self._check_chain(expr)
        return Subquery(expr, *literal_ms(extent), *step, self.starts[self.index - 1] + 1)

    def _check_chain(self, expr: Expr) -> None:
        """Subqueries of subqueries have no meaning, but it takes a walk down all of them to say so."""
        length = 1
        while isinstance(expr, Subquery):
            expr, length = expr.expr, length + 1
        if length > MAX_DEPTH:
            self.fail(expr.start, f"expression is nested more than {MAX_DEPTH} levels deep")

    def _offset(self, expr: Expr) -> None:
        duration = self.offset_duration()
        when = _when(expr)
        if when is None:
            self.fail(expr.start, f"offset {_MODIFIER_BEFORE_SELECTOR}")
        if when.offset_ms or when.offset_expr is not None:
            self.fail(expr.start, "offset may not be set multiple times")
        when.offset_ms, when.offset_expr = literal_ms(duration)

    def _at(self, expr: Expr) -> None:
        kind = self.kinds[self.index]
        seconds = 0.0
        if kind in ("start", "end"):
            for wanted in ("(", ")"):
                self.index += 1
                if self.kinds[self.index] != wanted:
                    self.unexpected(" in @, expected timestamp")
            self.index += 1
        else:
            self.index += kind in ("+", "-")
            if self.kinds[self.index] not in (NUMBER, DURATION):
                self.unexpected(" in @, expected timestamp")
            seconds = self.number_literal().value
            seconds = -seconds if kind == "-" else seconds
            if not abs(seconds) < 2**63:
                shown = f"{seconds:+f}".replace("inf", "Inf") if abs(seconds) == float("inf") else f"{seconds:f}"
                self.fail(expr.start, f"timestamp out of bounds for @ modifier: {shown.replace('nan', 'NaN')}")
        when = _when(expr)
        if when is None:
            self.fail(expr.start, f"@ {_MODIFIER_BEFORE_SELECTOR}")
        if when.at_ms is not None or when.at_edge is not None:
            self.fail(expr.start, "@ <timestamp> may not be set multiple times")
        if kind in ("start", "end"):
            when.at_edge = cast("Edge", kind)
        else:
            when.at_ms = _rounded_ms(seconds)

    def _extend(self, expr: Expr, kind: str) -> None:
        if not self.features.extended_range_selectors:
            self._disabled(expr.start, f"{kind} modifier is experimental and not enabled", "extended_range_selectors")
        if isinstance(expr, Subquery):
            self.fail(expr.start, f"{kind} modifier is not supported for subqueries")
        selector = expr.selector if isinstance(expr, MatrixSelector) else expr
        if not isinstance(selector, VectorSelector):
            self.fail(expr.start, f"{kind} modifier not implemented")
        if kind == "anchored":
            selector.is_anchored = True
        else:
            selector.is_smoothed = True
        if selector.is_anchored and selector.is_smoothed:
            self.fail(expr.start, "anchored and smoothed modifiers cannot be used together")


def _when(expr: Expr) -> When | None:
    if isinstance(expr, VectorSelector | Subquery):
        return expr.when
    return expr.selector.when if isinstance(expr, MatrixSelector) else None


def _rounded_ms(seconds: float) -> int:
    """Half away from zero, as Go rounds."""
    scaled = abs(seconds) * 1000
    whole = int(scaled)
    whole = min(whole + (scaled - whole >= 0.5), FAR_MS)
    return -whole if seconds < 0 else whole


def _has_bad_bytes(text: str) -> bool:
    return any("\udc80" <= character <= "\udcff" for character in text)
