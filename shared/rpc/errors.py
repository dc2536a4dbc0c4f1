"""Kinds of failure as gRPC statuses, and back. An unknown status: the other side cannot be relied upon now."""

import grpc

from shared.errors import (
    BadDataError,
    ExecutionError,
    HeadraceError,
    InternalError,
    TimedOutError,
    UnauthorizedError,
    UnavailableError,
)
from shared.native import (
    BadDataError as NativeBadDataError,
)
from shared.native import (
    CanceledError,
    CorruptError,
)
from shared.native import (
    ExecutionError as NativeExecutionError,
)

MAX_DETAILS_BYTES = 2000
"""gRPC escapes bytes that are not ASCII with three, and does not take trailers above 8 KB."""

_STATUSES: tuple[tuple[type[Exception], grpc.StatusCode], ...] = (
    (ExecutionError, grpc.StatusCode.FAILED_PRECONDITION),
    (NativeExecutionError, grpc.StatusCode.FAILED_PRECONDITION),
    (BadDataError, grpc.StatusCode.INVALID_ARGUMENT),
    (NativeBadDataError, grpc.StatusCode.INVALID_ARGUMENT),
    (ValueError, grpc.StatusCode.INVALID_ARGUMENT),  # a message whose fields make no sense
    (CanceledError, grpc.StatusCode.CANCELLED),
    (TimedOutError, grpc.StatusCode.DEADLINE_EXCEEDED),
    (UnavailableError, grpc.StatusCode.UNAVAILABLE),
    (UnauthorizedError, grpc.StatusCode.UNAUTHENTICATED),
    (CorruptError, grpc.StatusCode.DATA_LOSS),
    (InternalError, grpc.StatusCode.INTERNAL),
)

_FINAL: dict[grpc.StatusCode, type[HeadraceError]] = {
    grpc.StatusCode.FAILED_PRECONDITION: ExecutionError,
    grpc.StatusCode.INVALID_ARGUMENT: BadDataError,
}
"""What another replica would answer, too."""


def status_of(error: Exception) -> grpc.StatusCode:
    for kind, status in _STATUSES:
        if isinstance(error, kind):
            return status
    return grpc.StatusCode.INTERNAL


def details_for(error: Exception) -> str:
    """The text of an error, as much of it as goes into a call's trailer."""
    return str(error).encode()[:MAX_DETAILS_BYTES].decode(errors="ignore")


def final_error(error: grpc.RpcError) -> HeadraceError | None:
    """What the call has to end with, whoever is asked; None if another replica may do better."""
    kind = _FINAL.get(code_of(error))
    return None if kind is None else kind(details_of(error))


def code_of(error: grpc.RpcError) -> grpc.StatusCode:
    code = error.code() if isinstance(error, grpc.aio.AioRpcError) else None
    return grpc.StatusCode.UNKNOWN if code is None else code


def details_of(error: grpc.RpcError) -> str:
    """A sentence for people."""
    text = error.details() if isinstance(error, grpc.aio.AioRpcError) else None
    return text or code_of(error).name.lower().replace("_", " ")
