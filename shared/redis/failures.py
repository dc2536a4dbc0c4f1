"""What Redis answers when it cannot do what was asked, as kinds of failure."""

from redis import exceptions

from shared.errors import HeadraceError, InternalError, UnavailableError

REDIRECTED = (exceptions.MovedError, exceptions.AskError)
"""The key lives on another node; MovedError is an AskError."""

_NOT_DONE = (
    exceptions.BusyLoadingError,
    exceptions.ClusterDownError,
    exceptions.TryAgainError,
    exceptions.ReadOnlyError,
)

LOST = (exceptions.ConnectionError, exceptions.TimeoutError, OSError)
"""The connection failed. What had been sent may have been done."""


def is_not_done(error: Exception) -> bool:
    """Whether the answer says: not done, and soon perhaps otherwise (a start, a fail-over, slots that move)."""
    # The last is what a script that only reads gets for a key that has moved ahead of its slot.
    return isinstance(error, _NOT_DONE) or "access a non local key" in str(error)


def translated(error: Exception, address: str) -> HeadraceError:
    """The failure to raise for an error that no repetition has mended."""
    match error:
        case HeadraceError():
            return error
        case exceptions.OutOfMemoryError():
            return UnavailableError(
                f"Redis at {address} is full: its memory has reached maxmemory. Nothing is lost, the log keeps what "
                "cannot be stored. Give it more (redis-cli CONFIG SET maxmemory 8gb, and the same in redis.conf), "
                "or keep blocks for a shorter time (ingester.retention_s)",
                retry_after_s=10,
            )
        case exceptions.AuthenticationError() | exceptions.AuthorizationError():
            return UnavailableError(
                f"Redis at {address} refuses the credentials ({error}): check redis.user and redis.password",
                retry_after_s=10,
            )
        case exceptions.NoPermissionError():
            return UnavailableError(f"Redis at {address} forbids what Headrace needs: {error}", retry_after_s=10)
        case exceptions.BusyLoadingError():
            return UnavailableError(f"Redis at {address} is loading its data", retry_after_s=2)
        case exceptions.ReadOnlyError():
            return UnavailableError(f"Redis at {address} is a replica: name the leader", retry_after_s=2)
        case exceptions.ClusterDownError() | exceptions.TryAgainError() | exceptions.AskError():
            return UnavailableError(f"the Redis Cluster is not whole, seen from {address}: {error}", retry_after_s=2)
        case exceptions.ConnectionError() | exceptions.TimeoutError() | OSError():
            return UnavailableError(f"Redis at {address} cannot be reached: {error}")
        case exceptions.ResponseError() if str(error).startswith(("MISCONF", "NOREPLICAS", "BUSY", "MASTERDOWN")):
            return UnavailableError(f"Redis at {address} takes no writes: {error}", retry_after_s=10)
        case _:
            return InternalError(f"Redis at {address}: {type(error).__name__}: {error}")
