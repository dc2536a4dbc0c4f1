"""One request and one response."""

from dataclasses import dataclass, field

from shared.asgi.types import Headers, Receive, Scope
from shared.errors import TooLargeError

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete; nobody can read an answer."""


class Request:
    """The parts of a request that our routes look at."""

    __slots__ = ("failure_headers", "headers", "method", "path", "query_string", "raw_path", "receive")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.raw_path: bytes = scope.get("raw_path") or self.path.encode()  # as sent, percent-encoded
        self.query_string: bytes = scope["query_string"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])  # names in lower case, as ASGI has them
        self.receive = receive
        self.failure_headers: Headers = []  # of the answer if its handler raises

    @property
    def declared_bytes(self) -> int | None:
        """What Content-Length says; None without it, or if it is no number."""
        declared = self.headers.get(b"content-length")
        return int(declared[:20]) if declared is not None and declared.isdigit() else None

    async def body(self, limit: int, name: str = "") -> bytes:
        """All of it. Raises TooLargeError once it is known to pass `limit` bytes, ClientGoneError if it ends early.
        `name`: the limit's, if it can be set.
        """
        if (declared := self.declared_bytes or 0) > limit:
            raise _too_large(limit, name, f"it has {declared}")
        message = await self.receive()
        if not message.get("more_body") and message["type"] == "http.request":
            whole: bytes = message.get("body", b"")
            if len(whole) > limit:
                raise _too_large(limit, name, f"it has {len(whole)}")
            return whole
        parts: list[bytes] = []
        size = 0
        while True:
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            part: bytes = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise _too_large(limit, name, f"{size} have come, and it goes on")
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)
            message = await self.receive()


def _too_large(limit: int, name: str, seen: str) -> TooLargeError:
    return TooLargeError(f"request body exceeds the {limit} bytes limit{name and f' {name}'}: {seen}")


@dataclass(slots=True)
class Response:
    status: int
    body: bytes = b""
    content_type: bytes | None = JSON
    headers: Headers = field(default_factory=list)


def text(body: str, status: int = 200) -> Response:
    return Response(status, body.encode(), TEXT)
