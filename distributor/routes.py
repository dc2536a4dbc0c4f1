"""The paths of the distributor."""

from distributor.importing import ImportHandler
from distributor.inflight import Inflight
from distributor.intake import Intake
from distributor.write import WriteHandler
from shared.asgi.router import Route
from shared.auth.authenticator import Authenticator


def routes(authenticator: Authenticator, intake: Intake, *, max_inflight_bytes: int) -> dict[str, Route]:
    inflight = Inflight(max_inflight_bytes, intake.metrics)
    handler = WriteHandler(authenticator, intake, inflight)
    write = Route("write", {"POST": handler}, public=False)
    importing = ImportHandler(authenticator, intake, inflight)
    return {
        "/api/v1/prom/write": write,
        "/api/v1/write": write,
        "/api/v1/import/prometheus": Route("import", {"POST": importing}, public=False),
        "/api/v1/status/rejections": Route("status", {"GET": handler.rejections}),
    }
