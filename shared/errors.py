"""Kinds of failure, few and closed; each edge maps a kind to its status in one place.

HeadraceError
├── BadDataError        400  the request is wrong and will stay wrong
│   ├── TooLargeError   413
│   └── UnsupportedTypeError 415
├── UnauthorizedError   401
├── NotFoundError       404
├── ConflictError       409
├── ExecutionError      422  the expression cannot be executed
├── LimitedError        429  wait and try again
├── TimedOutError       503  the deadline passed
├── UnavailableError    503  something needed is away, or still replaying
└── InternalError       500  a bug or damaged storage
"""

from typing import ClassVar


class HeadraceError(Exception):
    """`error_type` is Prometheus's `errorType`; `status` the HTTP status."""

    error_type: ClassVar[str] = "internal"
    status: ClassVar[int] = 500


class BadDataError(HeadraceError):
    error_type = "bad_data"
    status = 400


class TooLargeError(BadDataError):
    status = 413


class UnsupportedTypeError(BadDataError):
    status = 415


class UnauthorizedError(HeadraceError):
    error_type = "unauthorized"
    status = 401


class NotFoundError(HeadraceError):
    error_type = "not_found"
    status = 404


class ConflictError(HeadraceError):
    error_type = "conflict"
    status = 409


class ExecutionError(HeadraceError):
    error_type = "execution"
    status = 422


class LimitedError(HeadraceError):
    error_type = "limited"
    status = 429

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TimedOutError(HeadraceError):
    error_type = "timeout"
    status = 503


class UnavailableError(HeadraceError):
    error_type = "unavailable"
    status = 503

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class InternalError(HeadraceError):
    pass
