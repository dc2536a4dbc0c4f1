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
from headrace.front import Front
from headrace.instances import Instances
from headrace.roles.standalone import Standalone
from headrace.settings import load
from headrace.standalone import first_instance, open_core
from shared.clock import Clock, SystemClock
from tests.support import remote_write

ADMIN = "admin-token-0123456789"
ADMIN_HEADER = {"X-Headrace-Admin": ADMIN}

SNAPPY = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}


@dataclass(frozen=True)
class Server:
    """Seen with the credentials of one of its instances."""

    front: Front
    core: Core
    roles: Standalone
    client: httpx.AsyncClient
    app_id: str
    token: str

    @property
    def instances(self) -> Instances:
        return self.front.known_instances()

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def basic(self) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(f"{self.app_id}:{self.token}".encode()).decode()}

    async def fresh(self) -> "Server":
        """The same server with a new, empty instance: tests that share a server share nothing else."""
        instance, token = await self.instances.create()
        return replace(self, app_id=instance.app_id, token=token)

    async def set_features(self, **features: bool) -> None:
        path = f"/api/v1/admin/instances/{self.app_id}/features"
        answer = await self.client.patch(path, json=features, headers=ADMIN_HEADER)
        assert answer.status_code == 200, answer.text

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
    front = Front(settings, clock or SystemClock(), AdminGate(ADMIN))
    core = await open_core(front)
    instances = front.known_instances()
    instance, _ = await first_instance(instances, settings)
    roles = await Standalone.open(front, core)
    try:
        routes = roles.routes()
        front.router.add(routes.exact, routes.patterns)
        front.readiness.waits_for(roles.missing)
        await roles.ingester.ingester.ready()
        transport = httpx.ASGITransport(front.router)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://headrace") as client:
            yield Server(front, core, roles, client, instance.app_id, instances.token_of(instance))
    finally:
        await roles.close(asyncio.Event())
        await core.registry.close()
