"""What every process serves, whatever its role: probes, metrics, administration."""

import asyncio

from headrace.admin_token import HEADER, AdminGate
from headrace.instances import Instances
from headrace.observe import observe_process
from headrace.readiness import Readiness
from headrace.settings import Settings, hidden_settings
from shared.asgi.envelope import failure_of
from shared.asgi.messages import ClientGoneError, Request, Response, text
from shared.asgi.router import HttpMetrics, Route, Router, send_response
from shared.asgi.types import App, Message, Receive, Scope, Send
from shared.clock import Clock
from shared.errors import NotFoundError, TooLargeError, UnauthorizedError, UnavailableError
from shared.telemetry.catalogue import Catalogue
from shared.telemetry.metrics import CONTENT_TYPE, render

MAX_ADMIN_BYTES = 1 << 20

ADMIN_PREFIXES = ("/api/v1/admin/instances", "/config")

WELCOME = """Headrace

/api/v1/query, /api/v1/query_range …   ask, with an instance's credentials
/api/v1/prom/write                     remote write, likewise
/ready, /healthz, /metrics             how the server does
"""
"""Says nothing that needs a credential; clients that test a connection ask for `/` and want a 200."""


class Front:
    """Served from the first moment on. The roles' own routes are added once they can be served, and instances can be
    administered once `instances` is set.
    """

    def __init__(self, settings: Settings, clock: Clock, gate: AdminGate, *, administers: bool = True) -> None:
        """`administers`: instances, that is; the settings are shown everywhere."""
        self.settings = settings
        self.clock = clock
        self.gate = gate
        self._administers = administers
        self.started_ms = clock.now_ms()
        self.metrics = Catalogue()
        self.readiness = Readiness()
        self.instances: Instances | None = None
        observe_process(self.metrics, self.started_ms)
        own = {
            "/": Route("root", {"GET": _welcome, "HEAD": _welcome}, public=False, early=True),
            "/metrics": Route("metrics", {"GET": self._show_metrics}, early=True),
        }
        self.router = Router(
            self.readiness.routes() | own,
            fallback=LazyAdmin(self),
            fallback_prefixes=ADMIN_PREFIXES,
            metrics=HttpMetrics(self.metrics.http_requests, self.metrics.http_seconds),
            check_ready=self.readiness.check,
        )

    def known_instances(self) -> Instances:
        """UnavailableError before they are known; NotFoundError where nobody administers."""
        if not self._administers:
            raise NotFoundError("instances are administered at a distributor or a querier")
        if self.instances is None:
            raise UnavailableError(f"not ready: {self.readiness.missing}", retry_after_s=2)
        return self.instances

    async def _show_metrics(self, _: Request) -> Response:
        return Response(200, render(self.metrics.families()), CONTENT_TYPE)


async def _welcome(_: Request) -> Response:
    return text(WELCOME)


class LazyAdmin:
    """FastAPI takes 0.3 s of CPU and some 20 MB to load: that is done when somebody administers, and in a thread."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._loading: asyncio.Task[App] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """FastAPI reads a body, however long, before it looks at credentials: so both are looked at here first."""
        request = Request(scope, receive)
        try:
            self._front.gate.check(request.headers.get(HEADER))
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

        front = self._front
        app: App = create_app(front.known_instances, front.gate, hidden_settings(front.settings))
        return app
