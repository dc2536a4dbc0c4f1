"""The contract of `shared.seams.log.Log`.

A log may keep one sequence of records for each partition or one for several; then a reader of a partition gets records
of others as well. Offsets ascend within a partition and need not be dense.
"""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress

import pytest

from shared import faults
from shared.errors import UnavailableError
from shared.native import CanceledError, Head, LogRecord, SplitBatch, Splitter, WriteLimits
from shared.seams.log import Log, LogReader
from tests.contracts.harness import PARTITIONS, LogHarness
from tests.support.remote_write import body

UID = bytes(range(16))
NOW_MS = 1_700_000_000_000
WINDOW_MS = 7_200_000
NUMBERS = list(range(PARTITIONS))
LONG_MS = 60_000

Read = dict[int, list[LogRecord]]
"""By partition, all that its head has to apply."""


def batch(splitter: Splitter, *jobs: str, value: float = 1.0) -> SplitBatch:
    """One series for each job; each lies in one partition."""
    series = [({"__name__": "up", "job": job}, [(NOW_MS, value)]) for job in jobs]
    return splitter.split(body(series), uid=UID, shards=PARTITIONS, limits=WriteLimits(), now_ms=NOW_MS)


def jobs_of(splitter: Splitter, partition: int, count: int) -> list[str]:
    """Names whose series lie in the partition."""
    names = (f"j{number}" for number in range(10_000))
    found = (name for name in names if batch(splitter, name).partitions == [partition])
    return [next(found) for _ in range(count)]


def read_to(reader: LogReader, begin: Mapping[int, int], ends: Mapping[int, int], *, max_records: int = 3) -> Read:
    """From `begin` up to `ends`. Blocks; checks what every answer promises."""
    positions = dict(begin)
    found: Read = {partition: [] for partition in begin}
    reader.assign(begin)
    while any(positions[partition] < end for partition, end in ends.items() if partition in positions):
        for fetched in reader.read(max_records=max_records, timeout_ms=LONG_MS):
            assert (fetched.lost, fetched.damaged, fetched.stopped) == (0, (), None)
            [position] = {positions[partition] for partition in fetched.partitions}
            offsets = [record.offset for record in fetched.records]
            assert offsets == sorted(set(offsets))
            assert all(position <= offset < fetched.end for offset in offsets)
            for partition in fetched.partitions:
                found[partition] += fetched.records
                positions[partition] = fetched.end
    return found


async def everything(log: Log, begin: Mapping[int, int]) -> Read:
    """All that is acknowledged, from `begin` on."""
    ends = await log.end_offsets(NUMBERS)
    reader = log.reader()
    found = await asyncio.to_thread(read_to, reader, begin, ends)
    reader.close()
    return {p: [record for record in records if record.offset < ends[p]] for p, records in found.items()}


def offsets_of(read: Read) -> set[tuple[int, int]]:
    return {(partition, record.offset) for partition, records in read.items() for record in records}


def check_exact(read: Read, appended: Iterable[Mapping[int, int]]) -> None:
    """Every record that was appended is read in its partitions, and no record that was not."""
    wanted = {entry for offsets in appended for entry in offsets.items()}
    got = offsets_of(read)
    assert wanted <= got
    assert {offset for _, offset in got} == {offset for _, offset in wanted}


def applied(read: Read) -> dict[int, Head]:
    """A head for each partition that has seen its records."""
    heads = {number: Head(number, window_ms=WINDOW_MS) for number in NUMBERS}
    for number, records in read.items():
        if records:
            Head.apply({number: heads[number]}, records)
    return heads


async def begin(log: Log) -> dict[int, int]:
    return await log.end_offsets(NUMBERS)


