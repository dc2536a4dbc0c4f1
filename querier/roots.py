"""Opened block roots, kept by memory budget. Blocks are immutable, so nothing here is ever stale."""

from collections import OrderedDict

from shared.native import BlockReader


class Roots:
    """The least recently used go first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held_bytes = 0
        self._readers: OrderedDict[str, tuple[BlockReader, int]] = OrderedDict()

    def get(self, key: str) -> BlockReader | None:
        held = self._readers.get(key)
        if held is None:
            return None
        self._readers.move_to_end(key)
        return held[0]

    def add(self, key: str, reader: BlockReader) -> None:
        size = reader.memory_bytes
        if key in self._readers or size > self._max_bytes:
            return
        self._readers[key] = (reader, size)
        self._held_bytes += size
        while self._held_bytes > self._max_bytes:
            _, (_, freed) = self._readers.popitem(last=False)
            self._held_bytes -= freed

    @property
    def held_bytes(self) -> int:
        return self._held_bytes
