"""The tree of a plan, whatever its operators: what stands below each, and the same tree over other operators."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from querier.promql.operators.sources import AggregateInstant, AggregateRange
from querier.promql.operators.vectors import HistogramQuantiles
from querier.promql.places import PLACES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_FUSED = (AggregateInstant, AggregateRange, HistogramQuantiles)
"""What stands right below these is not evaluated by itself."""

Node = Any
"""An operator, a link of a chain, samples or a source: a dataclass that is asked for frames or series."""


_LEAVES = frozenset({"bool", "int", "str", "str | None", "native.Grid"})
"""Annotations of fields in which no node stands, and whose values are equal and hashed by what they say."""


@dataclass(slots=True, frozen=True)
class _Kind:
    """What is known of a class, looked up once. Its fields are places, leaves, and those that may hold nodes."""

    inner: tuple[str, ...]
    places: tuple[str, ...]
    leaves: Callable[[Any], object]
    is_node: bool
    is_evaluated: bool


_KINDS: dict[type, _Kind] = {}


def _kind_of(value: object) -> _Kind:
    cls = type(value)
    known = _KINDS.get(cls)
    if known is None:
        known = _KINDS[cls] = _described(cls)
    return known


def _described(cls: type) -> _Kind:
    known = fields(cls) if is_dataclass(cls) else ()
    names = tuple(field.name for field in known)
    places = tuple(name for name in names if name in PLACES)
    leaves = tuple(field.name for field in known if _is_leaf(field.type) and field.name not in PLACES)
    inner = tuple(name for name in names if name not in places and name not in leaves)
    is_evaluated = hasattr(cls, "evaluate") or hasattr(cls, "apply")
    is_node = bool(names) and (is_evaluated or hasattr(cls, "series"))
    return _Kind(inner, places, attrgetter(*leaves) if leaves else _nothing, is_node, is_evaluated)


def _is_leaf(annotation: object) -> bool:
    return annotation in _LEAVES or str(annotation).startswith("Literal[")


def _nothing(_node: Node) -> None:
    return None


def own_fields(node: Node) -> tuple[Sequence[int], object, Sequence[object]]:
    """Its places, what its leaves say, and the other fields, which may hold nodes."""
    kind = _kind_of(node)
    places = [getattr(node, name) for name in kind.places]
    return places, kind.leaves(node), [getattr(node, name) for name in kind.inner]


def is_node(value: object) -> bool:
    return _kind_of(value).is_node


def below(node: Node) -> list[Node]:
    """The nodes right below, in the order of fields."""
    found: list[Node] = []
    for name in _kind_of(node).inner:
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
    for name in _kind_of(node).inner:
        old = getattr(node, name)
        new = changed(old)
        if new is not old:
            fresh[name] = new
    return replace(node, **fresh) if fresh else node
