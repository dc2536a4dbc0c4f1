"""The tree of a plan, whatever its operators: what stands below each, and the same tree over other operators."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from querier.promql.operators.sources import AggregateInstant, AggregateRange
from querier.promql.operators.vectors import HistogramQuantiles

if TYPE_CHECKING:
    from collections.abc import Callable

_FUSED = (AggregateInstant, AggregateRange, HistogramQuantiles)
"""What stands right below these is not evaluated by itself."""

Node = Any
"""An operator, a link of a chain, samples or a source: a dataclass that is asked for frames or series."""


@dataclass(slots=True, frozen=True)
class _Kind:
    """What is known of a class, looked up once."""

    names: tuple[str, ...]
    is_node: bool
    is_evaluated: bool


_KINDS: dict[type, _Kind] = {}


def _kind_of(value: object) -> _Kind:
    cls = type(value)
    known = _KINDS.get(cls)
    if known is None:
        names = tuple(field.name for field in fields(cls)) if is_dataclass(cls) else ()
        is_evaluated = hasattr(cls, "evaluate") or hasattr(cls, "apply")
        is_node = is_dataclass(cls) and (is_evaluated or hasattr(cls, "series"))
        known = _KINDS[cls] = _Kind(names, is_node, is_evaluated)
    return known


def names_of(node: Node) -> tuple[str, ...]:
    """Its fields, in their order."""
    return _kind_of(node).names


def is_node(value: object) -> bool:
    return _kind_of(value).is_node


def below(node: Node) -> list[Node]:
    """The nodes right below, in the order of fields."""
    found: list[Node] = []
    for name in names_of(node):
        _collect(getattr(node, name), found)
    return found


def _collect(value: object, found: list[Node]) -> None:
    if isinstance(value, list | tuple):
        for item in value:
            _collect(item, found)
    elif is_node(value):
        found.append(value)


def evaluated_below(node: Node) -> list[Node]:
    """The nearest nodes below that are evaluated by themselves, or that are links of chains."""
    found: list[Node] = []
    for child in below(node):
        if _kind_of(child).is_evaluated and not isinstance(node, _FUSED):
            found.append(child)
        else:
            found += evaluated_below(child)
    return found


def rebuilt(node: Node, change: Callable[[Node], Node]) -> Node:
    """The same node over other ones: `change` is applied to those of `evaluated_below`."""
    is_fused = isinstance(node, _FUSED)

    def changed(value: Any) -> Any:
        if isinstance(value, list | tuple):
            items = [changed(item) for item in value]
            is_same = all(new is old for new, old in zip(items, value, strict=True))
            return value if is_same else type(value)(items)
        if not is_node(value):
            return value
        return change(value) if _kind_of(value).is_evaluated and not is_fused else rebuilt(value, change)

    fresh = {}
    for name in names_of(node):
        old = getattr(node, name)
        new = changed(old)
        if new is not old:
            fresh[name] = new
    return replace(node, **fresh) if fresh else node
