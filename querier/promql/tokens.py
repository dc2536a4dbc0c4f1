"""Kinds of tokens.

A kind is a string. Punctuation, operators and keywords are their own kind (keywords in lower case, however they were
written); everything else is one of the names below, which are also the words that error messages use.
"""

END = "end of input"
ERROR = "error"
IDENTIFIER = "identifier"
METRIC_IDENTIFIER = "metric identifier"
STRING = "string"
NUMBER = "number"
DURATION = "duration"

SET_OPERATORS = frozenset({"and", "or", "unless"})
COMPARISONS = frozenset({"==", "!=", "<=", "<", ">=", ">"})
TRIMMERS = frozenset({"</", ">/"})

AGGREGATORS = frozenset(
    {
        "sum",
        "avg",
        "count",
        "min",
        "max",
        "group",
        "stddev",
        "stdvar",
        "topk",
        "bottomk",
        "count_values",
        "quantile",
        "limitk",
        "limit_ratio",
    }
)
AGGREGATORS_WITH_PARAMETER = frozenset({"topk", "bottomk", "count_values", "quantile", "limitk", "limit_ratio"})
EXPERIMENTAL_AGGREGATORS = frozenset({"limitk", "limit_ratio"})

MODIFIERS = frozenset(
    {
        "offset",
        "smoothed",
        "anchored",
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "fill",
        "fill_left",
        "fill_right",
        "bool",
    }
)
FILLS = frozenset({"fill", "fill_left", "fill_right"})
DURATION_FUNCTIONS = frozenset({"step", "range", "max_of", "min_of"})
CALLABLE_KEYWORDS = DURATION_FUNCTIONS | {"start", "end"}

KEYWORDS: dict[str, str] = {
    **{word: word for word in AGGREGATORS | MODIFIERS | CALLABLE_KEYWORDS | SET_OPERATORS | {"atan2"}},
    "inf": NUMBER,
    "nan": NUMBER,
}

NAMES_A_METRIC = (
    AGGREGATORS
    | SET_OPERATORS
    | CALLABLE_KEYWORDS
    | FILLS
    | {"offset", "smoothed", "anchored", "by", "without", IDENTIFIER, METRIC_IDENTIFIER}
)
"""What may stand where a metric's name does."""

NAMES_A_LABEL = (
    AGGREGATORS | SET_OPERATORS | CALLABLE_KEYWORDS | MODIFIERS | {"atan2", IDENTIFIER, METRIC_IDENTIFIER}
) - {"without"}
"""What may stand unquoted in a list of labels."""

PRECEDENCE: dict[str, int] = {
    "or": 1,
    "and": 2,
    "unless": 2,
    **dict.fromkeys(COMPARISONS | TRIMMERS, 3),
    "+": 4,
    "-": 4,
    "*": 5,
    "/": 5,
    "%": 5,
    "atan2": 5,
    "^": 6,
}
"""Of binary operators, the weakest first. `^` alone binds to the right."""

_SHOWN_AS_OPERATOR = frozenset({*PRECEDENCE, "=~", "!~", "@"})


def quoted(text: str) -> str:
    """`text` as a Go string literal, the way messages and canonical queries show strings."""
    return '"' + "".join(_escaped(c, '"') for c in text) + '"'


def quoted_character(character: str) -> str:
    """`character` as a Go rune literal; the end of the input (an empty string) shows as the replacement character."""
    return "'" + _escaped(character or "\ufffd", "'") + "'"


_NAMED_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
}


def _escaped(character: str, quote: str) -> str:
    if character == quote:
        return "\\" + quote
    if character in _NAMED_ESCAPES:
        return _NAMED_ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, carried as a lone surrogate
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def describe(kind: str, text: str) -> str:
    """How an error message names an unexpected token."""
    if kind == END:
        return END
    if kind in (IDENTIFIER, METRIC_IDENTIFIER):
        return f"{kind} {quoted(text)}"
    if kind in MODIFIERS:
        return f"<{text}>"
    if kind in _SHOWN_AS_OPERATOR:
        return f"<op:{text}>"
    if kind in AGGREGATORS:
        return f"<aggr:{text}>"
    shown = quoted(text) if len(text.encode(errors="surrogateescape")) <= 10 else quoted(text[:10]) + "..."
    return f"{kind} {shown}" if kind in (STRING, NUMBER, DURATION) else shown
