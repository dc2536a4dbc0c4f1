"""The paths of the distributor."""

from distributor.importing import ImportHandler
from distributor.inflight import Inflight
from distributor.intake import Intake
from distributor.push import PushHandler, PushSettings
from distributor.write import WriteHandler
from shared.asgi.router import Route
from shared.auth.authenticator import Authenticator


def routes(
    authenticator: Authenticator, intake: Intake, *, max_inflight_bytes: int, push: PushSettings
) -> tuple[dict[str, Route], dict[tuple[str, str], Route]]:
    """Exact paths, and those that go on behind a prefix as (prefix, "")."""
    inflight = Inflight(max_inflight_bytes, intake.metrics)
    handler = WriteHandler(authenticator, intake, inflight)
    write = Route("write", {"POST": handler}, public=False)
    importing = ImportHandler(authenticator, intake, inflight)
    pushing = PushHandler(authenticator, intake, inflight, push)
    exact = {
        "/api/v1/prom/write": write,
        "/api/v1/write": write,
        "/api/v1/import/prometheus": Route("import", {"POST": importing}, public=False),
        "/api/v1/status/rejections": Route("status", {"GET": handler.rejections}),
    }
    return exact | pushing.routes(), pushing.patterns()
