"""The querier: PromQL in, heads and blocks evaluated."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headrace import release
from headrace.core import Core
from headrace.observe import observe_block_cache
from headrace.roles.running import Routes
from headrace.settings import hidden_settings
from querier.api.execution import Executor
from querier.api.routes import QuerierDependencies, routes
from querier.api.status import ServerFacts
from querier.storage import Storage
from shared.seams.ingester_client import IngesterClient
from shared.seams.log import Log
from shared.seams.store import BlockStore, Directory


@dataclass(frozen=True, slots=True)
class Querier:
    routes: Routes
    executor: Executor

    @classmethod
    def of(
        cls,
        core: Core,
        *,
        log: Log,
        store: BlockStore,
        client: IngesterClient,
        partitions_of: Callable[[bytes, int], Sequence[int]],
        replay: Callable[[], tuple[int, int, int]],
        look_up: Callable[[int], Directory | None] | None = None,
    ) -> "Querier":
        """`replay`: (first, last, current) of the ingester's, where it is in this process. `look_up`: a partition's
        present directory, where the store is.
        """
        settings = core.settings
        retention_s = settings.ingester.retention_s
        storage = Storage(
            log=log,
            store=store,
            client=client,
            partitions_of=partitions_of,
            clock=core.clock,
            wait_s=settings.query.consistency_wait_s,
            retention_s=retention_s,
            cache_bytes=settings.query.cache_bytes,
            look_up=look_up,
        )
        observe_block_cache(core.metrics, storage.cache)
        executor = Executor(storage, threads=settings.query.threads, metrics=core.metrics)
        facts = ServerFacts(
            version=release(),
            started_ms=core.started_ms,
            retention="none" if retention_s is None else f"{retention_s}s",
            settings=hidden_settings(settings),
            replay=replay,
        )
        exact, patterns = routes(
            QuerierDependencies(
                authenticator=core.authenticator,
                storage=storage,
                executor=executor,
                clock=core.clock,
                metrics=core.metrics,
                facts=facts,
                partitions=core.cluster.partitions,
            ),
            timeout_s=settings.query.timeout_s,
            lookback_ms=int(settings.query.lookback_s * 1000),
        )
        return cls(Routes(exact, patterns), executor)

    def close(self) -> None:
        """Nobody asks any more."""
        self.executor.close()
