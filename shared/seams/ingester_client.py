"""How a querier reaches the heads. Standalone: a direct call. Cluster: gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.native import Names, Selection


class IngesterClient(Protocol):
    async def wait_applied(self, ends: dict[int, int], *, timeout_s: float) -> dict[int, int]:
        """Returns once every head has applied what lies below its end, or the lag in records of those that have not in
        time.
        """
        ...

    async def generation(self, partition: int) -> int:
        """The lowest directory generation that is worth reading: what is missing there may have left the head already.

        UnavailableError while the partition replays.
        """
        ...

    async def add_head(self, target: Selection | Names, partition: int, uid: bytes, *, heavy: bool = False) -> int:
        """Adds what the head holds and returns a directory generation g: every sample that is not in the directory at g
        was added.

        Blocks come first, so the caller has read a directory already; if that one is older than g, the head has let go
        of something in between, and the caller starts again with a directory of at least g. `heavy`: expect many
        series, and keep the work off the event loop.
        """
        ...

    async def metadata(self, partitions: Sequence[int], uid: bytes) -> dict[str, tuple[int, str, str]]:
        """family -> (type number, help, unit)."""
        ...
