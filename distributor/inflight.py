"""What bodies hold in memory, over all ways in."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.asgi.messages import Request
from shared.errors import UnavailableError
from shared.telemetry.catalogue import Catalogue


class Inflight:
    """A budget of bytes for bodies received and not yet answered."""

    def __init__(self, max_bytes: int, metrics: Catalogue) -> None:
        self._max_bytes = max_bytes
        self._held_bytes = 0
        metrics.write_inflight.observe_value(lambda: self._held_bytes)
        metrics.write_inflight_limit.observe_value(lambda: self._max_bytes)

    @contextmanager
    def body(self, request: Request, most: int) -> Iterator[None]:
        """Holds what the body of a request may take, of `most` bytes: from before its first byte is read, since bodies
        that arrive slowly are in memory too. UnavailableError: there is no room.
        """
        declared = request.declared_bytes
        with self.holding(min(most, self._max_bytes // 4 if declared is None else declared)):
            yield

    @contextmanager
    def holding(self, held_bytes: int) -> Iterator[None]:
        """UnavailableError: there is no room."""
        if self._held_bytes + held_bytes > self._max_bytes:
            raise UnavailableError(f"{self._held_bytes} bytes of writes are in memory, the limit is {self._max_bytes}")
        self._held_bytes += held_bytes
        try:
            yield
        finally:
            self._held_bytes -= held_bytes
