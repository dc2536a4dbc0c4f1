"""The registry seam: instances and the facts fixed when a cluster is created. Standalone: a journal. Cluster: Redis."""

import secrets
from dataclasses import dataclass, field
from typing import Protocol

from shared.model.instance import Instance


@dataclass(frozen=True, slots=True)
class Cluster:
    """Fixed at creation. `hash_secret` keys the series hash."""

    cluster_id: str
    partitions: int
    hash_secret: bytes = field(repr=False)

    @classmethod
    def new(cls, partitions: int) -> "Cluster":
        return cls(secrets.token_hex(8), partitions, secrets.token_bytes(16))


class Registry(Protocol):
    @property
    def version(self) -> int:
        """Rises with every change of an instance that this process has learnt of: what was cached before is stale."""
        ...

    @property
    def size(self) -> int:
        """How many instances this process knows."""
        ...

    async def cluster(self) -> Cluster: ...

    async def pin(self, fact: str, value: str) -> str:
        """Sets a fact of the cluster, such as which topic is its log, unless it is set; what stands afterwards."""
        ...

    async def pinned(self, fact: str) -> str | None:
        """What stands; None before anybody has set it."""
        ...

    async def instances(self) -> list[Instance]:
        """Sorted by name."""
        ...

    async def by_app_id(self, app_id: str) -> Instance | None: ...

    async def by_token_sha256(self, digest: bytes) -> Instance | None: ...

    async def create(self, instance: Instance) -> bool:
        """False if the name or token is taken."""
        ...

    async def update(self, old: Instance, new: Instance) -> bool:
        """Compare-and-set on the whole record; False if `old` no longer stands. Name and uid stay."""
        ...

    async def delete(self, instance: Instance) -> bool:
        """False if `instance` no longer stands. Its uid is listed by `deleted_uids` until `purged`."""
        ...

    async def deleted_uids(self) -> list[bytes]:
        """Uids whose data is to be removed."""
        ...

    async def purged(self, uid: bytes) -> None:
        """Nothing of a deleted uid is left."""
        ...

    async def close(self) -> None: ...
