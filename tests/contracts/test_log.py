"""The contract of `shared.seams.log.Log`."""

import asyncio

import pytest

from shared import faults
from shared.errors import UnavailableError
from shared.native import Head, LogRecord, SplitBatch, Splitter, WriteLimits
from shared.seams.log import Log
from tests.contracts.harness import PARTITIONS, LogHarness
from tests.support.remote_write import body

UID = bytes(range(16))
NOW_MS = 1_700_000_000_000
WINDOW_MS = 7_200_000
NUMBERS = list(range(PARTITIONS))


def batch(splitter: Splitter, job: str, value: float = 1.0) -> SplitBatch:
    series = [({"__name__": "up", "job": job}, [(NOW_MS, value)])]
    return splitter.split(body(series), uid=UID, shards=PARTITIONS, limits=WriteLimits(), now_ms=NOW_MS)


def read_all(log: Log, offset: int) -> list[LogRecord]:
    """Everything durable from `offset` on."""
    found: list[LogRecord] = []
    while records := log.read(NUMBERS, offset, max_records=3, timeout_ms=20):
        found += records
        offset = records[-1].offset + 1
    return found


def heads() -> dict[int, Head]:
    return {number: Head(number, window_ms=WINDOW_MS) for number in NUMBERS}


async def begin(log: Log) -> int:
    return max((await log.end_offsets(NUMBERS)).values())


class TestAppend:
    async def test_returns_ascending_offsets_of_what_is_read(self, logs: LogHarness) -> None:
        log = logs.open()
        start = await begin(log)
        offsets = [await log.append(batch(logs.splitter, f"j{n}"), now_ms=NOW_MS + n) for n in range(5)]
        assert offsets == sorted(set(offsets))
        records = await asyncio.to_thread(read_all, log, start)
        assert [(r.offset, r.kind, r.now_ms) for r in records] == [
            (o, "write", NOW_MS + n) for n, o in enumerate(offsets)
        ]
        await log.close()

    async def test_many_at_once_are_all_acknowledged(self, logs: LogHarness) -> None:
        log = logs.open()
        start = await begin(log)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(log.append(batch(logs.splitter, f"j{n}"), now_ms=NOW_MS)) for n in range(50)]
        offsets = sorted(task.result() for task in tasks)
        assert len(set(offsets)) == 50
        assert [r.offset for r in await asyncio.to_thread(read_all, log, start)] == offsets
        await log.close()

    async def test_a_seal_lies_where_it_was_appended(self, logs: LogHarness) -> None:
        log = logs.open()
        start = await begin(log)
        before = await log.append(batch(logs.splitter, "a"), now_ms=NOW_MS)
        marker = await log.append_seal(2, [WINDOW_MS, -WINDOW_MS])
        after = await log.append(batch(logs.splitter, "b"), now_ms=NOW_MS)
        assert before < marker < after
        seal = (await asyncio.to_thread(read_all, log, start))[1]
        assert (seal.offset, seal.kind, seal.partition, seal.windows) == (marker, "seal", 2, [WINDOW_MS, -WINDOW_MS])
        await log.close()

    async def test_end_offsets_are_above_all_that_was_acknowledged(self, logs: LogHarness) -> None:
        log = logs.open()
        offset = await log.append(batch(logs.splitter, "a"), now_ms=NOW_MS)
        ends = await log.end_offsets(NUMBERS)
        assert set(ends) == set(NUMBERS)
        assert all(end > offset for end in ends.values())
        await log.close()

    async def test_a_cancelled_sender_harms_nobody(self, logs: LogHarness) -> None:
        log = logs.open()
        cancelled = asyncio.create_task(log.append(batch(logs.splitter, "a"), now_ms=NOW_MS))
        await asyncio.sleep(0)
        cancelled.cancel()
        assert await log.append(batch(logs.splitter, "b"), now_ms=NOW_MS) >= 0
        await log.close()


