"""The paths of the distributor."""

from distributor.write import WriteHandler
from shared.asgi.router import Route


def routes(handler: WriteHandler) -> dict[str, Route]:
    write = Route("write", {"POST": handler}, public=False)
    return {
        "/api/v1/prom/write": write,
        "/api/v1/write": write,
        "/api/v1/status/rejections": Route("status", {"GET": handler.rejections}),
    }
