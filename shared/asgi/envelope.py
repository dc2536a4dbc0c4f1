"""Prometheus's JSON envelope. `data` comes as bytes and is joined in, never parsed."""

import json
from collections.abc import Iterable
from typing import Any

from shared import native
from shared.asgi.messages import Response
from shared.errors import HeadraceError, LimitedError, UnauthorizedError, UnavailableError

MAX_NOTES = 10
"""Warnings and infos that an answer lists; the rest is counted in one last entry."""

_CHALLENGE = (b"www-authenticate", b'Basic realm="headrace", charset="UTF-8", Bearer realm="headrace"')

_NATIVE_KINDS: tuple[tuple[type[Exception], str, int], ...] = (
    (native.TooLargeError, "bad_data", 413),
    (native.BadDataError, "bad_data", 400),
    (native.ExecutionError, "execution", 422),
    (native.CanceledError, "canceled", 503),
)


def to_json(value: Any) -> bytes:
    """Compact JSON in UTF-8; a lone surrogate, which UTF-8 cannot hold, becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def success(*data: bytes, warnings: Iterable[str] = (), infos: Iterable[str] = ()) -> Response:
    """200 with `data`, given in parts, as it is."""
    parts = [b'{"status":"success","data":', *data]
    if warnings := _capped(warnings, "warning"):
        parts += [b',"warnings":', to_json(warnings)]
    if infos := _capped(infos, "info"):
        parts += [b',"infos":', to_json(infos)]
    parts.append(b"}")
    return Response(200, b"".join(parts))


def failure(status: int, error_type: str, message: str) -> Response:
    """Never carries warnings, as with Prometheus."""
    return Response(status, to_json({"status": "error", "errorType": error_type, "error": message}))


def failure_of(error: Exception) -> Response | None:
    """The answer to an expected error; None for a bug, whose text belongs in the log and not in an answer."""
    if isinstance(error, HeadraceError):
        if type(error) is HeadraceError or error.status == 500:
            return failure(500, "internal", str(error))
        response = failure(error.status, error.error_type, str(error))
        if isinstance(error, UnauthorizedError):
            response.headers.append(_CHALLENGE)
        elif isinstance(error, LimitedError | UnavailableError):
            response.headers.append((b"retry-after", b"%d" % error.retry_after_s))
        return response
    for kind, error_type, status in _NATIVE_KINDS:
        if isinstance(error, kind):
            return failure(status, error_type, str(error))
    if isinstance(error, native.CorruptError | native.UnsupportedError):
        return failure(500, "internal", str(error))
    return None


def _capped(notes: Iterable[str], noun: str) -> list[str]:
    """Without repetitions, sorted, at most MAX_NOTES and one that counts the rest."""
    ordered = sorted(set(notes))
    if len(ordered) <= MAX_NOTES:
        return ordered
    return [*ordered[:MAX_NOTES], f"{len(ordered) - MAX_NOTES} more {noun} annotations omitted"]
