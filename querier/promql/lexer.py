"""Query text to tokens.

What a character means depends on where it stands: keywords are plain names inside braces, and `:` is part of a name
outside brackets but divides range and step inside them. So there is one pattern for each of the three places, and the
brackets themselves switch between them.

The first error ends the tokens: the last one is then of kind ERROR with the message as its text, and the parser reports
it only when it gets there, as an earlier mistake in the grammar comes first.
"""

import re
from typing import NamedTuple

from querier.promql.strings import EscapeError, unquote
from querier.promql.tokens import (
    DURATION,
    DURATION_FUNCTIONS,
    END,
    ERROR,
    FILLS,
    IDENTIFIER,
    KEYWORDS,
    METRIC_IDENTIFIER,
    NUMBER,
    STRING,
    quoted,
    quoted_character,
)

_BLANK = r"[ \t\r\n]*(?:\#[^\r\n]*[ \t\r\n]*)*"
_STRING = r""""(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`"""
_DIGITS = r"[0-9]+(?:_[0-9]+)*"
_NUMBER = (
    rf"(?:0[xX]_?[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*|(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?)"
    r"(?![A-Za-z0-9_.])"
)
_DURATION = r"[0-9]+(?:\.[0-9]+)?[smhdwy]s?(?:[0-9]+[smhdw]s?)*(?![A-Za-z0-9_])"

_BEFORE_PARENTHESIS = re.compile(r"[ \t\r\n]*+\(")

_NEVER = r"\b\B"

# The groups: 1 a word, 2 punctuation or an operator, 3 a string, 4 a duration, 5 a number, 6 anything else, 7 the end.
_OUTSIDE = re.compile(
    _BLANK + r"(?:([A-Za-z_:][A-Za-z0-9_:]*)|([(){}\[\],*%+^@/-]|==|!=|<[=/]?|>[=/]?|=(?!~))"
    rf"|({_STRING})|({_DURATION})|({_NUMBER})|([\S\s])|(\Z))"
)
_IN_BRACES = re.compile(
    _BLANK + rf"(?:([A-Za-z_][A-Za-z0-9_]*)|([,}}]|=~|!~|!=|=)|({_STRING})|({_NEVER})|({_NEVER})|([\S\s]|\Z))"
)
_IN_BRACKETS = re.compile(
    _BLANK + rf"(?:([A-Za-z_]+)|([\](),:*/%+^-])|({_NEVER})|({_DURATION})|({_NUMBER})|([\S\s]|\Z))"
)
_WORD, _PUNCTUATION, _QUOTED, _SPAN, _FIGURE, _STRAY = range(1, 7)
_SWITCHES = {"{": _IN_BRACES, "[": _IN_BRACKETS, "}": _OUTSIDE, "]": _OUTSIDE}
_BAD_NUMBER = re.compile(r"(?:0[xX][0-9a-fA-F_]*|[0-9_.]*(?:[eE][+-]?[0-9_]*)?)(?:[smhdwy]s?(?:[0-9]+[smhdw]s?)*)?")


class Tokens(NamedTuple):
    """Three columns of equal length; `starts` are character indices. The last token is END or ERROR."""

    kinds: list[str]
    texts: list[str]
    starts: list[int]


class _LexError(Exception):
    def __init__(self, position: int, message: str) -> None:
        super().__init__(message)
        self.position = position


def tokenize(query: str) -> Tokens:
    kinds: list[str] = []
    texts: list[str] = []
    starts: list[int] = []
    try:
        _tokenize(query, kinds, texts, starts)
    except _LexError as error:
        kinds.append(ERROR)
        texts.append(str(error))
        starts.append(error.position)
    return Tokens(kinds, texts, starts)


def _tokenize(query: str, kinds: list[str], texts: list[str], starts: list[int]) -> None:  # noqa: C901  one branch per group
    pattern = _OUTSIDE
    position = depth = 0
    while True:
        for found in pattern.finditer(query, position):
            group = found.lastindex
            text = kind = found[group or 0]
            start = found.start(group or 0)
            if group == _WORD:
                kind = IDENTIFIER if pattern is _IN_BRACES else _word(query, text, start, pattern, kinds)
            elif group == _PUNCTUATION:
                if text in "()":
                    depth += 1 if text == "(" else -1
                    if depth < 0:
                        raise _LexError(start + 1, "unexpected right parenthesis ')'")
                elif text == ":":
                    _check_colon(start, kinds)
            elif group == _QUOTED:
                kind = STRING
                if "\\" in text or "\ufffd" in text:
                    _check_string(text, start)
            elif group == _STRAY:
                raise _explain(query, start, pattern, kinds)
            elif group == _SPAN:
                kind = DURATION
            elif group == _FIGURE:
                kind = NUMBER
            else:
                kind = END
                if depth:
                    raise _LexError(start, "unclosed left parenthesis")
            kinds.append(kind)
            texts.append(text)
            starts.append(start)
            if kind in _SWITCHES:
                if pattern is _OUTSIDE and kind in "]}":
                    raise _unopened(kinds.pop(), texts.pop(), starts.pop())
                pattern = _SWITCHES[kind]
                position = found.end()
                break
        else:
            return


