"""What the log on Kafka costs: samples per CPU-second of appending, from a body to its acknowledgement, and of reading
and applying; the broker is a process of its own and not counted.

`python -m tests.bench.kafka_log FILE [PARTITIONS]`: FILE holds recorded bodies as repeated [u32 length][snappy body].
"""

import asyncio
import resource
import struct
import sys
import tempfile
import time
from pathlib import Path

from shared.kafka.log import KafkaLog
from shared.kafka.settings import KafkaSettings
from shared.native import Head, Splitter, WriteLimits
from tests.support.kafka import Kafka

UID = bytes(range(16))
WINDOW_MS = 7_200_000
BODIES = 12_000
SENDERS = 256


def bodies(path: Path) -> list[bytes]:
    file = path.read_bytes()
    found, at = [], 0
    while at < len(file) and len(found) < BODIES:
        (length,) = struct.unpack_from("<I", file, at)
        found.append(file[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def append(log: KafkaLog, splitter: Splitter, requests: list[bytes], shards: int) -> int:
    """Splits and appends as so many senders do; the samples that were acknowledged."""
    limits = WriteLimits(max_future_ms=None)
    left = iter(requests)
    samples = 0

    async def sender() -> None:
        nonlocal samples
        for body in left:
            now_ms = int(time.time() * 1000)
            batch = splitter.split(body, uid=UID, shards=shards, limits=limits, now_ms=now_ms)
            await log.append(batch, now_ms=now_ms)
            samples += batch.samples

    async with asyncio.TaskGroup() as group:
        for _ in range(SENDERS):
            group.create_task(sender())
    return samples


def consume(log: KafkaLog, ends: dict[int, int]) -> int:
    """Reads and applies everything; the samples that the heads then hold."""
    heads = {number: Head(number, window_ms=WINDOW_MS) for number in ends}
    reader = log.reader()
    reader.assign(dict.fromkeys(ends, 0))
    positions = dict.fromkeys(ends, 0)
    while any(positions[number] < end for number, end in ends.items()):
        for fetched in reader.read(max_records=500, timeout_ms=1000):
            [number] = fetched.partitions
            if fetched.records:
                Head.apply({number: heads[number]}, fetched.records)
            positions[number] = fetched.end
    reader.close()
    return sum(head.samples for head in heads.values())


async def measure(settings: KafkaSettings, requests: list[bytes], partitions: int) -> None:
    splitter = Splitter(secret=b"s" * 16, partitions=partitions)
    log = KafkaLog(settings, splitter)
    await append(log, splitter, requests[:100], partitions)
    begun, cpu, records, sent = time.monotonic(), cpu_s(), log.records_sent, log.bytes_sent
    samples = await append(log, splitter, requests, partitions)
    wall, cpu = time.monotonic() - begun, cpu_s() - cpu
    records, sent = log.records_sent - records, log.bytes_sent - sent
    print(
        f"append: {samples:,} samples, {cpu:.2f} CPU s, {samples / cpu / 1e6:.2f} million a CPU s; {wall:.1f} s; "
        f"{records} records, {sent / samples:.1f} bytes a sample, {sent / records / 1e3:.0f} kB a record"
    )
    ends = await log.end_offsets(list(range(partitions)))
    for splitter_is in ("warm", "cold"):
        if splitter_is == "cold":
            await log.close()
            log = KafkaLog(settings, Splitter(secret=b"s" * 16, partitions=partitions))
        begun, cpu = time.monotonic(), cpu_s()
        held = await asyncio.to_thread(consume, log, ends)
        wall, cpu = time.monotonic() - begun, cpu_s() - cpu
        print(
            f"consume, labels {splitter_is}: {held:,} samples in the heads, {cpu:.2f} CPU s, "
            f"{samples / cpu / 1e6:.2f} million a CPU s; {wall:.1f} s"
        )
    await log.close()


def main() -> None:
    path, partitions = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 16
    requests = bodies(path)
    with tempfile.TemporaryDirectory() as folder:
        kafka = Kafka(Path(folder))
        try:
            kafka.start()
            kafka.create_topic("bench", partitions=partitions)
            settings = KafkaSettings(brokers=(kafka.bootstrap,), topic="bench")
            asyncio.run(measure(settings, requests, partitions))
        finally:
            kafka.close()


if __name__ == "__main__":
    main()
