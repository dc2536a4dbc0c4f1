"""A log, its heads, and selections read back: what an ingester and a querier do with them, in a few lines."""

import json
from collections.abc import Mapping, Sequence

from shared.native import (
    BlockReader,
    Files,
    Head,
    HeadSearch,
    LocalLog,
    Matcher,
    Query,
    Selection,
    Splitter,
    WriteLimits,
    json_samples,
)
from tests.support.remote_write import Entry, Series, body

UID = b"a" * 16
OTHER = b"b" * 16
WINDOW = 7_200_000
PARTITIONS = 4

Answer = dict[str, list[tuple[float, str]]]
"""Labels as `name=value,…` → (time in seconds, value as printed)."""


def new_heads() -> dict[int, Head]:
    return {partition: Head(partition, window_ms=WINDOW) for partition in range(PARTITIONS)}


class World:
    """One log for all partitions, with a head for each and the blocks they were cut into."""

    def __init__(self) -> None:
        self.splitter = Splitter(secret=b"secret of the tests", partitions=PARTITIONS)
        self.log = LocalLog.open(Files.simulated(1), "log", splitter=self.splitter)
        self.heads = new_heads()
        self.blocks: dict[int, list[tuple[bytes, BlockReader, list[bytes]]]] = {p: [] for p in self.heads}
        self.through: dict[int, dict[int, int]] = {p: {} for p in self.heads}

    def write(self, series: Sequence[Series], metadata: Sequence[Entry] = (), *, uid: bytes = UID) -> None:
        limits = WriteLimits(max_future_ms=None)
        batch = self.splitter.split(body(series, metadata), uid=uid, shards=PARTITIONS, limits=limits, now_ms=0)
        self._apply(self.log.append(batch, now_ms=0))

    def seal(self, window: int) -> dict[int, int]:
        """The marker of each partition."""
        markers = {}
        for partition in self.heads:
            markers[partition] = self.log.append_seal(partition, [window])
            self._apply(markers[partition])
        return markers

    def release(self, window: int, markers: Mapping[int, int]) -> None:
        """Cut, store, let go."""
        for partition, head in self.heads.items():
            marker = markers[partition]
            if any((held.window, held.sealed) == (window, marker) for held in head.windows()):
                for parts in head.cut(window, marker):
                    self.blocks[partition].append((parts.uid, BlockReader.open(parts.root), parts.pages))
                self.through[partition][window] = marker
                head.release(window, marker)

    def replayed(self) -> dict[int, Head]:
        """New heads that have read what the log has and the store has not."""
        heads = new_heads()
        for partition, head in heads.items():
            head.set_through(self.through[partition])
        records = self.log.read(self.log.first, max_records=1000, timeout_ms=0)
        Head.apply(heads, records)
        return heads

    def select(self, *matchers: Matcher, start: int = 0, end: int = 1 << 60, uid: bytes = UID) -> Answer:
        query = Query()
        selection = Selection(query, list(matchers), start, end)
        for partition, head in self.heads.items():
            for owner, reader, pages in self.blocks[partition]:
                if owner == uid and (wanted := selection.add_block(reader)):
                    selection.supply([pages[number] for number in wanted])
            [part] = HeadSearch(query, uid, matchers, start, end).parts([head])
            if part is not None:
                selection.add_part(part)
        result, _ = json_samples(query, selection.finish(), start, end, 0)
        return {
            ",".join(f"{name}={value}" for name, value in sorted(row["metric"].items())): [
                (time, value) for time, value in row["values"]
            ]
            for row in json.loads(result)
        }

    def _apply(self, offset: int) -> None:
        records = self.log.read(offset, max_records=100, timeout_ms=60_000)
        assert Head.apply(self.heads, records) == offset + 1
