"""An hour of a real Prometheus's remote write, sent whole; the counts must match after a kill and after a flush.

RECORDING names the file: zstd of `[u32 length][snappy body]…`. By default it is looked for beside the checkout.
"""

import os
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cramjam
import pytest

from tests.support.served import Served

RECORDING = Path(os.environ.get("RECORDING", Path(__file__).resolve().parents[3] / "shared" / "data" / "real.rw.zst"))
SAMPLES = 2_771_656  # stale markers, of which there are 344 more, are not counted by count_over_time
END_S = 1795415799.894


WRITERS = 8
"""Each waits for its acknowledgement, as a shard of Prometheus's queue does."""


def bodies() -> Iterator[bytes]:
    data = bytes(cramjam.zstd.decompress(RECORDING.read_bytes()))
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        yield data[at + 4 : at + 4 + length]
        at += 4 + length


def stored(server: Served) -> int:
    names = server.get("/api/v1/label/__name__/values").json()["data"]
    found = 0
    for name in names:
        for row in server.query(f'sum(count_over_time({{__name__="{name}"}}[2h]))', time=END_S):
            found += int(row["value"][1])
    return found


@pytest.mark.timeout(300)
@pytest.mark.skipif(not RECORDING.exists(), reason="no recording beside the checkout; RECORDING names one")
def test_the_recording_is_stored_whole(server: Served) -> None:
    with ThreadPoolExecutor(WRITERS) as writers:
        assert all(answer.status == 204 for answer in writers.map(server.write, bodies()))
    server.kill()
    server.start()
    server.wait_ready()
    assert stored(server) == SAMPLES
    server.flush()
    assert stored(server) == SAMPLES
