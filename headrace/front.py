"""The paths that every server has, whatever its roles: probes, metrics, administration."""

import asyncio

from headrace.admin_token import HEADER, AdminGate
from headrace.core import Core
from headrace.readiness import Readiness
from headrace.settings import hidden_settings
from shared.asgi.envelope import failure_of
from shared.asgi.messages import ClientGoneError, Request, Response, text
from shared.asgi.router import HttpMetrics, Route, Router, send_response
from shared.asgi.types import App, Message, Receive, Scope, Send
from shared.errors import TooLargeError, UnauthorizedError
from shared.telemetry.metrics import CONTENT_TYPE, render

MAX_ADMIN_BYTES = 1 << 20

ADMIN_PREFIXES = ("/api/v1/admin/instances", "/config")

WELCOME = """Headrace

/api/v1/query, /api/v1/query_range …   ask, with an instance's credentials
/api/v1/prom/write                     remote write, likewise
/ready, /healthz, /metrics             how the server does
"""
"""Says nothing that needs a credential; clients that test a connection ask for `/` and want a 200."""


def create_router(core: Core, readiness: Readiness, gate: AdminGate) -> Router:
    """The roles' own routes are added once they can be served."""
    metrics = core.metrics

    async def show_metrics(_: Request) -> Response:
        return Response(200, render(metrics.families()), CONTENT_TYPE)

    async def welcome(_: Request) -> Response:
        return text(WELCOME)

    own = {
        "/": Route("root", {"GET": welcome, "HEAD": welcome}, public=False, early=True),
        "/metrics": Route("metrics", {"GET": show_metrics}, early=True),
    }
    return Router(
        readiness.routes() | own,
        fallback=LazyAdmin(core, gate),
        fallback_prefixes=ADMIN_PREFIXES,
        metrics=HttpMetrics(metrics.http_requests, metrics.http_seconds),
        check_ready=readiness.check,
    )


class LazyAdmin:
    """FastAPI takes 0.3 s of CPU and some 20 MB to load: that is done when somebody administers, and in a thread."""

    def __init__(self, core: Core, gate: AdminGate) -> None:
        self._core = core
        self._gate = gate
        self._loading: asyncio.Task[App] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """FastAPI reads a body, however long, before it looks at credentials: so both are looked at here first."""
        request = Request(scope, receive)
        try:
            self._gate.check(request.headers.get(HEADER))
            body = await request.body(MAX_ADMIN_BYTES)
        except (UnauthorizedError, TooLargeError) as error:
            await send_response(failure_of(error) or Response(500), send)
            return
        except ClientGoneError:
            return
        parts = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive_whole() -> Message:
            return next(parts, None) or await receive()

        if self._loading is None:
            self._loading = asyncio.create_task(asyncio.to_thread(self._load))
        app = await asyncio.shield(self._loading)
        await app(scope, receive_whole, send)

    def _load(self) -> App:
        from headrace.admin import create_app

        app: App = create_app(self._core.instances, self._gate, hidden_settings(self._core.settings))
        return app
