"""The membership seam: which ingesters there are, and who holds which partition in a zone.

Both only share out work; nothing's correctness hangs on them. All times are the store's, never a member's.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Member:
    """An ingester that runs. `name` is its place in the cluster, which a restart takes again; `nonce` its process."""

    name: str
    zone: str
    nonce: str
    address: str  # of its gRPC server
    since_ms: int = 0  # when it announced itself, by the store's clock; what a member says of itself is ignored


@dataclass(frozen=True, slots=True)
class Lease:
    """`owner` and `address` are those of the member that holds it."""

    partition: int
    zone: str
    owner: str
    nonce: str
    address: str
    expires_ms: int


class Membership(Protocol):
    async def announce(self, member: Member, *, ttl_ms: int) -> Member:
        """Announces `member`, or renews what stands, for `ttl_ms`; returns it with its `since_ms`.

        One that was gone for longer than its time begins anew. ConflictError: another nonce has the name; the text
        gives its address.
        """
        ...

    async def withdraw(self, member: Member) -> None:
        """Frees the name if `member`'s nonce has it."""
        ...

    async def members(self) -> list[Member]:
        """Those whose time has not passed, by name."""
        ...

    async def now_ms(self) -> int:
        """The store's clock."""
        ...

    async def acquire(self, partition: int, *, member: Member, ttl_ms: int) -> Lease | None:
        """In the member's zone. None while another nonce holds it."""
        ...

    async def renew(self, lease: Lease, *, ttl_ms: int) -> Lease | None:
        """None once another nonce holds it. One that has ended and that nobody took is taken again."""
        ...

    async def release(self, lease: Lease) -> None:
        """Does nothing unless the lease's own nonce holds it."""
        ...

    async def leases(self, zone: str | None = None) -> list[Lease]:
        """Those that stand, of one zone or of all, by zone and partition."""
        ...
