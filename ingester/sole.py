"""Ownership without other members: one process has every partition."""

from collections.abc import Collection

from ingester.holdings import Holdings
from ingester.settings import IngesterSettings
from shared.clock import Clock
from shared.errors import ConflictError
from shared.seams.membership import Lease, Member, Membership


class SoleOwnership:
    """`ingester.service.Ownership`: all at once, in one replay."""

    def __init__(
        self, membership: Membership, holdings: Holdings, member: Member, *, clock: Clock, settings: IngesterSettings
    ) -> None:
        self._membership = membership
        self._holdings = holdings
        self._member = member
        self._clock = clock
        self._settings = settings
        self._leases: list[Lease] = []

    async def start(self, partitions: int) -> None:
        """ConflictError: another process owns a partition here."""
        numbers = list(range(partitions))
        for number in numbers:
            lease = await self._membership.acquire(
                number, member=self._member, ttl_ms=self._settings.ownership.lease_ms
            )
            if lease is None:
                zone = self._member.zone
                holders = {held.owner for held in await self._membership.leases(zone) if held.partition == number}
                raise ConflictError(
                    f"partition {number} of zone {zone} is held by {', '.join(sorted(holders))}: stop it first"
                )
            self._leases.append(lease)
        await self._holdings.open(numbers)

    async def tick(self) -> None:
        for index, lease in enumerate(self._leases):
            if lease.expires_ms - self._clock.now_ms() > self._settings.ownership.lease_ms // 2:
                continue
            renewed = await self._membership.renew(lease, ttl_ms=self._settings.ownership.lease_ms)
            if renewed is None:
                raise ConflictError(f"partition {lease.partition} of zone {lease.zone} was taken by another process")
            self._leases[index] = renewed

    @property
    def owned(self) -> Collection[int]:
        return self._holdings.partitions

    @property
    def maintained(self) -> Collection[int]:
        return self._holdings.partitions

    def commit_delay_s(self, number: int) -> float:
        del number  # nobody else commits, unless a test says so
        return self._settings.takeover_s or 0.0

    def missing(self) -> str | None:
        return None

    async def leave(self) -> None:
        """Nobody is there who could take anything over."""

    async def stop(self) -> None:
        for lease in self._leases:
            await self._membership.release(lease)