class TestAppend:
    async def test_returns_what_is_read_by_partition(self, logs: LogHarness) -> None:
        log = logs.open()
        start = await begin(log)
        batches = [batch(logs.splitter, f"j{n}", f"k{n}") for n in range(5)]
        appended = [await log.append(one, now_ms=NOW_MS) for one in batches]
        assert [sorted(offsets) for offsets in appended] == [one.partitions for one in batches]
        read = await everything(log, start)
        check_exact(read, appended)
        assert {r.kind for records in read.values() for r in records} == {"write"}
        assert sum(head.samples for head in applied(read).values()) == 10
        await log.close()

    async def test_offsets_of_a_partition_ascend(self, logs: LogHarness) -> None:
        log = logs.open()
        [job] = jobs_of(logs.splitter, 1, 1)
        start = await begin(log)
        appended = [await log.append(batch(logs.splitter, job), now_ms=NOW_MS + n) for n in range(5)]
        offsets = [offsets[1] for offsets in appended]
        assert offsets == sorted(set(offsets))
        read = (await everything(log, start))[1]
        assert [(r.offset, r.now_ms) for r in read] == [(o, NOW_MS + n) for n, o in enumerate(offsets)]
        await log.close()

    async def test_many_at_once_are_all_acknowledged(self, logs: LogHarness) -> None:
        log = logs.open()
        start = await begin(log)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(log.append(batch(logs.splitter, f"j{n}"), now_ms=NOW_MS)) for n in range(50)]
        read = await everything(log, start)
        check_exact(read, [task.result() for task in tasks])
        assert sum(head.samples for head in applied(read).values()) == 50
        await log.close()

    async def test_a_seal_lies_where_it_was_appended(self, logs: LogHarness) -> None:
        log = logs.open()
        first, second = jobs_of(logs.splitter, 2, 2)
        start = await begin(log)
        before = await log.append(batch(logs.splitter, first), now_ms=NOW_MS)
        marker = await log.append_seal(2, [WINDOW_MS, -WINDOW_MS])
        after = await log.append(batch(logs.splitter, second), now_ms=NOW_MS)
        assert before[2] < marker < after[2]
        _, seal, _ = (await everything(log, start))[2]
        assert (seal.offset, seal.kind, seal.partition, seal.windows) == (marker, "seal", 2, [WINDOW_MS, -WINDOW_MS])
        await log.close()

    async def test_end_offsets_are_above_all_that_was_acknowledged(self, logs: LogHarness) -> None:
        log = logs.open()
        offsets = await log.append(batch(logs.splitter, "a", "b", "c"), now_ms=NOW_MS)
        marker = await log.append_seal(3, [0])
        ends = await log.end_offsets(NUMBERS)
        assert set(ends) == set(NUMBERS)
        assert all(ends[partition] > offset for partition, offset in offsets.items())
        assert ends[3] > marker
        await log.close()

    async def test_a_cancelled_sender_harms_nobody(self, logs: LogHarness) -> None:
        log = logs.open()
        cancelled = asyncio.create_task(log.append(batch(logs.splitter, "a"), now_ms=NOW_MS))
        await asyncio.sleep(0)
        cancelled.cancel()
        assert await log.append(batch(logs.splitter, "b"), now_ms=NOW_MS)
        await log.close()


