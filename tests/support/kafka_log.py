"""The log on Kafka as tests use it: batches for it, records that no build of ours wrote, and everything read back."""

import asyncio
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from kafka import KafkaProducer

from shared.kafka.log import KafkaLog
from shared.kafka.reader import KafkaLogReader
from shared.kafka.settings import KafkaSettings
from shared.native import Head, LogRecord, SplitBatch, Splitter, WriteLimits, crc32c
from shared.seams.log import Fetched
from tests.support.kafka import Kafka, topic_name
from tests.support.remote_write import body

PARTITIONS = 4
UID = bytes(range(16))
NOW_MS = 1_700_000_000_000
WINDOW_MS = 7_200_000
DEADLINE_S = 60.0

SPLITTER = Splitter(secret=b"s" * 16, partitions=PARTITIONS)


def batch(*jobs: str, value: float = 1.0) -> SplitBatch:
    """One series for each job; each lies in one partition."""
    series = [({"__name__": "up", "job": job}, [(NOW_MS, value)]) for job in jobs]
    return SPLITTER.split(body(series), uid=UID, shards=PARTITIONS, limits=WriteLimits(), now_ms=NOW_MS)


def job_in(partition: int, number: int = 0) -> str:
    """The name of a job whose series lies in the partition; another one for each number."""
    names = (f"j{n}" for n in range(10_000))
    found = [name for name in names if batch(name).partitions == [partition]]
    return found[number]


def forged(*, version: int = 2, kind: int = 1, partition: int = 0, payload: bytes = b"") -> bytes:
    """A record with a checksum that fits, whatever it says; its payload is not compressed."""
    head = b"HRRC" + struct.pack("<BBBBHHIq", version, kind, 0, 0, partition, 0, len(payload), 0)
    return head + struct.pack("<I", crc32c(head + payload)) + payload


@dataclass
class Topic:
    """A topic of a test."""

    kafka: Kafka
    name: str = field(default_factory=topic_name)
    partitions: int = PARTITIONS
    replicas: int = 1
    configs: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.make()

    def make(self) -> None:
        self.kafka.create_topic(
            self.name, partitions=self.partitions, replicas=self.replicas, configs=dict(self.configs)
        )

    def settings(self, **changes: object) -> KafkaSettings:
        """Patient enough for a busy machine, unless the test wants to see patience end."""
        return KafkaSettings(brokers=tuple(self.kafka.bootstrap.split(",")), topic=self.name, **changes)  # type: ignore[arg-type]

    def open(self, **changes: object) -> KafkaLog:
        return KafkaLog(self.settings(**changes), SPLITTER)

    def put(self, partition: int, *values: bytes) -> list[int]:
        """Records as they are given; their offsets."""
        return put(self.kafka, self.name, partition, *values)


def put(kafka: Kafka, topic: str, partition: int, *values: bytes) -> list[int]:
    """Records as they are given; their offsets."""
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all")
    try:
        sent = [producer.send(topic, value=value, partition=partition) for value in values]
        return [future.get(DEADLINE_S).offset for future in sent]
    finally:
        producer.close()


@dataclass
class Seen:
    """All that a reader told of one partition."""

    records: list[LogRecord] = field(default_factory=list)
    fetched: list[Fetched] = field(default_factory=list)

    @property
    def offsets(self) -> list[int]:
        return [record.offset for record in self.records]

    @property
    def lost(self) -> int:
        return sum(fetched.lost for fetched in self.fetched)

    @property
    def damaged(self) -> list[tuple[int, bytes]]:
        return [(damaged.offset, damaged.value) for fetched in self.fetched for damaged in fetched.damaged]

    @property
    def stopped(self) -> list[str]:
        return [fetched.stopped for fetched in self.fetched if fetched.stopped is not None]

    def applied(self, partition: int) -> Head:
        head = Head(partition, window_ms=WINDOW_MS)
        if self.records:
            Head.apply({partition: head}, self.records)
        return head


async def read(reader: KafkaLogReader, begin: Mapping[int, int], ends: Mapping[int, int]) -> dict[int, Seen]:
    """From `begin` until every partition has reached its end or stopped."""
    return await asyncio.to_thread(read_now, reader, begin, ends)


def read_now(reader: KafkaLogReader, begin: Mapping[int, int], ends: Mapping[int, int]) -> dict[int, Seen]:
    seen = {partition: Seen() for partition in begin}
    open_ones = {partition for partition, offset in begin.items() if offset < ends[partition]}
    reader.assign(begin)
    deadline = time.monotonic() + DEADLINE_S
    while open_ones:
        assert time.monotonic() < deadline, f"partitions {open_ones} gave nothing more: {seen}"
        for fetched in reader.read(max_records=100, timeout_ms=1000):
            [partition] = fetched.partitions
            seen[partition].records += fetched.records
            seen[partition].fetched.append(fetched)
            if fetched.end >= ends[partition] or fetched.stopped is not None:
                open_ones.discard(partition)
    return seen


async def everything(log: KafkaLog, *partitions: int) -> dict[int, Seen]:
    """All that lies in the partitions, with a reader of its own."""
    chosen = partitions or range(PARTITIONS)
    reader = log.reader()
    try:
        return await read(reader, dict.fromkeys(chosen, 0), await log.end_offsets(list(chosen)))
    finally:
        reader.close()
