"""The parser's place in the tokens."""

from __future__ import annotations

import math
from typing import NoReturn

from querier.promql.ast import NumberLiteral
from querier.promql.errors import ParseError
from querier.promql.lexer import tokenize
from querier.promql.tokens import END, ERROR, NUMBER, describe
from shared.durations import parse_duration_ms

MAX_DEPTH = 128
"""Nested levels of parentheses, calls and signs; it keeps every walk over the tree within Python's stack."""


class Cursor:
    __slots__ = ("depth", "index", "kinds", "query", "starts", "texts")

    def __init__(self, query: str) -> None:
        self.query = query
        self.kinds, self.texts, self.starts = tokenize(query)
        self.index = 0
        self.depth = 0

    def fail(self, position: int, message: str) -> NoReturn:
        raise ParseError(self.query, position, message)

    def unexpected(self, context: str = "") -> NoReturn:
        """Report the token at hand; a mistake of the lexer speaks for itself."""
        kind, text = self.kinds[self.index], self.texts[self.index]
        message = text if kind == ERROR else f"unexpected {describe(kind, text)}{context}"
        self.fail(self.starts[self.index] if kind != END else len(self.query), message)

    def descend(self) -> None:
        """Go one level deeper; the caller comes up again by `self.depth -= 1`."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(self.starts[self.index], f"expression is nested more than {MAX_DEPTH} levels deep")

    def number_literal(self) -> NumberLiteral:
        """The number or duration at hand, which is a number of seconds."""
        index = self.index
        text, start = self.texts[index], self.starts[index]
        self.index = index + 1
        if self.kinds[index] == NUMBER:
            return NumberLiteral(self._number(text, start), is_duration=False, start=start, end=start + len(text))
        try:
            seconds = parse_duration_ms(text) / 1000
        except ValueError as error:
            self.fail(start, str(error))
        return NumberLiteral(seconds, is_duration=True, start=start, end=start + len(text))

    def _number(self, text: str, start: int) -> float:
        """A leading 0 means octal, as in Go; 08 is not octal and reads as 8."""
        digits = text.replace("_", "")
        try:
            if digits[:2] in ("0x", "0X"):
                return float(int(digits, 16))
            if digits[0] == "0" and digits.isdigit() and not {"8", "9"} & set(digits):
                return float(int(digits, 8))
            value = float(digits)
        except OverflowError:
            value = math.inf
        if math.isinf(value) and digits[0].isdigit():
            self.fail(start, f'error parsing number: strconv.ParseFloat: parsing "{text}": value out of range')
        return value
