"""What exposition and pushed groups cost in CPU time, in this process and without HTTP.

`python -m tests.bench.push` reads a text of 200,000 samples, pushes 1,000 series a hundred times, and emits 10,000
groups of 20 series for a minute of a made-up clock, each through a log in a temporary folder.
"""

import asyncio
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from shared.local.log import LocalLog
from shared.native import Files, Head, Import, LogRecord, Push, PushBook, SplitBatch, Splitter, WriteLimits
from shared.native import LocalLog as NativeLog

UID = b"u" * 16
NOW_MS = 1_700_000_000_000
LINES = 200_000
GROUPS = 10_000
SERIES = 20
INTERVAL_MS = 15_000


class Bench:
    """A splitter, a log, and what reads it."""

    def __init__(self, folder: Path) -> None:
        self.splitter = Splitter(secret=b"s" * 16, partitions=1)
        self.log = LocalLog(NativeLog.open(Files.real(), str(folder / "log"), splitter=self.splitter))
        self.reader = self.log.reader()
        self.reader.assign({0: 0})
        self.head = Head(0, window_ms=7_200_000)
        self.book = PushBook(0, self.splitter)

    async def write(self, batches: Sequence[SplitBatch]) -> None:
        """Into the log, and from there to head and book."""
        for batch in batches:
            end = 1 + (await self.log.append(batch, now_ms=NOW_MS))[0]
        if not batches:
            return
        position = -1
        while position < end:
            for fetched in self.reader.read(max_records=512, timeout_ms=1000):
                self.apply(fetched.records, fetched.end)
                position = fetched.end

    def apply(self, records: Sequence[LogRecord], end: int) -> None:
        Head.apply({0: self.head}, records)
        PushBook.apply({0: self.book}, records, end)

    def split(self, push: Push) -> SplitBatch:
        return self.splitter.split_push(push, uid=UID, shards=1, limits=WriteLimits(), now_ms=NOW_MS)


def text(lines: int) -> bytes:
    chosen = random.Random(1)
    return b"".join(
        b'http_requests_total{method="%s",path="/api/v1/items/%d",code="200",instance="10.0.0.%d:9090"} %d.5 %d\n'
        % (chosen.choice([b"GET", b"POST"]), number % 1000, number % 250, number, NOW_MS - number)
        for number in range(lines)
    )


def import_text(bench: Bench) -> None:
    body = text(LINES)
    for round_name in ("labels not seen before", "labels seen before"):
        began = time.process_time()
        reading = Import(body, open_metrics=False, now_ms=NOW_MS)
        samples = 0
        while (piece := reading.next_piece(1 << 20)) is not None:
            batch = bench.splitter.split_plain(piece, uid=UID, shards=1, limits=WriteLimits(), now_ms=NOW_MS)
            samples += batch.samples
        cpu_s = time.process_time() - began
        assert samples == LINES
        print(f"import, {round_name}: {LINES / cpu_s / 1e6:.2f} million samples a CPU second")


async def push_series(bench: Bench) -> None:
    body = b"".join(b'job_rows{table="t%d",shard="s%d"} %d\n' % (n, n % 7, n) for n in range(1000))
    batches = []
    began = time.process_time()
    for number in range(100):
        now_ms = NOW_MS + number
        push, _ = Push.of_body(
            body, "text", [("job", "nightly")], merge=False, now_ms=now_ms, ttl_ms=0, interval_ms=INTERVAL_MS
        )
        assert push is not None
        batches = [bench.split(push)]
        await bench.write(batches)
    print(f"push of 1,000 series: {(time.process_time() - began) * 10:.2f} ms CPU, applied to head and groups")


async def emit(bench: Bench) -> None:
    body = b"".join(b'job_value{n="%d"} %d\n' % (n, n) for n in range(SERIES - 2))
    for number in range(GROUPS):
        labels = [("job", "nightly"), ("instance", f"host-{number}")]
        push, _ = Push.of_body(body, "text", labels, merge=False, now_ms=NOW_MS, ttl_ms=0, interval_ms=INTERVAL_MS)
        assert push is not None
        await bench.write([bench.split(push)])
    seconds, samples = 60, 0
    # The first round meets series whose stamps nobody has written yet.
    for counted in (False, True):
        began = time.process_time()
        samples = 0
        base = NOW_MS + (seconds * 1000 if counted else 0)
        for second in range(1, seconds + 1):
            batches = bench.book.due(base + second * 1000, {UID: 1}, 50_000)
            samples += sum(batch.samples for batch in batches)
            await bench.write(batches)
        cpu_s = time.process_time() - began
    print(
        f"emission: {samples} samples of {GROUPS} groups in {seconds} s take {cpu_s / seconds:.2%} of a core, "
        f"{cpu_s / samples * 1e6:.2f} µs a sample"
    )


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, part in (("import", None), ("push", push_series), ("emit", emit)):
            bench = Bench(Path(folder) / name)
            if part is None:
                import_text(bench)
            else:
                await part(bench)
            await bench.log.close()


if __name__ == "__main__":
    asyncio.run(main())
