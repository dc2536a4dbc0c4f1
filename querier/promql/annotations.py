"""Warnings and infos: texts of Prometheus for what the native functions note."""

from __future__ import annotations

from typing import TYPE_CHECKING

from querier.promql.errors import line_and_column

if TYPE_CHECKING:
    from collections.abc import Iterable


class Annotations:
    """Collected in order, each text once."""

    __slots__ = ("_query", "infos", "warnings")

    def __init__(self, query: str) -> None:
        self._query = query
        self.warnings: dict[str, None] = {}
        self.infos: dict[str, None] = {}

    def warn(self, text: str, position: int) -> None:
        self.warnings[f"PromQL warning: {text} ({line_and_column(self._query, position)})"] = None

    def inform(self, text: str, position: int) -> None:
        self.infos[f"PromQL info: {text} ({line_and_column(self._query, position)})"] = None

    def add(self, notes: Iterable[tuple[str, str]], position: int, param_position: int) -> None:
        """`notes` are (kind, detail) as `take_notes` gives them; the kinds are listed with it."""
        for kind, detail in notes:
            if kind in _OF_PARAMETERS:
                self.warn(_OF_PARAMETERS[kind].format(detail), param_position)
            elif kind in _WARNINGS:
                self.warn(_WARNINGS[kind].format(detail), position)
            else:
                self.inform(_INFOS[kind].format(detail), position)


_QUANTILE = "quantile value should be between 0 and 1, got {}"
_NOT_A_COUNTER = 'metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "{}"'

_OF_PARAMETERS = {"quantile_out_of_range": _QUANTILE}
_WARNINGS: dict[str, str] = {}
_INFOS = {"not_a_counter": _NOT_A_COUNTER}
