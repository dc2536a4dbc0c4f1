"""How asking may fail."""


class QueryError(Exception):
    """What went wrong and what to do."""
