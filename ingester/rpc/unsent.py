"""Answers that were made and wait to be taken: a reader that is slow must not fill the memory of an ingester."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Unsent:
    def __init__(self, bearable_bytes: int) -> None:
        self._bearable_bytes = bearable_bytes
        self._held_bytes = 0
        self._is_bearable = asyncio.Event()
        self._is_bearable.set()

    async def bearable(self) -> None:
        """Returns once not too much waits."""
        await self._is_bearable.wait()

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """An answer of so many bytes waits for its reader."""
        self._add(size)
        try:
            yield
        finally:
            self._add(-size)

    def _add(self, size: int) -> None:
        self._held_bytes += size
        if self._held_bytes > self._bearable_bytes:
            self._is_bearable.clear()
        else:
            self._is_bearable.set()
