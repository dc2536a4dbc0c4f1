"""Batches and logs for the tests of the door."""

import os
import select

from shared.native import Files, LocalLog, LogRecord, SplitBatch, Splitter, WriteLimits
from tests.unit.wire import messages

UID = b"u" * 16
SPLITTER = Splitter(secret=b"secret of the tests", partitions=4)
LIMITS = WriteLimits(max_future_ms=None)


def batch(number: int, filling: str = "x") -> SplitBatch:
    """One series whose only sample is taken at `number`."""
    body = messages.body(
        messages.series(messages.labels(name="requests_total", filling=filling), messages.sample(number, 1.0))
    )
    return SPLITTER.split(body, uid=UID, shards=2, limits=LIMITS, now_ms=0)


def open_log(files: Files, folder: str, *, segment_bytes: int = 4096, queue_bytes: int = 1 << 20) -> LocalLog:
    return LocalLog.open(files, folder, splitter=SPLITTER, segment_bytes=segment_bytes, queue_bytes=queue_bytes)


def append(log: LocalLog, *numbers: int) -> None:
    """Returns once they are durable."""
    for number in numbers:
        offset = log.append(batch(number), now_ms=number)
        wait_for(log, offset)


def wait_for(log: LocalLog, offset: int) -> None:
    """By the descriptor, as an event loop does it."""
    while log.committed <= offset and log.failure is None:
        select.select([log], [], [])
        drain(log)


def drain(log: LocalLog) -> None:
    try:
        os.read(log.fileno(), 4096)
    except BlockingIOError:
        return


def read_all(log: LocalLog, offset: int) -> list[LogRecord]:
    records: list[LogRecord] = []
    while offset + len(records) < log.committed:
        records += log.read(offset + len(records), max_records=3, timeout_ms=0)
    return records
