"""Membership of one process: leases in memory."""

from shared.clock import Clock
from shared.seams.membership import Lease


class LocalMembership:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._leases: dict[tuple[str, int], Lease] = {}

    async def acquire(self, partition: int, *, zone: str, owner: str, nonce: str, ttl_ms: int) -> Lease | None:
        held = self._standing(zone, partition)
        if held is not None and held.nonce != nonce:
            return None
        return self._store(Lease(partition, zone, owner, nonce, self._clock.now_ms() + ttl_ms))

    async def renew(self, lease: Lease, *, ttl_ms: int) -> Lease | None:
        return await self.acquire(lease.partition, zone=lease.zone, owner=lease.owner, nonce=lease.nonce, ttl_ms=ttl_ms)

    async def release(self, lease: Lease) -> None:
        held = self._leases.get((lease.zone, lease.partition))
        if held is not None and held.nonce == lease.nonce:
            del self._leases[lease.zone, lease.partition]

    async def leases(self, zone: str) -> list[Lease]:
        standing = (
            self._standing(zone, partition) for held_zone, partition in sorted(self._leases) if held_zone == zone
        )
        return [lease for lease in standing if lease is not None]

    def _standing(self, zone: str, partition: int) -> Lease | None:
        lease = self._leases.get((zone, partition))
        return lease if lease is not None and lease.expires_ms > self._clock.now_ms() else None

    def _store(self, lease: Lease) -> Lease:
        self._leases[lease.zone, lease.partition] = lease
        return lease
