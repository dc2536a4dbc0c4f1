"""The tree of a plan, whatever its operators: what stands below each, and the same tree over other operators."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

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
    """The same node with `change` applied to every node right below."""
    changed = {field.name: _changed(getattr(node, field.name), change) for field in fields(node)}
    return replace(node, **{name: value for name, value in changed.items() if value is not getattr(node, name)})


def _changed(value: Any, change: Callable[[Node], Node]) -> Any:
    if is_node(value):
        return change(value)
    if isinstance(value, list | tuple) and any(is_node(item) or isinstance(item, tuple) for item in value):
        return type(value)(_changed(item, change) for item in value)
    return value
