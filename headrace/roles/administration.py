"""What operators ask of the roles."""

from collections.abc import Awaitable, Callable

from headrace.admin_token import HEADER, AdminGate
from headrace.roles.running import Routes
from shared.asgi.messages import Request, Response
from shared.asgi.router import Route


def flush_route(gate: AdminGate, flush: Callable[[], Awaitable[None]]) -> Routes:
    async def handle(request: Request) -> Response:
        gate.check(request.headers.get(HEADER))
        await flush()
        return Response(204, b"", None)

    return Routes({"/api/v1/admin/flush": Route("admin", {"POST": handle}, public=False)})
