"""What a process asks of the roles that it runs."""

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from shared.asgi.router import Route


class OpenError(Exception):
    """A role cannot be opened, and waiting would not help; the text says what and where."""


class EndedError(Exception):
    """A role has ended although nobody asked it to."""


@dataclass(frozen=True, slots=True)
class Routes:
    """`exact` paths, and those with a name in the middle as (prefix, suffix)."""

    exact: dict[str, Route] = field(default_factory=dict)
    patterns: dict[tuple[str, str], Route] = field(default_factory=dict)

    def __or__(self, other: "Routes") -> "Routes":
        return Routes(self.exact | other.exact, self.patterns | other.patterns)


class Running(Protocol):
    """The opened roles of one process."""

    def routes(self) -> Routes: ...

    def missing(self) -> str | None:
        """What stands between this process and its job. Asked before every request, so it has to be cheap."""
        ...

    async def run(self) -> None:
        """Until it is cancelled. Raises EndedError if a role ends by itself."""
        ...

    async def close(self, hurried: asyncio.Event) -> None:
        """Nobody asks any more. Brings to an end what was begun, unless somebody is in a hurry."""
        ...