class TestDurability:
    async def test_what_was_acknowledged_is_there_after_a_restart(self, logs: LogHarness) -> None:
        log = logs.open()
        start = await begin(log)
        [job] = jobs_of(logs.splitter, 1, 1)
        appended = [await log.append(batch(logs.splitter, job), now_ms=NOW_MS) for _ in range(3)]
        appended.append({1: await log.append_seal(1, [0])})
        await log.close()
        log = logs.open()
        check_exact(await everything(log, start), appended)
        assert (await log.append(batch(logs.splitter, job), now_ms=NOW_MS))[1] > appended[-1][1]
        await log.close()

    async def test_replayed_and_handed_over_records_build_equal_heads(self, logs: LogHarness) -> None:
        log = logs.open()
        start = await begin(log)
        for n in range(10):
            await log.append(batch(logs.splitter, f"j{n}", value=n / 3), now_ms=NOW_MS)
        window = NOW_MS // WINDOW_MS * WINDOW_MS
        markers = {number: await log.append_seal(number, [window]) for number in NUMBERS}
        live = applied(await everything(log, start))
        await log.close()
        log = logs.open()
        replayed = applied(await everything(log, start))
        for number in [number for number in NUMBERS if live[number].windows()]:
            cuts = [
                [(p.uid, p.samples, p.digest) for p in h[number].cut(window, markers[number])] for h in (live, replayed)
            ]
            assert cuts[0] == cuts[1]
        assert sum(head.samples for head in live.values()) == 10
        await log.close()

    async def test_a_write_of_unknown_outcome_that_is_sent_again_counts_once(self, logs: LogHarness) -> None:
        log = logs.open()
        [job] = jobs_of(logs.splitter, 0, 1)
        start = await begin(log)
        faults.arm("log.queued:fail:1")
        with pytest.raises(UnavailableError):
            await log.append(batch(logs.splitter, job), now_ms=NOW_MS)
        await log.append(batch(logs.splitter, job), now_ms=NOW_MS)
        read = await everything(log, start)
        batches = [batch for record in read[0] for batch in record.batches]
        assert sum(batch.samples for batch in batches) == 2  # the first one had become durable after all
        assert sum(head.samples for head in applied(read).values()) == 1
        await log.close()

    async def test_a_late_duplicate_counts_once_and_is_no_conflict(self, logs: LogHarness) -> None:
        log = logs.open()
        start = await begin(log)
        for job in ("a", "b", "a"):
            await log.append(batch(logs.splitter, job), now_ms=NOW_MS)
        held = applied(await everything(log, start))
        assert sum(head.samples for head in held.values()) == 2
        assert sum(head.conflicts for head in held.values()) == 0
        await log.close()

    async def test_of_two_values_at_one_time_the_lower_offset_stays(self, logs: LogHarness) -> None:
        log = logs.open()
        [job] = jobs_of(logs.splitter, 0, 1)
        start = await begin(log)
        for value in (1.0, 2.0):
            await log.append(batch(logs.splitter, job, value=value), now_ms=NOW_MS)
        window = NOW_MS // WINDOW_MS * WINDOW_MS
        marker = await log.append_seal(0, [window])
        read = await everything(log, start)
        first, second, seal = read[0]
        both, only_first = applied(read)[0], applied({0: [first, seal]})[0]
        assert first.offset < second.offset
        assert (both.samples, both.conflicts) == (1, 1)
        assert both.cut(window, marker)[0].digest == only_first.cut(window, marker)[0].digest
        await log.close()


