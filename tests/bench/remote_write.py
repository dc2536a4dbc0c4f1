"""What the split of a request costs in remote write 2.0 beside 1.0: the same samples in both, nanoseconds of CPU each.

`python -m tests.bench.remote_write FILE`: FILE holds recorded bodies as repeated [u32 length][snappy body]. As a sender
of 2.0 does, each series of it says type and help of its metric.
"""

import sys
import time
from pathlib import Path

from shared.native import Splitter, WriteLimits
from tests.bench.kafka_log import bodies
from tests.support import remote_write_v2 as v2
from tests.support.remote_write import read_body

UID = bytes(range(16))
BODIES = 400
ROUNDS = 7
LIMITS = WriteLimits(max_future_ms=None)


def in_version_2(body: bytes, *, described: bool) -> bytes:
    metadata = (v2.GAUGE, "What a help text says of its metric, in a sentence.", "") if described else None
    return v2.body(v2.Series(labels, samples, metadata) for labels, samples in read_body(body))


def split_all(splitter: Splitter, requests: list[bytes], version: int) -> tuple[float, int]:
    """CPU seconds, samples."""
    began = time.process_time()
    samples = 0
    for body in requests:
        batch = splitter.split(body, uid=UID, shards=4, limits=LIMITS, now_ms=0, version=version)
        samples += batch.samples
    return time.process_time() - began, samples


def main() -> None:
    recorded = [body for body in bodies(Path(sys.argv[1])) if read_body(body)][:BODIES]
    forms = {
        "1.0": (1, recorded),
        "2.0": (2, [in_version_2(body, described=False) for body in recorded]),
        "2.0 with metadata": (2, [in_version_2(body, described=True) for body in recorded]),
    }
    splitter = Splitter(secret=b"bench", partitions=4)
    best: dict[str, tuple[float, int]] = {}
    for _ in range(ROUNDS):
        for name, (version, requests) in forms.items():
            best[name] = min(best.get(name, (float("inf"), 0)), split_all(splitter, requests, version))
    for name, (seconds, samples) in best.items():
        size = sum(map(len, forms[name][1])) / samples
        print(f"{name}: {seconds / samples * 1e9:.0f} ns a sample, {size:.1f} bytes, {samples} samples")


if __name__ == "__main__":
    main()