class TestDurability:
    async def test_what_was_acknowledged_is_there_after_a_restart(self, logs: LogHarness) -> None:
        log = logs.open()
        start = await begin(log)
        offsets = [await log.append(batch(logs.splitter, f"j{n}"), now_ms=NOW_MS) for n in range(3)]
        offsets.append(await log.append_seal(1, [0]))
        await log.close()
        log = logs.open()
        assert [r.offset for r in await asyncio.to_thread(read_all, log, start)] == offsets
        assert await log.append(batch(logs.splitter, "later"), now_ms=NOW_MS) > offsets[-1]
        await log.close()

    async def test_replayed_and_handed_over_records_build_equal_heads(self, logs: LogHarness) -> None:
        log = logs.open()
        start = await begin(log)
        for n in range(10):
            await log.append(batch(logs.splitter, f"j{n}", n / 3), now_ms=NOW_MS)
        window = NOW_MS // WINDOW_MS * WINDOW_MS
        markers = {number: await log.append_seal(number, [window]) for number in NUMBERS}
        live = heads()
        Head.apply(live, await asyncio.to_thread(read_all, log, start))
        await log.close()
        log = logs.open()
        replayed = heads()
        Head.apply(replayed, await asyncio.to_thread(read_all, log, start))
        for number in [number for number in NUMBERS if live[number].windows()]:
            cuts = [
                [(p.uid, p.samples, p.digest) for p in h[number].cut(window, markers[number])] for h in (live, replayed)
            ]
            assert cuts[0] == cuts[1]
        assert sum(head.samples for head in live.values()) == 10
        await log.close()

    async def test_a_write_of_unknown_outcome_that_is_sent_again_counts_once(self, logs: LogHarness) -> None:
        log = logs.open()
        start = await begin(log)
        faults.arm("log.queued:fail:1")
        with pytest.raises(UnavailableError):
            await log.append(batch(logs.splitter, "a"), now_ms=NOW_MS)
        await log.append(batch(logs.splitter, "a"), now_ms=NOW_MS)
        records = await asyncio.to_thread(read_all, log, start)
        assert len(records) == 2  # the first one had become durable after all
        held = heads()
        Head.apply(held, records)
        assert sum(head.samples for head in held.values()) == 1
        await log.close()

    async def test_a_late_duplicate_counts_once_and_is_no_conflict(self, logs: LogHarness) -> None:
        log = logs.open()
        start = await begin(log)
        for job in ("a", "b", "a"):
            await log.append(batch(logs.splitter, job), now_ms=NOW_MS)
        held = heads()
        Head.apply(held, await asyncio.to_thread(read_all, log, start))
        assert sum(head.samples for head in held.values()) == 2
        assert sum(head.conflicts for head in held.values()) == 0
        await log.close()

    async def test_of_two_values_at_one_time_the_lower_offset_stays(self, logs: LogHarness) -> None:
        log = logs.open()
        start = await begin(log)
        for value in (1.0, 2.0):
            await log.append(batch(logs.splitter, "a", value), now_ms=NOW_MS)
        held, only_first = heads(), heads()
        records = await asyncio.to_thread(read_all, log, start)
        Head.apply(held, records)
        Head.apply(only_first, records[:1])
        assert sum(head.conflicts for head in held.values()) == 1
        assert sum(head.samples for head in held.values()) == 1
        await log.close()


class TestReading:
    async def test_waits_for_what_comes(self, logs: LogHarness) -> None:
        log = logs.open()
        start = await begin(log)
        reading = asyncio.create_task(asyncio.to_thread(log.read, NUMBERS, start, max_records=10, timeout_ms=60_000))
        offset = await log.append(batch(logs.splitter, "a"), now_ms=NOW_MS)
        assert [r.offset for r in await reading] == [offset]
        await log.close()

    async def test_returns_nothing_when_nothing_comes(self, logs: LogHarness) -> None:
        log = logs.open()
        assert await asyncio.to_thread(log.read, NUMBERS, await begin(log), max_records=10, timeout_ms=5) == []
        await log.close()

    async def test_again_from_an_older_offset(self, logs: LogHarness) -> None:
        log = logs.open()
        start = await begin(log)
        offsets = [await log.append(batch(logs.splitter, f"j{n}"), now_ms=NOW_MS) for n in range(4)]
        assert [r.offset for r in await asyncio.to_thread(read_all, log, start)] == offsets
        assert [r.offset for r in await asyncio.to_thread(read_all, log, offsets[2])] == offsets[2:]
        assert [r.offset for r in await asyncio.to_thread(read_all, log, start)] == offsets
        await log.close()


class TestTrim:
    async def test_keeps_what_any_partition_needs(self, logs: LogHarness) -> None:
        log = logs.open()
        offsets = [await log.append(batch(logs.splitter, f"j{n}"), now_ms=NOW_MS) for n in range(6)]
        await log.trim({0: offsets[4], 1: offsets[2], 2: offsets[5], 3: offsets[5] + 1})
        assert all(log.first_offset(number) <= offsets[2] for number in NUMBERS)
        assert [r.offset for r in await asyncio.to_thread(read_all, log, offsets[2])] == offsets[2:]
        await log.close()

    async def test_of_everything_leaves_a_log_that_goes_on(self, logs: LogHarness) -> None:
        log = logs.open()
        last = [await log.append(batch(logs.splitter, f"j{n}"), now_ms=NOW_MS) for n in range(6)][-1]
        await log.trim(dict.fromkeys(NUMBERS, last + 1))
        assert log.first_offset(0) == last + 1
        await log.close()
        log = logs.open()
        assert await log.append(batch(logs.splitter, "later"), now_ms=NOW_MS) > last
        assert [r.kind for r in await asyncio.to_thread(read_all, log, last + 1)] == ["write"]
        await log.close()
