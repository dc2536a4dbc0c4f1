"""The membership seam: who owns which partition in a zone. Leases only share out work; nothing's correctness hangs on
them.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Lease:
    partition: int
    zone: str
    owner: str
    nonce: str
    expires_ms: int


class Membership(Protocol):
    async def acquire(self, partition: int, *, zone: str, owner: str, nonce: str, ttl_ms: int) -> Lease | None:
        """None while another nonce holds it."""
        ...

    async def renew(self, lease: Lease, *, ttl_ms: int) -> Lease | None:
        """None once another nonce holds it."""
        ...

    async def release(self, lease: Lease) -> None: ...

    async def leases(self, zone: str) -> list[Lease]: ...
