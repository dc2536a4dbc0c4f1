"""Makes a query that shows a difference smaller."""

from collections.abc import Callable, Sequence

from tests.support.queries.node import Node


def shrunk(query: Node, leaves: Sequence[Node], differs: Callable[[Node], bool], *, tries: int = 300) -> Node:
    """The smallest query found for which `differs` still holds, by replacing parts with smaller ones."""
    remaining = tries
    found = True
    while found and remaining > 0:
        found = False
        for variant in sorted(query.variants(leaves), key=lambda variant: variant.size):
            if variant.size >= query.size or not variant.is_sound():
                continue
            remaining -= 1
            if differs(variant):
                query, found = variant, True
                break
            if remaining <= 0:
                break
    return query
