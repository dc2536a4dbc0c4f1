"""The tree of a plan, whatever its operators: what stands below each, and the same tree over other operators."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from querier.promql.operators.sources import AggregateInstant, AggregateRange

if TYPE_CHECKING:
    from collections.abc import Callable

Node = Any
"""An operator, a link of a chain, samples or a source: a dataclass that is asked for frames or series."""


def is_node(value: object) -> bool:
    return is_dataclass(value) and any(hasattr(value, call) for call in ("evaluate", "apply", "series"))


def below(node: Node) -> list[Node]:
    """The nodes right below, in the order of fields."""
    found: list[Node] = []
    for field in fields(node):
        _collect(getattr(node, field.name), found)
    return found


def _collect(value: object, found: list[Node]) -> None:
    if is_node(value):
        found.append(value)
    elif isinstance(value, list | tuple):
        for item in value:
            _collect(item, found)


def rebuilt(node: Node, change: Callable[[Node], Node]) -> Node:
    """The same node over other ones: `change` is applied to the nearest below that are evaluated by themselves, or that
    are links of chains.
    """
    is_fused = isinstance(node, AggregateInstant | AggregateRange)  # what it aggregates is not evaluated by itself

    def changed(value: Any) -> Any:
        if is_node(value):
            is_evaluated = not is_fused and (hasattr(value, "evaluate") or hasattr(value, "apply"))
            return change(value) if is_evaluated else rebuilt(value, change)
        if isinstance(value, list | tuple) and any(is_node(item) or isinstance(item, tuple) for item in value):
            return type(value)([changed(item) for item in value])
        return value

    old = {field.name: getattr(node, field.name) for field in fields(node)}
    new = {name: changed(value) for name, value in old.items()}
    return replace(node, **{name: value for name, value in new.items() if value is not old[name]})
