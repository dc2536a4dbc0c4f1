"""The paths of the querier."""

from dataclasses import dataclass

from querier.api.cardinality import CardinalityApi
from querier.api.execution import Executor
from querier.api.expressions import ExpressionApi
from querier.api.metadata import MetadataApi
from querier.api.pushed import PushedApi
from querier.api.query import QueryApi
from querier.api.status import ServerFacts, StatusApi
from querier.storage import Storage
from shared.asgi.router import Route
from shared.auth.authenticator import Authenticator
from shared.clock import Clock
from shared.telemetry.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class QuerierDependencies:
    authenticator: Authenticator
    storage: Storage
    executor: Executor
    clock: Clock
    metrics: Catalogue
    facts: ServerFacts
    partitions: int


def routes(
    on: QuerierDependencies, *, timeout_s: float, lookback_ms: int
) -> tuple[dict[str, Route], dict[tuple[str, str], Route]]:
    """Exact paths, and those with a name in the middle as (prefix, suffix)."""
    query = QueryApi(on.authenticator, on.executor, on.clock, on.metrics, timeout_s=timeout_s, lookback_ms=lookback_ms)
    metadata = MetadataApi(on.authenticator, on.storage, timeout_s=timeout_s)
    exact = (
        query.routes()
        | metadata.routes()
        | PushedApi(on.authenticator, on.storage, partitions=range(on.partitions), timeout_s=timeout_s).routes()
        | ExpressionApi(on.authenticator).routes()
        | StatusApi(on.authenticator, on.facts).routes()
        | CardinalityApi(on.authenticator, on.storage, on.executor, on.clock, timeout_s=timeout_s).routes()
    )
    return exact, metadata.patterns()
