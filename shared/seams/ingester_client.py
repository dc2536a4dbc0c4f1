"""How a querier reaches the heads. Standalone: a direct call. Cluster: gRPC."""

from collections.abc import Sequence
from typing import Protocol

from shared.native import Names, Selection


class IngesterClient(Protocol):
    async def wait_applied(self, ends: dict[int, int], *, timeout_s: float) -> dict[int, int]:
        """Returns once every head has applied what lies below its end, or the lag in records of those that have not in time."""
        ...

    async def generation(self, partition: int) -> int:
        """A directory generation g: from now on the head holds every sample that is not in the directory at g."""
        ...

    async def add_head(self, target: Selection | Names, partition: int, uid: bytes) -> None:
        """Call after the blocks of the partition were read from a directory of at least `generation`."""
        ...

    async def metadata(self, partitions: Sequence[int], uid: bytes) -> dict[str, tuple[int, str, str]]: ...
