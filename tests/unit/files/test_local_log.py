"""The local log through the door; what it promises under power cuts is tested beside its code."""

import threading
from pathlib import Path

import pytest

from shared.native import CanceledError, CorruptError, Files, LocalLog, LogRecord
from tests.unit.files.logs import append, batch, drain, open_log, read_all, wait_for


def test_live_tail_and_replay_agree(tmp_path: Path) -> None:
    log = open_log(Files.real(), str(tmp_path))
    append(log, *range(20))
    wait_for(log, log.append_seal(3, [-7_200_000, 0]))
    live = read_all(log, 0)
    replayed = read_all(log, 0)
    log.close()
    reopened = open_log(Files.real(), str(tmp_path))
    assert reopened.first == 0
    assert reopened.committed == 21
    for records in (live, replayed, read_all(reopened, 0)):
        assert [record.offset for record in records] == list(range(21))
        assert [record.now_ms for record in records[:20]] == list(range(20))
        assert {record.kind for record in records[:20]} == {"write"}
        assert {record.batches[0].samples for record in records[:20]} == {1}
        assert (records[20].kind, records[20].partition, records[20].windows) == ("seal", 3, [-7_200_000, 0])
    assert live[0].batches[0].body
    assert not replayed[0].batches[0].body


def test_a_record_has_only_what_its_kind_has() -> None:
    log = open_log(Files.simulated(1), "log")
    append(log, 0)
    wait_for(log, log.append_seal(1, []))
    write, seal = read_all(log, 0)
    with pytest.raises(AttributeError, match="record 0 is a write"):
        _ = write.partition
    with pytest.raises(AttributeError, match="record 0 is a write"):
        _ = write.windows
    with pytest.raises(AttributeError, match="record 1 is a seal"):
        _ = seal.batches


def test_a_reader_waits_without_the_gil() -> None:
    log = open_log(Files.simulated(1), "log")
    read: list[LogRecord] = []
    reader = threading.Thread(target=lambda: read.extend(log.read(0, max_records=5, timeout_ms=60_000)))
    reader.start()
    append(log, 7)
    reader.join()
    assert [record.now_ms for record in read] == [7]
    assert log.read(1, max_records=5, timeout_ms=0) == []


def test_reads_outside_the_log_are_errors() -> None:
    log = open_log(Files.simulated(1), "log")
    append(log, 0, 1, 2)
    log.trim(2)
    log.trim(3)
    with pytest.raises(CorruptError, match="the log begins with 3"):
        log.read(2, max_records=1, timeout_ms=0)
    with pytest.raises(CorruptError, match="the log ends before 3"):
        log.read(4, max_records=1, timeout_ms=0)
    with pytest.raises(ValueError, match="max_records"):
        log.read(3, max_records=0, timeout_ms=0)


def test_trim_frees_what_is_not_needed(tmp_path: Path) -> None:
    log = open_log(Files.real(), str(tmp_path))
    append(log, *range(60))
    before = log.bytes
    assert before == sum(file.stat().st_size for file in tmp_path.iterdir())
    log.trim(40)
    assert 0 < log.first <= 40
    assert log.bytes < before
    log.trim(60)
    assert log.first == 60
    assert [file.name for file in tmp_path.iterdir()] == ["00000000000000000060.log"]


def test_a_full_queue_blocks_at_the_door() -> None:
    log = open_log(Files.simulated(1), "log", queue_bytes=1)
    large = batch(0, "x" * 4000)

    def append_until_full() -> None:
        while True:
            log.append(large, now_ms=0)

    with pytest.raises(BlockingIOError, match="try again when the disk has caught up"):
        append_until_full()
    offset = append_when_free(log)
    wait_for(log, offset)
    assert log.failure is None


def append_when_free(log: LocalLog) -> int:
    while True:
        try:
            return log.append(batch(1), now_ms=0)
        except BlockingIOError:
            drain(log)


def test_a_failed_write_stops_the_log_and_says_why() -> None:
    files = Files.simulated(1)
    log = open_log(files, "log")
    append(log, 0)
    after = files.power_cut()
    append(log, 1)
    assert log.committed == 1
    assert log.failure is not None
    assert "the power is off" in log.failure
    with pytest.raises(OSError, match="cannot be written"):
        log.append(batch(2), now_ms=0)
    log.close()
    assert open_log(after, "log").committed == 1


def test_a_closed_log_cancels() -> None:
    log = open_log(Files.simulated(1), "log")
    log.append(batch(0), now_ms=0)
    log.close()
    log.close()
    assert log.committed == 1
    with pytest.raises(OSError, match="the log is closed"):
        log.append(batch(1), now_ms=0)
    with pytest.raises(CanceledError):
        log.read(0, max_records=1, timeout_ms=0)


def test_damage_names_file_and_byte(tmp_path: Path) -> None:
    log = open_log(Files.real(), str(tmp_path), segment_bytes=1 << 20)
    append(log, 0, 1, 2)
    log.close()
    (segment,) = tmp_path.iterdir()
    data = bytearray(segment.read_bytes())
    data[60] ^= 1
    segment.write_bytes(data)
    with pytest.raises(CorruptError, match=rf"{segment}: record 0 is damaged at byte 40 .* restore the file"):
        open_log(Files.real(), str(tmp_path))


def test_a_torn_tail_is_repaired(tmp_path: Path) -> None:
    log = open_log(Files.real(), str(tmp_path), segment_bytes=1 << 20)
    append(log, 0, 1, 2)
    log.close()
    (segment,) = tmp_path.iterdir()
    segment.write_bytes(segment.read_bytes()[:-1])
    log = open_log(Files.real(), str(tmp_path))
    assert log.committed == 2
    append(log, 9)
    assert [record.now_ms for record in read_all(log, 0)] == [0, 1, 9]
