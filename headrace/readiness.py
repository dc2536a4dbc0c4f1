"""Whether the server can do its job, and what is missing if not."""

from collections.abc import Callable
from typing import Any

from shared.asgi.envelope import to_json
from shared.asgi.messages import TEXT, Request, Response, text
from shared.asgi.router import Handler, Route
from shared.errors import UnavailableError


class Readiness:
    """`missing` is None once requests are served; a function, because progress moves while it is looked at."""

    def __init__(self) -> None:
        self._missing: Callable[[], str | None] = lambda: "starting"
        self._stopping = False
        self._notes: list[str] = []

    def note(self, text: str) -> None:
        """What an operator has agreed to and should not forget: `/ready` tells it."""
        if text not in self._notes:
            self._notes.append(text)

    def waits_for(self, missing: Callable[[], str | None]) -> None:
        self._missing = missing

    def stop(self) -> None:
        self._stopping = True

    @property
    def missing(self) -> str | None:
        return "stopping" if self._stopping else self._missing()

    def check(self) -> None:
        """Raises UnavailableError."""
        missing = self.missing
        if missing is not None:
            raise UnavailableError(f"not ready: {missing}", retry_after_s=2)

    def routes(self) -> dict[str, Route]:
        """Open to everybody: probes have no credentials."""

        def both(handler: Handler) -> Route:
            return Route("health", {"GET": handler, "HEAD": handler}, public=False, early=True)

        return {
            "/ready": both(self._ready),
            "/healthz": both(self._healthy),
            "/-/ready": both(self._prometheus_ready),
            "/-/healthy": both(self._prometheus_healthy),
        }

    async def _ready(self, _: Request) -> Response:
        return self.answer(self.missing)

    def answer(self, missing: str | None) -> Response:
        """Of `/ready`."""
        told: dict[str, Any] = {"status": "ready"} if missing is None else {"status": "not ready", "missing": missing}
        if self._notes:
            told["notes"] = self._notes
        return Response(200 if missing is None else 503, to_json(told))

    async def _healthy(self, _: Request) -> Response:
        return Response(200, to_json({"status": "ok"}))

    async def _prometheus_ready(self, _: Request) -> Response:
        if self.missing is None:
            return text("Headrace is Ready.\n")
        stopping = b"true" if self._stopping else b"false"
        return Response(503, b"Service Unavailable", TEXT, [(b"x-prometheus-stopping", stopping)])

    async def _prometheus_healthy(self, _: Request) -> Response:
        return text("Headrace is Healthy.\n")
