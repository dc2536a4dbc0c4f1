"""What operators ask of the roles."""

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

from headrace.admin_token import HEADER, AdminGate
from headrace.front import Front
from headrace.roles.running import Routes
from headrace.usage import Usages
from shared.asgi.envelope import success, to_json
from shared.asgi.messages import Request, Response
from shared.asgi.router import Route
from shared.auth.authenticator import Authenticator


def flush_route(gate: AdminGate, flush: Callable[[], Awaitable[None]]) -> Routes:
    async def handle(request: Request) -> Response:
        gate.check(request.headers.get(HEADER))
        await flush()
        return Response(204, b"", None)

    return Routes({"/api/v1/admin/flush": Route("admin", {"POST": handle}, public=False)})


def usage_route(front: Front, usages: Usages) -> Routes:
    """Of all instances, or of the one that `app_id` names."""

    async def handle(request: Request) -> Response:
        front.gate.check(request.headers.get(HEADER))
        wanted = parse_qs(request.query_string.decode("latin-1")).get("app_id")
        known = front.known_instances()
        instances = await known.every() if wanted is None else [await known.named(wanted[-1])]
        rows = [
            {
                "app_id": instance.app_id,
                "active_series": usage.active_series,
                "samples_per_second": usage.samples_per_second,
                "stored_bytes": usage.stored_bytes,
            }
            for instance, usage in zip(instances, await usages.of(instances), strict=True)
        ]
        return success(to_json(rows))

    return Routes({"/api/v1/admin/usage": Route("admin", {"GET": handle}, public=False)})


def own_usage_route(authenticator: Authenticator, usages: Usages) -> Routes:
    """Of the caller."""

    async def handle(request: Request) -> Response:
        instance = await authenticator.authenticate(request.headers.get(b"authorization"))
        [usage] = await usages.of([instance])
        answer = {
            "activeSeries": usage.active_series,
            "samplesPerSecond": usage.samples_per_second,
            "storedBytes": usage.stored_bytes,
        }
        return success(to_json(answer))

    return Routes({"/api/v1/status/usage": Route("status", {"GET": handle})})
