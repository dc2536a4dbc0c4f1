"""A whole standalone server in the test's own process and event loop, without a socket."""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from headrace.admin_token import AdminGate
from headrace.core import Core
from headrace.front import create_router
from headrace.readiness import Readiness
from headrace.roles import Roles
from headrace.settings import load
from shared.asgi.router import Router
from shared.clock import Clock, SystemClock
from tests.support import remote_write

ADMIN = "admin-token-0123456789"
ADMIN_HEADER = {"X-Headrace-Admin": ADMIN}

SNAPPY = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}


@dataclass(frozen=True)
class Server:
    """Seen with the credentials of one of its instances."""

    core: Core
    readiness: Readiness
    roles: Roles
    router: Router
    client: httpx.AsyncClient
    app_id: str
    token: str

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def basic(self) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(f"{self.app_id}:{self.token}".encode()).decode()}

    async def fresh(self) -> "Server":
        """The same server with a new, empty instance: tests that share a server share nothing else."""
        instance, token = await self.core.instances.create()
        return replace(self, app_id=instance.app_id, token=token)

    async def set_limits(self, **limits: float | None) -> None:
        path = f"/api/v1/admin/instances/{self.app_id}/limits"
        answer = await self.client.patch(path, json=limits, headers=ADMIN_HEADER)
        assert answer.status_code == 200, answer.text

    async def write(
        self, series: Sequence[remote_write.Series] = (), headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        return await self.post_body(remote_write.body(series), headers)

    async def post_body(self, body: bytes, headers: Mapping[str, str] | None = None) -> httpx.Response:
        every = {**SNAPPY, **self.bearer, **(headers or {})}
        return await self.client.post("/api/v1/prom/write", content=body, headers=every)

    async def get(self, path: str, headers: Mapping[str, str] | None = None, **params: Any) -> httpx.Response:
        return await self.client.get(path, params=params, headers={**self.bearer, **(headers or {})})

    async def query(self, expression: str, **params: Any) -> Any:
        answer = await self.get("/api/v1/query", query=expression, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]["result"]


@asynccontextmanager
async def serving(data: Path, *, clock: Clock | None = None, **variables: str) -> AsyncIterator[Server]:
    """Ready when it is entered, drained when it is left. `variables` are settings: `QUERY__TIMEOUT_S="1"`."""
    known = {"DATA": str(data), **variables}
    settings = load(environment={f"HEADRACE_{name}": value for name, value in known.items()}).settings
    await asyncio.to_thread(data.mkdir, parents=True, exist_ok=True)
    core = await Core.open(settings, clock or SystemClock())
    instance, _ = await core.first_instance()
    readiness, gate = Readiness(), AdminGate(ADMIN)
    router = create_router(core, readiness, gate)
    roles = await Roles.open(core)
    try:
        router.add(*roles.routes(gate))
        readiness.waits_for(roles.missing)
        await roles.ingester.ready()
        transport = httpx.ASGITransport(router)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://headrace") as client:
            yield Server(core, readiness, roles, router, client, instance.app_id, core.instances.token_of(instance))
    finally:
        await roles.close(asyncio.Event())
        await core.registry.close()
