"""Which fields of operators are places in the query: offsets of characters."""

PLACES = frozenset({"position", "param_position", "quantile_position"})
