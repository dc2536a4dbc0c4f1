"""The distributor: remote write in, log out."""

from distributor.intake import Intake, SeriesGuard
from distributor.push import PushSettings
from distributor.rates import Rates
from distributor.rejections import Rejections
from distributor.routes import routes
from headrace.core import Core
from headrace.roles.running import Routes
from headrace.settings import Settings
from shared.native import Splitter
from shared.seams.log import Log
from shared.seams.registry import Cluster


def splitter_of(settings: Settings, cluster: Cluster) -> Splitter:
    return Splitter(
        secret=cluster.hash_secret, partitions=cluster.partitions, cache_bytes=settings.write.label_cache_bytes
    )


def distributor_routes(
    core: Core, *, log: Log, splitter: Splitter, guard: SeriesGuard, rejections: Rejections, rates: Rates
) -> Routes:
    """It has no state of its own: nothing runs beside the requests, and nothing is to be closed."""
    intake = Intake(
        splitter=splitter,
        guard=guard,
        log=log,
        clock=core.clock,
        metrics=core.metrics,
        rejections=rejections,
        rates=rates,
    )
    own = core.settings.push
    exact, patterns = routes(
        core.authenticator,
        intake,
        max_inflight_bytes=core.settings.write.max_inflight_bytes,
        push=PushSettings(interval_ms=int(own.interval_s * 1000), ttl_ms=int((own.ttl_s or 0) * 1000)),
    )
    return Routes(exact, patterns)
