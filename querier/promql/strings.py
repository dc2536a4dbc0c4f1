"""Quoted strings: Go's escapes in '…' and "…", none between backticks."""

import re

_SIMPLE = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92}
_NUMERIC = {"x": (2, 16), "u": (4, 16), "U": (8, 16)}
_ESCAPE_OR_RUN = re.compile(r"[^\\]+|\\")


class EscapeError(ValueError):
    """The message is Prometheus's."""


def unquote(literal: str) -> str:
    """The text of a string token. Bytes that are not UTF-8 (`\\xff`) come as lone surrogates."""
    quote, body = literal[0], literal[1:-1]
    if quote == "`" or "\\" not in body:
        return body
    out = bytearray()
    position = 0
    while found := _ESCAPE_OR_RUN.match(body, position):
        position = found.end()
        if found[0] == "\\":
            position = _unescape(body, position, quote, out)
        else:
            out += found[0].encode(errors="surrogateescape")
    return out.decode(errors="surrogateescape")


def _unescape(body: str, position: int, quote: str, out: bytearray) -> int:
    letter = body[position : position + 1]
    if letter == quote:
        out += quote.encode()
        return position + 1
    if letter in _SIMPLE:
        out.append(_SIMPLE[letter])
        return position + 1
    if letter in _NUMERIC:
        digits, base = _NUMERIC[letter]
        start = position + 1
    elif letter and letter in "01234567":
        digits, base = 3, 8
        start = position
    elif not letter:
        raise EscapeError("escape sequence not terminated")
    else:
        raise EscapeError(f"unknown escape sequence {_named(letter)}")
    code = _number(body, start, digits, base)
    if letter in "uU":
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise EscapeError("escape sequence is an invalid Unicode code point")
        out += chr(code).encode()
    elif code > 0xFF:
        raise EscapeError("escape sequence is an invalid Unicode code point")
    else:
        out.append(code)
    return start + digits


def _number(body: str, start: int, digits: int, base: int) -> int:
    code = 0
    for place in range(start, start + digits):
        digit = body[place : place + 1]
        if not digit:
            raise EscapeError("escape sequence not terminated")
        value = "0123456789abcdef".find(digit.lower())
        if not 0 <= value < base:
            raise EscapeError(f"illegal character {_named(digit)} in escape sequence")
        code = code * base + value
    return code


def _named(character: str) -> str:
    shown = f" '{character}'" if character.isprintable() else ""
    return f"U+{ord(character):04X}{shown}"
