"""Membership of one process: members and leases in memory."""

from dataclasses import dataclass, replace

from shared.clock import Clock
from shared.errors import ConflictError
from shared.seams.membership import Lease, Member


@dataclass(frozen=True, slots=True)
class _Announced:
    member: Member
    expires_ms: int


class LocalMembership:
    """`shared.seams.membership.Membership`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._members: dict[str, _Announced] = {}
        self._leases: dict[tuple[str, int], Lease] = {}

    async def announce(self, member: Member, *, ttl_ms: int) -> Member:
        now_ms = self._clock.now_ms()
        held = self._members.get(member.name)
        since_ms = now_ms
        if held is not None and held.expires_ms > now_ms:
            if held.member.nonce != member.nonce:
                raise ConflictError(
                    f"the name {member.name} is taken by the process at {held.member.address}, which is alive: "
                    "stop it, or give this one another name"
                )
            since_ms = held.member.since_ms
        announced = replace(member, since_ms=since_ms)
        self._members[member.name] = _Announced(announced, now_ms + ttl_ms)
        return announced

    async def withdraw(self, member: Member) -> None:
        held = self._members.get(member.name)
        if held is not None and held.member.nonce == member.nonce:
            del self._members[member.name]

    async def members(self) -> list[Member]:
        now_ms = self._clock.now_ms()
        return [held.member for _, held in sorted(self._members.items()) if held.expires_ms > now_ms]

    async def now_ms(self) -> int:
        return self._clock.now_ms()

    async def acquire(self, partition: int, *, member: Member, ttl_ms: int) -> Lease | None:
        wanted = Lease(partition, member.zone, member.name, member.nonce, member.address, 0)
        return await self.renew(wanted, ttl_ms=ttl_ms)

    async def renew(self, lease: Lease, *, ttl_ms: int) -> Lease | None:
        held = self._leases.get((lease.zone, lease.partition))
        now_ms = self._clock.now_ms()
        if held is not None and held.nonce != lease.nonce and held.expires_ms > now_ms:
            return None
        renewed = self._leases[lease.zone, lease.partition] = replace(lease, expires_ms=now_ms + ttl_ms)
        return renewed

    async def release(self, lease: Lease) -> None:
        held = self._leases.get((lease.zone, lease.partition))
        if held is not None and held.nonce == lease.nonce:
            del self._leases[lease.zone, lease.partition]

    async def leases(self, zone: str | None = None) -> list[Lease]:
        now_ms = self._clock.now_ms()
        standing = [lease for _, lease in sorted(self._leases.items()) if lease.expires_ms > now_ms]
        return [lease for lease in standing if zone in (None, lease.zone)]