def _unopened(bracket: str, _text: str, start: int) -> _LexError:
    what = "right bracket" if bracket == "]" else "character:"
    return _LexError(start, f"unexpected {what} '{bracket}'")


def _word(query: str, text: str, start: int, pattern: re.Pattern[str], kinds: list[str]) -> str:
    lower = text.lower()
    if pattern is _IN_BRACKETS:
        if lower in DURATION_FUNCTIONS:
            return lower
        raise _LexError(start, _stray_in_brackets(text[0], kinds))
    kind = KEYWORDS.get(lower)
    if kind is None:
        return METRIC_IDENTIFIER if ":" in text else IDENTIFIER
    # These may name metrics in queries that are older than the modifiers.
    if kind in FILLS and not _BEFORE_PARENTHESIS.match(query, start + len(text)):
        return IDENTIFIER
    return kind


def _check_string(text: str, start: int) -> None:
    if "\ufffd" in text:
        raise _LexError(start, "invalid UTF-8 rune")
    if "\\" in text:
        try:
            unquote(text)
        except EscapeError as error:
            raise _LexError(start, str(error)) from None


def _check_colon(start: int, kinds: list[str]) -> None:
    opening = len(kinds) - 1
    while kinds[opening] != "[":
        opening -= 1
    inside = kinds[opening + 1 :]
    if not inside:
        raise _LexError(start + 1, "unexpected colon before duration in duration expression")
    if ":" in inside:
        if kinds[-1] in (NUMBER, DURATION):
            raise _LexError(start, "unexpected colon ':'")
        raise _LexError(start + 1, "unexpected repeated colon in duration expression")


def _stray_in_brackets(character: str, kinds: list[str]) -> str:
    if kinds[-1] in (NUMBER, DURATION):
        return f"unexpected character: {quoted_character(character)}, expected ':'"
    return f"unexpected character in duration expression: {quoted_character(character)}"


def _explain(query: str, position: int, pattern: re.Pattern[str], kinds: list[str]) -> _LexError:
    """The error at a place where no token begins."""
    here, following = query[position : position + 1], query[position + 1 : position + 2]
    if not here:
        return _LexError(
            position,
            "unexpected end of input inside braces"
            if pattern is _IN_BRACES
            else "unclosed left bracket"
            if kinds[-1] in (NUMBER, DURATION)
            else "unexpected end of input in duration expression",
        )
    if here in "\"'`" and pattern is not _IN_BRACKETS:
        return _unterminated(query, position)
    if pattern is not _IN_BRACES and ((here.isascii() and here.isdigit()) or (here == "." and following.isdigit())):
        found = _BAD_NUMBER.match(query, position)
        end = found.end() if found else position
        return _LexError(position, f"bad number or duration syntax: {quoted(query[position : end + 1])}")
    if pattern is _IN_BRACES:
        if here == "!":
            return _LexError(position, f"unexpected character after '!' inside braces: {quoted_character(following)}")
        if here == "{":
            return _LexError(position, "unexpected left brace '{'")
        return _LexError(position, f"unexpected character inside braces: {quoted_character(here)}")
    if pattern is _IN_BRACKETS:
        return _LexError(position, _stray_in_brackets(here, kinds))
    if here in "=!":
        return _LexError(position, f"unexpected character after '{here}': {quoted_character(following)}")
    return _LexError(position, f"unexpected character: {quoted_character(here)}")


def _unterminated(query: str, position: int) -> _LexError:
    """Why the string that begins here has no end: an escape that cannot be, or the line or the query ended."""
    quote = query[position]
    if quote == "`":
        return _LexError(position, "unterminated raw string")
    body = query[position + 1 :].split("\n", 1)[0]
    try:
        unquote(quote + body + quote)
    except EscapeError as error:
        return _LexError(position, str(error))
    return _LexError(position, "unterminated quoted string")
