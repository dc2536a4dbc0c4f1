"""The seam by which the distributors of a cluster tell one another what they refused. Cluster: Redis."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Rejection:
    """Refusals of one instance's samples for one reason."""

    samples: int
    last_ms: int
    example: str

    def __add__(self, later: "Rejection") -> "Rejection":
        return Rejection(self.samples + later.samples, max(self.last_ms, later.last_ms), later.example)


Reasons = Mapping[str, Rejection]
"""By reason."""


class RejectionBoard(Protocol):
    """What everybody refused in the last day or so. For people to look at: nothing hangs on its numbers."""

    async def add(self, refused: Mapping[bytes, Reasons]) -> None:
        """By uid. UnavailableError: some of it may have been added."""
        ...

    async def of(self, uid: bytes) -> dict[str, Rejection]: ...