class TestReading:
    async def test_waits_for_what_comes(self, logs: LogHarness) -> None:
        log = logs.open()
        [job] = jobs_of(logs.splitter, 1, 1)
        reader = log.reader()
        start = {1: (await begin(log))[1]}
        reading = asyncio.create_task(asyncio.to_thread(read_to, reader, start, {1: start[1] + 1}))
        offsets = await log.append(batch(logs.splitter, job), now_ms=NOW_MS)
        assert [r.offset for r in (await reading)[1]] == [offsets[1]]
        await log.close()

    async def test_returns_nothing_when_nothing_comes(self, logs: LogHarness) -> None:
        log = logs.open()
        reader = log.reader()
        reader.assign(await begin(log))
        assert await asyncio.to_thread(reader.read, max_records=10, timeout_ms=5) == []
        await log.close()

    async def test_a_wake_ends_the_wait(self, logs: LogHarness) -> None:
        log = logs.open()
        reader = log.reader()
        reader.assign(await begin(log))
        reading = asyncio.create_task(asyncio.to_thread(reader.read, max_records=10, timeout_ms=LONG_MS))
        reader.wake()  # before or after the thread begins to wait: neither is lost
        assert await reading == []
        await log.close()

    async def test_from_an_older_offset(self, logs: LogHarness) -> None:
        log = logs.open()
        [job] = jobs_of(logs.splitter, 2, 1)
        start = await begin(log)
        offsets = [(await log.append(batch(logs.splitter, job), now_ms=NOW_MS))[2] for _ in range(4)]
        ends = await log.end_offsets([2])
        reader = log.reader()
        for position, expected in ((start[2], offsets), (offsets[2], offsets[2:]), (start[2], offsets)):
            read = await asyncio.to_thread(read_to, reader, {2: position}, ends)
            assert [r.offset for r in read[2]] == expected
        await log.close()

    async def test_of_only_what_is_assigned(self, logs: LogHarness) -> None:
        log = logs.open()
        jobs = {number: jobs_of(logs.splitter, number, 1)[0] for number in (0, 1, 2)}
        start = await begin(log)
        offsets = {number: await log.append(batch(logs.splitter, job), now_ms=NOW_MS) for number, job in jobs.items()}
        ends = await log.end_offsets(NUMBERS)
        reader = log.reader()
        alone = await asyncio.to_thread(read_to, reader, {1: start[1]}, ends)
        assert set(alone) == {1}
        # One that is kept goes on where it is, another one joins, and one is gone.
        later = await log.append(batch(logs.splitter, jobs[1]), now_ms=NOW_MS)
        read = await asyncio.to_thread(read_to, reader, {1: ends[1], 2: start[2]}, await log.end_offsets(NUMBERS))
        heads = applied({1: alone[1] + read[1], 2: read[2]})
        assert [heads[number].samples for number in NUMBERS] == [0, 1, 1, 0]
        assert (1, later[1]) in offsets_of(read)
        assert (1, offsets[1][1]) not in offsets_of(read)
        await log.close()

    async def test_by_two_readers_gives_both_everything(self, logs: LogHarness) -> None:
        log = logs.open()
        start = await begin(log)
        appended = [await log.append(batch(logs.splitter, f"j{n}"), now_ms=NOW_MS) for n in range(20)]
        ends = await log.end_offsets(NUMBERS)
        readers = [log.reader(), log.reader()]
        both = [asyncio.create_task(asyncio.to_thread(read_to, reader, start, ends)) for reader in readers]
        for reading in both:
            check_exact(await reading, appended)
        await log.close()

    async def test_ends_when_the_reader_is_closed(self, logs: LogHarness) -> None:
        log = logs.open()
        reader = log.reader()
        reader.assign(await begin(log))
        reading = asyncio.create_task(asyncio.to_thread(read_until_closed, reader))
        reader.close()
        await reading
        await log.close()

    async def test_ends_when_the_log_is_closed(self, logs: LogHarness) -> None:
        log = logs.open()
        reader = log.reader()
        reader.assign(await begin(log))
        reading = asyncio.create_task(asyncio.to_thread(read_until_closed, reader))
        await log.close()
        await reading


def read_until_closed(reader: LogReader) -> None:
    with suppress(CanceledError):
        while True:
            reader.read(max_records=10, timeout_ms=LONG_MS)


class TestTrim:
    async def test_keeps_what_any_partition_needs(self, logs: LogHarness) -> None:
        log = logs.open()
        jobs = {number: jobs_of(logs.splitter, number, 1)[0] for number in NUMBERS}
        appended = [await log.append(batch(logs.splitter, jobs[n % 4]), now_ms=NOW_MS) for n in range(12)]
        kept = {number: appended[4 + number][number] for number in NUMBERS}
        await log.trim(kept)
        firsts = await log.first_offsets(NUMBERS)
        assert all(firsts[number] <= kept[number] for number in NUMBERS)
        read = await everything(log, kept)
        for number in NUMBERS:
            assert {(number, appended[n][number]) for n in (4 + number, 8 + number)} <= offsets_of(read)
        await log.close()

    async def test_of_everything_leaves_a_log_that_goes_on(self, logs: LogHarness) -> None:
        log = logs.open()
        [job] = jobs_of(logs.splitter, 0, 1)
        last = [(await log.append(batch(logs.splitter, job), now_ms=NOW_MS))[0] for _ in range(6)][-1]
        ends = await log.end_offsets(NUMBERS)
        await log.trim(ends)
        assert all(first <= ends[number] for number, first in (await log.first_offsets(NUMBERS)).items())
        await log.close()
        log = logs.open()
        later = await log.append(batch(logs.splitter, job), now_ms=NOW_MS)
        assert later[0] > last
        check_exact(await everything(log, ends), [later])
        await log.close()
