"""`X-Read-Consistency`: whether an answer waits for what was acknowledged before it was asked for."""

from querier.storage import Consistency
from shared.asgi.messages import Request
from shared.errors import BadDataError


def consistency_of(request: Request) -> Consistency:
    """Raises BadDataError for a level that does not exist."""
    value = request.headers.get(b"x-read-consistency")
    if value is None:
        return Consistency.DEFAULT
    try:
        return Consistency(value.decode("latin-1").strip().lower())
    except ValueError:
        levels = ", ".join(level.value for level in Consistency)
        raise BadDataError(f"X-Read-Consistency is one of {levels}") from None
