"""Who answers for which partition: the leases of all zones, looked at every second and after a failure."""

import asyncio
from collections.abc import Collection, Sequence
from time import monotonic

import structlog

from shared.errors import HeadraceError
from shared.rpc.channels import Channels
from shared.seams.membership import Lease, Membership

log = structlog.get_logger(__name__)

REFRESH_S = 1.0
AVOID_S = 2.0
"""A replica that lags, or does not serve a partition, is asked last for so long …"""

AVOID_FAILED_S = 10.0
"""… and one that did not answer at all for so long."""

REMEMBERED_S = 60.0
"""A lease that is gone, as after an outage of the store, still says for so long who may be asked."""


class Replicas:
    """While the store is away the last that was known serves: an ingester without a lease goes on answering."""

    def __init__(self, membership: Membership, channels: Channels, *, zone: str | None = None) -> None:
        """`zone`: whose replicas are asked first; None: each partition's by turns."""
        self._membership = membership
        self._channels = channels
        self._zone = zone
        self._leases: dict[int, tuple[Lease, ...]] = {}
        self._seen: dict[tuple[int, str], tuple[Lease, float]] = {}  # by partition and zone, and when
        self._avoided: dict[tuple[str, int], float] = {}  # until when, on the monotonic clock
        self._refreshing: asyncio.Task[None] | None = None
        self._is_known = False

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                await self.refresh()
            except HeadraceError as error:
                log.warning("replicas_unknown", error=str(error))
            await asyncio.sleep(REFRESH_S)

    async def refresh(self) -> None:
        """Looks at the leases now; those who call at the same time share one look."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._look())
        await asyncio.shield(self._refreshing)

    @property
    def is_known(self) -> bool:
        """Whether the leases have ever been seen."""
        return self._is_known

    @property
    def partitions(self) -> Collection[int]:
        """That somebody holds."""
        return self._leases.keys()

    @property
    def addresses(self) -> set[str]:
        """Of all who hold a partition."""
        return {lease.address for leases in self._leases.values() for lease in leases}

    def of(self, partition: int) -> Sequence[str]:
        """Addresses, the one to ask first at the front."""
        now = monotonic()
        leases = self._leases.get(partition, ())
        if len(leases) > 1 and self._zone is None and partition % 2:
            leases = leases[::-1]
        ranked = sorted(
            leases,
            key=lambda lease: (
                self._avoided.get((lease.address, partition), 0.0) > now,
                self._zone is not None and lease.zone != self._zone,
            ),
        )
        return [lease.address for lease in ranked]

    def avoid(self, address: str, partitions: Collection[int], *, has_failed: bool) -> None:
        """These could not be had there; `has_failed`: because it did not answer."""
        until = monotonic() + (AVOID_FAILED_S if has_failed else AVOID_S)
        for partition in partitions:
            self._avoided[address, partition] = until

    async def _look(self) -> None:
        standing = await self._membership.leases()
        now = monotonic()
        self._seen |= {(lease.partition, lease.zone): (lease, now) for lease in standing}
        self._seen = {key: seen for key, seen in self._seen.items() if now - seen[1] < REMEMBERED_S}
        found: dict[int, list[Lease]] = {}
        for _, (lease, _) in sorted(self._seen.items()):
            found.setdefault(lease.partition, []).append(lease)
        self._leases = {partition: tuple(leases) for partition, leases in found.items()}
        self._is_known = True
        self._avoided = {key: until for key, until in self._avoided.items() if until > now}
        self._channels.keep(self.addresses)
