"""The tree of a random query, and what is known of the values at each of its nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["vector", "scalar", "matrix", "string"]
Counter: TypeAlias = Literal["no", "plain", "any"]

RELATIVE = 1e-9
"""How far two engines may be apart where they round in another order. A sum of some hundred values of one sign is off
by 1e-14 at most; libraries of transcendental functions differ by a few units in the last place, and `exp` and `^`
multiply what is already there by their exponent, which is below 1e4 wherever they are finite.
"""
ABSOLUTE = 1e-11
"""The same where values may cancel, as a share of the largest value that went in."""


@dataclass(frozen=True)
class Traits:
    """What holds for every value of an expression.

    exact: engines agree to the last bit, because nothing was rounded in an order that is theirs to choose
    grid: values are multiples of 1/64 below 2^50 (or not finite), so that sums of them are exact in any order
    scale: no finite value is larger; inf where that is not known
    slack: how far values that are not exact may be apart besides `RELATIVE`, because larger ones cancelled
    finite, positive: no NaN and no Inf; none below zero, and no -0
    distinct: no two are alike at any time, so that their order is defined
    sure: the sign of a zero does not hang on the order in which an engine reads series
    counter: "any": may be given to `rate` whatever is missing; "plain": only as a selector; "no": not at all
    """

    exact: bool = True
    grid: bool = False
    scale: float = math.inf
    slack: float = 0.0
    finite: bool = False
    positive: bool = False
    distinct: bool = False
    sure: bool = True
    counter: Counter = "no"

    @property
    def summable(self) -> bool:
        """Adding such values loses nothing, or no more than the tolerances allow."""
        return self.grid or self.positive or not math.isinf(self.scale)

    def agree(self, left: float, right: float) -> bool:
        if math.isnan(left) or math.isnan(right):
            return math.isnan(left) and math.isnan(right)
        return left == right or (not self.exact and math.isclose(left, right, rel_tol=RELATIVE, abs_tol=self.slack))

    def changed(self, **changes: object) -> Traits:
        """Not distinct and no counter any more, and what else is said."""
        return replace(self, **{"distinct": False, "counter": "no", **changes})  # type: ignore[arg-type]


_SQUARABLE = 1e100


@dataclass(frozen=True)
class Need:
    """What an operator wants of its operand so that engines can be compared. `scaled`: squares are finite."""

    exact: bool = False
    finite: bool = False
    positive: bool = False
    distinct: bool = False
    sure: bool = False
    summable: bool = False
    scaled: bool = False
    counter: bool = False

    def met_by(self, traits: Traits) -> bool:
        return (
            (traits.exact or not self.exact)
            and (traits.finite or not self.finite)
            and (traits.positive or not self.positive)
            and (traits.distinct or not self.distinct)
            and (traits.sure or traits.positive or not self.sure)
            and (traits.summable or not self.summable)
            and (traits.scale < _SQUARABLE or not self.scaled)
            and (traits.counter != "no" or not self.counter)
        )


NOTHING = Need()
Rule: TypeAlias = Callable[..., Traits]


@dataclass(frozen=True)
class Node:
    """`form` with a `{}` for each child. `rule` gives the traits from those of the children."""

    kind: Kind
    form: str
    rule: Rule
    children: tuple[Node, ...] = ()
    needs: tuple[Need, ...] = ()

    @property
    def text(self) -> str:
        parts = self.form.split("{}")
        texts = [child.text for child in self.children]
        assert len(parts) == len(texts) + 1, self.form
        return "".join(part + text for part, text in zip(parts, [*texts, ""], strict=True))

    @property
    def traits(self) -> Traits:
        traits: Traits = self.rule(*(child.traits for child in self.children))
        return traits

    @property
    def size(self) -> int:
        return 1 + sum(child.size for child in self.children)

    def is_sound(self) -> bool:
        """Whether every operand is what its operator needs, which replacing parts may have undone."""
        needs = self.needs or (NOTHING,) * len(self.children)
        return all(
            need.met_by(child.traits) and child.is_sound() for need, child in zip(needs, self.children, strict=True)
        )

    def parts(self) -> Iterator[Node]:
        """This node and all below it."""
        yield self
        for child in self.children:
            yield from child.parts()

    def variants(self, leaves: Sequence[Node]) -> Iterator[Node]:
        """The same with one part replaced by a smaller one of its kind: something below it, or one of `leaves`."""
        for part in self.parts():
            if part is not self and part.kind == self.kind:
                yield part
        for leaf in leaves:
            if leaf.kind == self.kind and leaf.size < self.size:
                yield leaf
        for place, child in enumerate(self.children):
            for variant in child.variants(leaves):
                yield replace(self, children=(*self.children[:place], variant, *self.children[place + 1 :]))
