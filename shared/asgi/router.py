"""Dispatch on path and method, and what every answer has in common: errors as envelopes, CORS, compression, metrics."""

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

import structlog

from shared.asgi.envelope import failure, failure_of
from shared.asgi.messages import ClientGoneError, Request, Response
from shared.asgi.types import App, Headers, Receive, Scope, Send
from shared.telemetry.metrics import Counter, Histogram

Handler = Callable[[Request], Awaitable[Response]]

MIN_COMPRESSED_BYTES = 1400
"""What fits in one packet gains nothing from compression."""

THREAD_ABOVE_BYTES = 64 << 10
"""Compressing more takes above half a millisecond, in which the event loop would answer nobody else."""

_VARY = (b"vary", b"Accept-Encoding, Origin")
_CORS: Headers = [
    (b"access-control-allow-headers", b"Accept, Authorization, Content-Type, Origin"),
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"Date"),
]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Route:
    """`name` is what metrics call it. `public`: for browsers, with CORS and compression. `early`: before all else."""

    name: str
    methods: Mapping[str, Handler]
    public: bool = True
    early: bool = False


@dataclass(frozen=True, slots=True)
class HttpMetrics:
    requests: Counter  # route, code
    seconds: Histogram  # route


class Router:
    """An ASGI application. `fallback` gets the paths under its prefixes; `check_ready` raises while others wait."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        *,
        fallback: App,
        fallback_prefixes: tuple[str, ...],
        metrics: HttpMetrics,
        check_ready: Callable[[], None],
    ) -> None:
        self._routes = dict(routes)
        self._patterns: dict[tuple[str, str], Route] = {}
        self._fallback = fallback
        self._fallback_prefixes = fallback_prefixes
        self._metrics = metrics
        self._check_ready = check_ready

    def add(self, routes: Mapping[str, Route], patterns: Mapping[tuple[str, str], Route] | None = None) -> None:
        """`patterns` match a prefix and a suffix of the path."""
        self._routes |= routes
        self._patterns |= patterns or {}

    def paths(self) -> list[str]:
        """Every path of our own; NAME stands for what a pattern matches."""
        return [*self._routes, *(f"{prefix}NAME{suffix}" for prefix, suffix in self._patterns)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        path: str = scope["path"]
        route = self._routes.get(path) or self._by_pattern(path)
        if route is None and path.startswith(self._fallback_prefixes):
            await self._delegate(scope, receive, send, started)
            return
        request = Request(scope, receive)
        try:
            if route is None or not route.early:
                self._check_ready()
            response = await _answer(route, request) if route else self._elsewhere(request)
        except ClientGoneError:
            response = Response(499, b"", None)
        except Exception as error:  # noqa: BLE001  the edge: whatever happens, the client gets an envelope
            response = _failed(error, request)
        name = route.name if route else "unknown"
        if route is not None and route.public:
            await _dress(response, request)
        await send_response(response, send)
        self._metrics.requests.labels(name, str(response.status)).inc()
        self._metrics.seconds.labels(name).observe(time.perf_counter() - started)

    def _by_pattern(self, path: str) -> Route | None:
        for (prefix, suffix), route in self._patterns.items():
            if path.startswith(prefix) and path.endswith(suffix) and len(path) >= len(prefix) + len(suffix):
                return route
        return None

    def _elsewhere(self, request: Request) -> Response:
        """A path with doubled or trailing slashes is sent to the clean one, as with Prometheus."""
        clean = "/" + "/".join(part for part in request.path.split("/") if part not in {"", "."})
        if clean != request.path and (clean in self._routes or self._by_pattern(clean)):
            query = b"?" + request.query_string if request.query_string else b""
            moved = Response(301 if request.method == "GET" else 308, b"", None)
            moved.headers.append((b"location", quote(clean).encode() + query))
            return moved
        return failure(404, "not_found", f"404 page not found: {request.path[:200]}")

    async def _delegate(self, scope: Scope, receive: Receive, send: Send, started: float) -> None:
        status = 500

        async def observe(message: dict[str, object]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(str(message["status"]))
            await send(message)

        try:
            await self._fallback(scope, receive, observe)  # type: ignore[arg-type]
        except Exception:  # its own answer, if any, is on the way; what is left is to say so in the log
            log.exception("request_failed", path=scope["path"], method=scope["method"])
            if status == 500:
                raise
        finally:
            self._metrics.requests.labels("admin", str(status)).inc()
            self._metrics.seconds.labels("admin").observe(time.perf_counter() - started)


async def _answer(route: Route, request: Request) -> Response:
    handler = route.methods.get(request.method)
    if handler is not None:
        return await handler(request)
    if request.method == "OPTIONS":
        return Response(204, b"", None)
    response = failure(405, "bad_data", f"Method Not Allowed: {request.method}, use {' or '.join(route.methods)}")
    response.headers.append((b"allow", ", ".join([*route.methods, "OPTIONS"]).encode()))
    return response


def _failed(error: Exception, request: Request) -> Response:
    response = failure_of(error)
    if response is None:
        log.exception("request_failed", path=request.path, method=request.method)
        response = failure(500, "internal", "an error inside Headrace; its log has the details")
    elif response.status == 500:
        log.error("request_failed", path=request.path, method=request.method, error=str(error))
    response.headers += request.failure_headers
    return response


async def _dress(response: Response, request: Request) -> None:
    response.headers.append(_VARY)
    if b"origin" in request.headers:
        response.headers += _CORS
    accepted = request.headers.get(b"accept-encoding")
    if accepted is None or len(response.body) < MIN_COMPRESSED_BYTES:
        return
    if len(response.body) > THREAD_ABOVE_BYTES:
        await asyncio.to_thread(compress, response, accepted)
    else:
        compress(response, accepted)


def compress(response: Response, accepted: bytes) -> None:
    """As Prometheus reads the header: the first exact `gzip` or `deflate` counts, qualities are not looked at."""
    for token in accepted.split(b","):
        coding = token.strip()
        if coding in {b"gzip", b"deflate"}:
            response.body = zlib.compress(response.body, 1, zlib.MAX_WBITS | (16 if coding == b"gzip" else 0))
            response.headers.append((b"content-encoding", coding))
            return


async def send_response(response: Response, send: Send) -> None:
    """All of it at once."""
    headers = response.headers
    if response.content_type is not None:
        headers.append((b"content-type", response.content_type))
    if response.status != 204:
        headers.append((b"content-length", b"%d" % len(response.body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
