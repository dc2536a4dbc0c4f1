"""A plan as JSON: docs/promql.md describes the shape.

Operators are described by their fields, so that a new one needs no line here.
"""

from __future__ import annotations

from dataclasses import asdict, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from querier.promql.errors import line_and_column
from querier.promql.format import canonical, format_matcher
from querier.promql.operators.common import Common
from querier.promql.operators.sources import Source
from querier.promql.operators.tree import below, is_node
from querier.promql.places import PLACES
from querier.promql.profile import Figures, Timed, TimedLink
from shared.native import Matcher

if TYPE_CHECKING:
    from querier.promql.operators.tree import Node
    from querier.promql.plan import Plan, Select


def explained(plan: Plan) -> dict[str, Any]:
    """What is selected, and the tree of operators over it. Of a plan under stopwatches with what each of them took."""
    start_ms, step_ms, steps = plan.grid
    root: Any = plan.root if plan.root is not None else plan.samples
    readers = _readers(root)
    return {
        "query": canonical(plan.expr),
        "start": start_ms / 1000,
        "step": step_ms / 1000 if plan.is_range else 0,
        "steps": steps,
        "selects": [_select(select, readers.get(index, 0)) for index, select in enumerate(plan.selects)],
        "plan": {"operator": "Text", "with": {"value": plan.text}} if root is None else _Drawing(plan.query).node(root),
    }


def _select(select: Select, readers: int) -> dict[str, Any]:
    return {
        "matchers": [format_matcher(matcher) for matcher in select.selector],
        "from": select.min_ms / 1000,
        "through": select.max_ms / 1000,
        "readers": readers,
    } | ({} if select.fold is None else {"fold": _plain(select.fold)})


def _readers(root: Node | None) -> dict[int, int]:
    """How many operators read each select."""
    counts: dict[int, int] = {}
    seen: set[int] = set()
    waiting = [] if root is None else [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Common):
            if node.number in seen:
                continue
            seen.add(node.number)
        if isinstance(node, Source):
            counts[node.select] = counts.get(node.select, 0) + 1
        waiting += below(node)
    return counts


class _Drawing:
    """Draws each common operator once, where it occurs first."""

    def __init__(self, query: str) -> None:
        self._query = query
        self._drawn: set[int] = set()

    def node(self, node: Node) -> dict[str, Any]:
        figures: Figures | None = None
        if isinstance(node, Timed | TimedLink):
            node, figures = node.operator, node.figures
        described: dict[str, Any] = {"operator": type(node).__name__}
        position = getattr(node, "position", None)
        if position is not None:
            described["position"] = line_and_column(self._query, position)
        details = {
            field.name: _plain(getattr(node, field.name))
            for field in fields(node)
            if field.name not in PLACES and _says_something(getattr(node, field.name))
        }
        if details:
            described["with"] = details
        inner = below(node)
        if isinstance(node, Common):
            inner = [] if node.number in self._drawn else inner
            self._drawn.add(node.number)
        if figures is not None:
            described["took"] = _took(figures, inner)
        if inner:
            described["children"] = [self.node(child) for child in inner]
        return described


def _took(figures: Figures, inner: list[Node]) -> dict[str, Any]:
    """Seconds and samples also without those of the operators below."""
    nested = _measured(inner)
    return {
        "evaluations": figures.evaluations,
        "seconds": figures.seconds,
        "selfSeconds": max(figures.seconds - sum(each.seconds for each in nested), 0.0),
        "samplesRead": figures.samples_read - sum(each.samples_read for each in nested),
        "series": figures.rows,
        "steps": figures.steps,
        "bytes": figures.bytes,
    }


def _measured(nodes: list[Node]) -> list[Figures]:
    """Of the nearest operators below that are measured."""
    found: list[Figures] = []
    for node in nodes:
        found += [node.figures] if isinstance(node, Timed | TimedLink) else _measured(below(node))
    return found


def _says_something(value: object) -> bool:
    return value is not None and value != [] and value != () and not _holds_nodes(value)


def _holds_nodes(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds_nodes(item) for item in value)
    return is_node(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Matcher):
        return f"{value.name}{value.op}{value.value}"
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain(inner) for name, inner in asdict(value).items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value
