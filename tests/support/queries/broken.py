"""Queries that are wrong: of a wrong type somewhere, or with their text damaged."""

import random
from dataclasses import replace

from tests.support.queries.node import Kind, Node, Traits

_OF_KIND: dict[Kind, str] = {"vector": "level", "scalar": "2", "matrix": "level[5m]", "string": '"text"'}
_WORDS = '( ) { } [ ] , " = =~ ! by on bool offset @ sum rate and 5m - + ^ group_left # \\ ` : ~ é 0x 1e $ ;'
_PIECES = (*_WORDS.split(" "), "\n")


def mistyped(rng: random.Random, query: Node) -> Node:
    """With one part replaced by something of another type, which need not make it wrong."""
    parts = list(query.parts())
    return _replaced(query, rng.randrange(len(parts)), rng)


def damaged(rng: random.Random, text: str) -> str:
    """With a piece of the text left out, moved, put twice or put in."""
    start = rng.randrange(len(text))
    end = min(len(text), start + rng.choice([1, 1, 2, 5]))
    piece = text[start:end]
    choice = rng.random()
    if choice < 0.4:
        return text[:start] + text[end:]
    if choice < 0.7:
        return text[:start] + rng.choice(_PIECES) + text[start:]
    if choice < 0.85:
        return text[:end] + piece + text[end:]
    at = rng.randrange(len(text))
    return text[:at] + piece + text[at:]


def _replaced(node: Node, place: int, rng: random.Random) -> Node:
    """The part at `place`, counted as `parts` gives them, is another."""
    if place == 0:
        kind = rng.choice([kind for kind in _OF_KIND if kind != node.kind])
        return Node(kind, _OF_KIND[kind], lambda: Traits(exact=False))
    place -= 1
    for index, child in enumerate(node.children):
        size = child.size
        if place < size:
            children = (*node.children[:index], _replaced(child, place, rng), *node.children[index + 1 :])
            return replace(node, children=children)
        place -= size
    raise IndexError(place)
