"""A server without its HTTP edge whose store is on Redis."""

from dataclasses import dataclass, field
from typing import Any

from querier.storage import Storage
from shared.redis.client import Client
from shared.redis.store import RedisStore
from tests.support.world import World


@dataclass
class RedisWorld(World):
    """Log and registry on files, the store on Redis."""

    client: Client = field(kw_only=True)

    def open_store(self) -> Any:
        return RedisStore(self.client)

    def new_storage(self) -> Storage:
        return Storage(
            log=self.log,
            store=self.store,
            client=self.ingester.client(),
            partitions_of=self.splitter.partitions_of,
            clock=self.clock,
        )
