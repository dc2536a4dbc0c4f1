"""What the log on Kafka does when something is wrong with Kafka, on a real broker. The seam's own laws are in
tests/contracts/test_log.py.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.errors import KafkaTimeoutError, TopicAlreadyExistsError

from shared.errors import TooLargeError, UnavailableError
from shared.kafka import clients
from shared.kafka.log import KafkaLog
from shared.kafka.reader import KafkaLogReader, Losses
from shared.native import CorruptError, LogRecord, RecordDecoder, Splitter, WriteLimits
from tests.support.kafka import PASSWORD, USER, Kafka
from tests.support.kafka_log import (
    DEADLINE_S,
    NOW_MS,
    PARTITIONS,
    SPLITTER,
    UID,
    Topic,
    batch,
    everything,
    forged,
    job_in,
    read,
)
from tests.support.remote_write import body

T = TypeVar("T")

IMPATIENT = {"delivery_s": 1.5, "lookup_s": 1.0}


@pytest.fixture
def topic(kafka: Kafka) -> Topic:
    return Topic(kafka)


async def until_it_works(attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeats what is refused because something is away, as a sender does."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                return await attempt()
            except UnavailableError:
                await asyncio.sleep(0.05)


class TestAppend:
    async def test_what_waits_is_bounded(self, topic: Topic) -> None:
        log = topic.open(queue_bytes=1)
        first = asyncio.create_task(log.append(batch("a"), now_ms=NOW_MS))
        await asyncio.sleep(0)
        assert (log.waiting, log.held_bytes > 1) == (1, True)
        with pytest.raises(UnavailableError, match="the limit is 1") as refused:
            await log.append(batch("b"), now_ms=NOW_MS)
        assert refused.value.retry_after_s > 0
        with pytest.raises(UnavailableError, match="the limit is 1"):
            await log.append_seal(0, [0])
        await first
        await log.append(batch("b"), now_ms=NOW_MS)
        assert (log.waiting, log.held_bytes) == (0, 0)
        await log.close()

    async def test_what_has_no_room_in_a_record_is_refused_and_nothing_else(self, topic: Topic) -> None:
        log = topic.open()
        limits = WriteLimits(max_value_bytes=1 << 20)
        series = [({"__name__": "up", "job": "x" * 500_000}, [(NOW_MS, 1.0)])]
        long = SPLITTER.split(body(series), uid=UID, shards=1, limits=limits, now_ms=NOW_MS)
        with pytest.raises(TooLargeError, match="a record of the log takes"):
            await log.append(long, now_ms=NOW_MS)
        await log.append(batch("a"), now_ms=NOW_MS)
        await log.close()

    async def test_a_large_request_lies_in_several_records(self, topic: Topic) -> None:
        log = topic.open()
        # Values that do not compress, in one series.
        state, samples = 1, []
        for n in range(200_000):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            samples.append((NOW_MS + n, float(state)))
        request = body([({"__name__": "up", "job": "a"}, samples)])
        limits = WriteLimits(max_body_bytes=1 << 30, max_future_ms=None)
        large = SPLITTER.split(request, uid=UID, shards=PARTITIONS, limits=limits, now_ms=NOW_MS)
        [partition] = large.partitions
        offsets = await log.append(large, now_ms=NOW_MS)
        seen = (await everything(log, partition))[partition]
        assert len(seen.records) > 2
        assert offsets == {partition: seen.offsets[-1]}
        assert seen.applied(partition).samples == len(samples)
        await log.close()

    async def test_after_closing_it_is_unavailable(self, topic: Topic) -> None:
        log = topic.open()
        queued = asyncio.create_task(log.append(batch("a"), now_ms=NOW_MS))
        await asyncio.sleep(0)
        await log.close()
        assert await queued, "what was queued is sent before it closes"
        for call in (
            log.append(batch("a"), now_ms=NOW_MS),
            log.append_seal(0, [0]),
            log.end_offsets([0]),
        ):
            with pytest.raises(UnavailableError, match="closed"):
                await call


class TestReading:
    async def test_a_partition_that_gave_much_is_asked_for_the_next_record_at_once(
        self, topic: Topic, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(clients, "_FETCH_WAIT_MS", int(2 * DEADLINE_S * 1000))  # what waits for it waits in vain
        log = topic.open(lookup_s=3 * DEADLINE_S)
        reader = log.reader()
        end = 0
        for count in (1, 40, 1):  # the first answer of a broker has all partitions, the others those with records
            async with asyncio.TaskGroup() as appends:
                for _ in range(count):
                    appends.create_task(log.append_seal(0, [0]))
            begin, end = end, end + count
            assert (await read(reader, {0: begin, 1: 0}, {0: end, 1: 0}))[0].offsets == list(range(begin, end))
        await log.close()


class TestPausedBroker:
    """Stopped with SIGSTOP: connections stay, nothing answers. Afterwards everything goes on without a restart."""

    async def test_appends_fail_in_time_and_go_on(self, topic: Topic, kafka: Kafka) -> None:
        log = topic.open(**IMPATIENT)
        job = job_in(1)
        await log.append(batch(job), now_ms=NOW_MS)
        with kafka.brokers[0].paused():
            tasks = [asyncio.create_task(log.append(batch(job, value=2.0), now_ms=NOW_MS)) for _ in range(3)]
            tasks.append(asyncio.create_task(log.append_seal(1, [0])))
            for task in tasks:
                with pytest.raises(UnavailableError, match="may not be in the log, send it again") as failed:
                    await asyncio.wait_for(task, DEADLINE_S)
                assert failed.value.retry_after_s > 0
        offsets = await until_it_works(lambda: log.append(batch(job_in(1, 1)), now_ms=NOW_MS))
        assert log.held_bytes == 0, "what was given up is counted no longer than the producer holds it"
        seen = (await everything(log, 1))[1]
        assert seen.offsets[-1] >= offsets[1]
        await log.close()

    def test_a_producer_with_something_on_its_way_is_abandoned(self, topic: Topic, kafka: Kafka) -> None:
        producer = clients.producer(topic.settings())
        producer.send(topic.name, value=b"x", partition=0).get(timeout=DEADLINE_S)
        with kafka.brokers[0].paused():
            sent = producer.send(topic.name, value=b"y", partition=0)
            with pytest.raises(KafkaTimeoutError):
                producer.close(timeout=0)
            assert not producer._closed
            clients.abandon(producer)
            assert producer._closed
            assert sent.failed()

    async def test_what_is_sent_again_after_an_unknown_outcome_merges(self, topic: Topic, kafka: Kafka) -> None:
        log = topic.open(**IMPATIENT)
        job = job_in(2)
        await log.append(batch(job_in(2, 1)), now_ms=NOW_MS)
        with kafka.brokers[0].paused(), pytest.raises(UnavailableError):
            await log.append(batch(job), now_ms=NOW_MS)
        await until_it_works(lambda: log.append(batch(job), now_ms=NOW_MS))
        head = (await everything(log, 2))[2].applied(2)
        assert (head.samples, head.conflicts) == (2, 0)
        await log.close()

    async def test_look_ups_fail_in_time_and_go_on(self, topic: Topic, kafka: Kafka) -> None:
        log = topic.open(**IMPATIENT)
        offsets = await log.append(batch("a"), now_ms=NOW_MS)
        [(partition, offset)] = offsets.items()
        with kafka.brokers[0].paused():
            for lookup in (log.end_offsets, log.first_offsets):
                with pytest.raises(UnavailableError, match="Kafka"):
                    await lookup([partition])
        ends = await until_it_works(lambda: log.end_offsets([partition]))
        assert ends == {partition: offset + 1}
        await log.close()

    async def test_a_reader_waits_and_goes_on(self, topic: Topic, kafka: Kafka) -> None:
        log = topic.open(**IMPATIENT)
        reader = log.reader()
        begin = {3: 0}
        await log.append(batch(job_in(3)), now_ms=NOW_MS)
        assert len((await read(reader, begin, {3: 1}))[3].records) == 1
        with kafka.brokers[0].paused():
            assert await asyncio.to_thread(reader.read, max_records=1, timeout_ms=300) == []
        await until_it_works(lambda: log.append(batch(job_in(3, 1)), now_ms=NOW_MS))
        assert (await read(reader, {3: 1}, {3: 2}))[3].offsets[0] == 1
        await log.close()

    async def test_the_event_loop_goes_on(self, topic: Topic, kafka: Kafka) -> None:
        log = topic.open(**IMPATIENT)
        await log.append(batch("a"), now_ms=NOW_MS)
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.001)

        turning = asyncio.create_task(turn())
        with kafka.brokers[0].paused():
            calls = [
                log.append(batch("b"), now_ms=NOW_MS),
                log.append_seal(0, [0]),
                log.end_offsets([0]),
                log.first_offsets([0]),
            ]
            tasks = [asyncio.create_task(call) for call in calls]  # type: ignore[arg-type]
            reader = log.reader()
            reader.assign({0: 0})
            reader.wake()
            await asyncio.wait(tasks)
            reader.close()
            before = turns
        assert all(isinstance(task.exception(), UnavailableError) for task in tasks)
        # Each of them took a second or more: whichever held the loop up would have left it a few turns.
        assert before > 100
        turning.cancel()
        await log.close()


class CountingDecoder:
    """Counts how often each record was decoded, and takes some for damaged as often as it is told."""

    def __init__(self, splitter: Splitter, *, fails: dict[int, int] | None = None) -> None:
        self.decoded: list[int] = []
        self._real = RecordDecoder(splitter)
        self._fails = fails or {}

    def decode(self, partition: int, offset: int, value: bytes) -> LogRecord:
        self.decoded.append(offset)
        if self._fails.get(offset, 0) > 0:
            self._fails[offset] -= 1
            raise CorruptError("damaged on its way")
        return self._real.decode(partition, offset, value)


def counting_reader(topic: Topic, decoder: CountingDecoder) -> tuple[KafkaLogReader, Losses]:
    losses = Losses()
    return KafkaLogReader(topic.settings(), decoder, losses), losses  # type: ignore[arg-type]


class TestDamage:
    async def test_is_fetched_again_once_and_then_told_and_passed(self, topic: Topic) -> None:
        log = topic.open()
        first, second = job_in(0), job_in(0, 1)
        before = await log.append(batch(first), now_ms=NOW_MS)
        bad = topic.put(0, b"no record of ours", forged(kind=1, payload=b"no section"))
        after = await log.append(batch(second), now_ms=NOW_MS)
        decoder = CountingDecoder(SPLITTER)
        reader, losses = counting_reader(topic, decoder)
        seen = (await read(reader, {0: 0}, {0: after[0] + 1}))[0]
        assert seen.offsets == [before[0], after[0]]
        assert seen.damaged == [(bad[0], b"no record of ours"), (bad[1], forged(kind=1, payload=b"no section"))]
        reasons = [damaged.reason for fetched in seen.fetched for damaged in fetched.damaged]
        assert all(f"record {offset} of partition 0" in reason for offset, reason in zip(bad, reasons, strict=True))
        assert (seen.lost, seen.stopped, losses) == (0, [], Losses(lost=0, damaged=2))
        assert [decoder.decoded.count(offset) for offset in bad] == [2, 2]
        assert seen.applied(0).samples == 2
        reader.close()
        await log.close()

    async def test_that_was_only_on_the_way_is_no_damage(self, topic: Topic) -> None:
        log = topic.open()
        offsets = [(await log.append(batch(job_in(0)), now_ms=NOW_MS))[0] for _ in range(3)]
        reader, losses = counting_reader(topic, CountingDecoder(SPLITTER, fails={offsets[1]: 1}))
        seen = (await read(reader, {0: 0}, {0: 3}))[0]
        assert (seen.offsets, seen.damaged, losses) == (offsets, [], Losses())
        reader.close()
        await log.close()

    async def test_of_a_value_on_a_brokers_disk(self, topic: Topic, kafka: Kafka) -> None:
        log = topic.open()
        offsets = [(await log.append(batch(job_in(0), value=v), now_ms=NOW_MS))[0] for v in (1.0, 2.0, 3.0)]
        file = kafka.brokers[0].folder / "data" / f"{topic.name}-0" / f"{0:020}.log"
        stored = bytearray(file.read_bytes())
        at = [n for n in range(len(stored)) if stored.startswith(b"HRRC", n)][1]
        with file.open("r+b") as changed:
            changed.seek(at + 30)
            changed.write(bytes([stored[at + 30] ^ 1]))
        seen = (await everything(log, 0))[0]
        assert seen.offsets == [offsets[0], offsets[2]]
        assert [offset for offset, _ in seen.damaged] == [offsets[1]]
        await log.close()

    async def test_of_a_batch_on_a_brokers_disk_stops_its_partition_and_no_other(
        self, topic: Topic, kafka: Kafka
    ) -> None:
        log = topic.open()
        offsets = [(await log.append(batch(job_in(0), value=v), now_ms=NOW_MS))[0] for v in (1.0, 2.0, 3.0)]
        other = (await log.append(batch(job_in(1)), now_ms=NOW_MS))[1]
        file = kafka.brokers[0].folder / "data" / f"{topic.name}-0" / f"{0:020}.log"
        stored = bytearray(file.read_bytes())
        at = [n for n in range(len(stored)) if stored.startswith(b"HRRC", n)][1]
        with file.open("r+b") as changed:  # the lengths before the value
            changed.seek(at - 3)
            changed.write(bytes([0xFF, 0xFF, 0xFF]))
        reader = log.reader()
        seen = await read(reader, {0: 0, 1: 0}, await log.end_offsets([0, 1]))
        assert seen[0].offsets == offsets[:1]
        assert "kafka-leader-election.sh" in seen[0].stopped[0]
        assert seen[0].fetched[-1].end == offsets[1]
        assert seen[1].offsets == [other]
        later = (await log.append(batch(job_in(1)), now_ms=NOW_MS))[1]
        assert (await read(reader, {0: offsets[1], 1: later}, {0: 0, 1: later + 1}))[1].offsets == [later]
        await log.close()


class TestNewerFormat:
    async def test_stops_its_partition_and_no_other(self, topic: Topic) -> None:
        log = topic.open()
        before = (await log.append(batch(job_in(0)), now_ms=NOW_MS))[0]
        [newer] = topic.put(0, forged(version=3))
        await log.append(batch(job_in(0, 1)), now_ms=NOW_MS)
        other = (await log.append(batch(job_in(1)), now_ms=NOW_MS))[1]
        reader = log.reader()
        seen = await read(reader, {0: 0, 1: 0}, await log.end_offsets([0, 1]))
        assert seen[0].offsets == [before]
        [stopped] = seen[0].stopped
        assert f"record {newer} of partition 0" in stopped
        assert "format 3" in stopped
        assert (seen[0].fetched[-1].end, seen[0].damaged, seen[0].lost) == (newer, [], 0)
        assert seen[1].offsets == [other]
        # Said once; the other partition goes on.
        later = (await log.append(batch(job_in(1)), now_ms=NOW_MS))[1]
        more = await read(reader, {0: newer, 1: other + 1}, {0: 0, 1: later + 1})
        assert (more[0].fetched, more[1].offsets) == ([], [later])
        # A reader that begins anew says it again.
        again = await everything(log, 0)
        assert again[0].stopped == [stopped]
        await log.close()


class TestLoss:
    async def test_what_retention_took_is_counted_and_passed(self, topic: Topic, kafka: Kafka) -> None:
        log = topic.open()
        offsets = [(await log.append(batch(job_in(0)), now_ms=NOW_MS))[0] for _ in range(5)]
        with kafka.admin() as admin:
            admin.delete_records({TopicPartition(topic.name, 0): offsets[3]})
        assert await log.first_offsets([0]) == {0: offsets[3]}
        seen = (await everything(log, 0))[0]
        assert (seen.offsets, seen.lost, log.losses) == (offsets[3:], 3, Losses(lost=3, damaged=0))
        # One that was within all the time notices too.
        reader = log.reader()
        assert (await read(reader, {0: offsets[3]}, {0: offsets[3] + 1}))[0].lost == 0
        later = (await log.append(batch(job_in(0)), now_ms=NOW_MS))[0]
        with kafka.admin() as admin:
            admin.delete_records({TopicPartition(topic.name, 0): later})
        seen = (await read(reader, {0: offsets[1]}, {0: later + 1}))[0]
        assert (seen.offsets, seen.lost) == ([later], later - offsets[1])
        await log.close()

    async def test_a_hole_is_counted_and_passed(self, topic: Topic, kafka: Kafka) -> None:
        """The marker that ends a transaction takes an offset and is no record, so a foreign sender makes holes."""
        log = topic.open()
        value = forged(kind=2, payload=bytes(8))
        producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=topic.name)
        producer.init_transactions()
        for _ in range(2):
            producer.begin_transaction()
            producer.send(topic.name, value=value, partition=0)
            producer.commit_transaction()
        producer.close()
        last = await log.append_seal(0, [0])
        seen = (await everything(log, 0))[0]
        assert (seen.offsets, last, seen.lost) == ([0, 2, 4], 4, 2)
        await log.close()

    async def test_a_topic_made_anew_stops_those_who_read_the_old_one(self, topic: Topic, kafka: Kafka) -> None:
        log = topic.open()
        offsets = [(await log.append(batch(job_in(0)), now_ms=NOW_MS))[0] for _ in range(3)]
        await log.close()
        kafka.delete_topics(topic.name)

        await until_made(topic)
        log = topic.open()
        reader = log.reader()
        seen = (await read(reader, {0: offsets[2] + 1}, {0: offsets[2] + 2}))[0]
        [stopped] = seen.stopped
        assert "made anew" in stopped
        await log.close()


async def until_made(topic: Topic) -> None:
    """A name is free a moment after its topic was deleted."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                return topic.make()
            except TopicAlreadyExistsError:
                await asyncio.sleep(0.05)


