"""Random queries that parse, type-check and mean something over random data, and what two engines must agree on.

    rng = random.Random(seed)
    data = Data.random(rng, base_ms)
    query = Grammar(rng, data.start_ms).query()
    query.text, query.traits.agree(ours, theirs)

A query is a tree that knows of each part what may be expected of its values: whether two engines must agree to the
last bit, and if not, by how much they may differ. Where an operator would blow such a difference up, its operands are
generated so that there is none.
"""

from tests.support.queries.data import Data
from tests.support.queries.grammar import Dialect, Grammar
from tests.support.queries.node import Node, Traits
from tests.support.queries.shrink import shrunk

__all__ = ["Data", "Dialect", "Grammar", "Node", "Traits", "shrunk"]
