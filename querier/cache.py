"""Parts of blocks that were read: opened roots and raw pages, by one memory budget.

Blocks are immutable and their keys never name anything else, so nothing here is ever stale.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shared.native import BlockReader

ENTRY_BYTES = 300
"""Of an entry beside what it holds: its key and its places in tables."""


class BlockCache:
    """The least recently used go first. For one event loop.

    `max_page_bytes`: of `max_bytes`, what pages may take.
    """

    def __init__(self, max_bytes: int, *, max_page_bytes: int | None = None) -> None:
        self._max_bytes = max_bytes
        self._max_page_bytes = max_bytes if max_page_bytes is None else max_page_bytes
        self._held_bytes = 0
        self._page_bytes = 0
        self._roots: dict[str, BlockReader] = {}
        self._pages: OrderedDict[str, bytes] = OrderedDict()  # the least recently used first
        self._sizes: OrderedDict[str, int] = OrderedDict()  # of both, the least recently used first
        self.hits: Counter[str] = Counter()
        """By kind, `root` or `page`, since the start."""
        self.misses: Counter[str] = Counter()

    def root(self, key: str) -> BlockReader | None:
        reader = self._roots.get(key)
        self._count("root", key, is_hit=reader is not None)
        return reader

    def add_root(self, key: str, reader: BlockReader) -> None:
        if self._takes(key, reader.memory_bytes):
            self._roots[key] = reader
            self._make_room()

    def pages(self, keys: Sequence[str]) -> list[bytes | None]:
        """In the order of `keys`."""
        found = [self._pages.get(key) for key in keys]
        for key, page in zip(keys, found, strict=True):
            self._count("page", key, is_hit=page is not None)
            if page is not None:
                self._pages.move_to_end(key)
        return found

    def add_pages(self, pages: Iterable[tuple[str, bytes]]) -> None:
        """They were checked against their block."""
        for key, page in pages:
            if len(page) + ENTRY_BYTES <= self._max_page_bytes and self._takes(key, len(page)):
                self._pages[key] = page
                self._page_bytes += self._sizes[key]
                while self._page_bytes > self._max_page_bytes:
                    self._drop_page(next(iter(self._pages)))
                self._make_room()

    @property
    def held_bytes(self) -> int:
        """With what roots were decoded to."""
        return self._held_bytes

    def _count(self, kind: str, key: str, *, is_hit: bool) -> None:
        if is_hit:
            self._sizes.move_to_end(key)
            self.hits[kind] += 1
        else:
            self.misses[kind] += 1

    def _takes(self, key: str, value_bytes: int) -> bool:
        """Counts it if it is not here and would not take everything."""
        size = value_bytes + ENTRY_BYTES
        if key in self._sizes or size > self._max_bytes:
            return False
        self._sizes[key] = size
        self._held_bytes += size
        return True

    def _make_room(self) -> None:
        while self._held_bytes > self._max_bytes:
            key = next(iter(self._sizes))
            if key in self._pages:
                self._drop_page(key)
            else:
                del self._roots[key]
                self._held_bytes -= self._sizes.pop(key)

    def _drop_page(self, key: str) -> None:
        del self._pages[key]
        freed = self._sizes.pop(key)
        self._page_bytes -= freed
        self._held_bytes -= freed