class TestSecurity:
    async def test_tls_and_a_login(self, topic: Topic, kafka: Kafka) -> None:
        settings = topic.settings()
        secure = {
            "brokers": (kafka.secure_bootstrap,),
            "topic": topic.name,
            "tls": True,
            "ca_file": kafka.certificates.authority,
            "sasl_mechanism": "PLAIN",
            "sasl_user": USER,
            "connect_s": 3.0,
        }
        right = type(settings)(**secure, sasl_password=PASSWORD)  # type: ignore[arg-type]
        assert PASSWORD not in repr(right)
        log = KafkaLog(right, SPLITTER)
        offsets = await log.append(batch("a"), now_ms=NOW_MS)
        ends = await log.end_offsets(list(offsets))
        assert all(ends[partition] == offset + 1 for partition, offset in offsets.items())
        await log.close()

        wrong = type(settings)(**secure, sasl_password="a wrong one")  # type: ignore[arg-type]
        # The broker's own words may be lost, since it hangs up right behind them; what to look at is always said.
        with pytest.raises(UnavailableError, match=r"kafka\.sasl_password theirs\? Bootstrap connection") as refused:
            await asyncio.to_thread(KafkaLog, wrong, SPLITTER)
        assert "a wrong one" not in str(refused.value)

        strangers = type(settings)(**{**secure, "ca_file": None}, sasl_password=PASSWORD)  # type: ignore[arg-type]
        with pytest.raises(UnavailableError, match=r"kafka\.ca_file.*certificate verify failed"):
            await asyncio.to_thread(KafkaLog, strangers, SPLITTER)

    async def test_nobody_there_is_told_with_the_addresses(self, topic: Topic) -> None:
        settings = topic.settings(connect_s=0.5)
        nobody = type(settings)(brokers=("127.0.0.1:1",), topic="t", connect_s=0.5)
        with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1 within 0\.5 s"):
            await asyncio.to_thread(KafkaLog, nobody, SPLITTER)
