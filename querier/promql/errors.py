"""The one way a query is refused before it runs."""

from shared.errors import BadDataError


def line_and_column(query: str, position: int) -> str:
    """`line:column` of a character index: both from 1, columns in bytes."""
    before = query[:position]
    line_start = before.rfind("\n") + 1
    column = len(before[line_start:].encode(errors="surrogateescape")) + 1
    return f"{before.count(chr(10)) + 1}:{column}"


class ParseError(BadDataError):
    """`str()` is the text that Prometheus gives: `1:3: parse error: unexpected end of input`."""

    def __init__(self, query: str, position: int, message: str) -> None:
        place = line_and_column(query, position) if query else "unknown position"
        super().__init__(f"{place}: parse error: {message}")
        self.position = position
        self.message = message
