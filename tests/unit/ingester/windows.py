"""Stand-ins for what a head tells of its generations."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    window: int
    first_offset: int = 0
    sealed: int | None = None
    samples: int = 1
    bytes: int = 1000
