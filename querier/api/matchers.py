"""`match[]` and the names in a path, as matchers and label names."""

import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from querier.promql.ast import Expr, LabelMatcher, MatrixSelector, VectorSelector
from querier.promql.features import Features
from querier.promql.height import children
from querier.promql.parser import MAX_REGEX_BYTES, TOO_MANY_REGEXES, parse, parse_selector
from querier.promql.tokens import quoted
from shared.errors import BadDataError
from shared.native import Matcher

_ESCAPED = re.compile(r"__|_([0-9a-fA-F]{1,6})_|[^_]")
_MAX_CODE_POINT = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)


def matcher_sets(selectors: Sequence[str]) -> list[list[Matcher]]:
    """One set for each selector. Raises BadDataError with Prometheus's text."""
    sets = []
    regex_bytes = 0
    for selector in selectors:
        matchers = [_native(matcher) for matcher in parse_selector(selector)]
        regex_bytes += sum(matcher.regex_bytes for matcher in matchers)
        if regex_bytes > MAX_REGEX_BYTES:
            raise BadDataError(TOO_MANY_REGEXES)
        if all(matcher.matches("") for matcher in matchers):
            raise BadDataError("match[] must contain at least one non-empty matcher")
        sets.append(matchers)
    return sets


def selector_sets(query: str, features: Features) -> list[list[Matcher]]:
    """One set for each selector of an expression. ParseError."""
    sets = []
    waiting: list[Expr] = [parse(query, features)]
    while waiting:
        expr = waiting.pop()
        selector = expr.selector if isinstance(expr, MatrixSelector) else expr
        if isinstance(selector, VectorSelector):
            sets.append([_native(matcher) for matcher in selector.matchers])
        else:
            waiting += children(expr)
    return sets


def _native(matcher: LabelMatcher) -> Matcher:
    return matcher.compiled or Matcher(matcher.name, matcher.op, matcher.value)


def label_name(escaped: bytes) -> str:
    """The name in the path `label/NAME/values`, still percent-encoded. Raises BadDataError if it can be no name."""
    raw = unquote_to_bytes(escaped)
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        raise BadDataError(f"invalid label name: {quoted(raw.decode(errors='replace'))}") from None
    name = unescape_name(name)
    if not name:
        raise BadDataError('invalid label name: ""')
    return name


def unescape_name(name: str) -> str:
    """Undoes the escaping of values: `U__a_2f_b` is `a/b`, `__` an underscore. What is malformed stays as it is."""
    if not name.startswith("U__"):
        return name
    parts = []
    position = 3
    while position < len(name):
        found = _ESCAPED.match(name, position)
        if found is None:
            return name
        code = found.group(1)
        if code is None:
            parts.append("_" if found.group() == "__" else found.group())
        elif int(code, 16) > _MAX_CODE_POINT or int(code, 16) in _SURROGATES:
            return name
        else:
            parts.append(chr(int(code, 16)))
        position = found.end()
    return "".join(parts)
