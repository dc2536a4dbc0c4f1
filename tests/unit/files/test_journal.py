"""The journal through the door."""

from pathlib import Path
from types import MappingProxyType

import pytest

from shared.native import CorruptError, Files, Journal


def test_commits_are_atomic_and_conditional(tmp_path: Path) -> None:
    path = str(tmp_path / "deep" / "journal")
    journal = Journal.open(Files.real(), path)
    assert journal.commit({"a/1": b"one", "a/2": b"two"}, expect={"a/1": None})
    assert not journal.commit({"a/1": b"other"}, ["a/2"], expect={"a/1": None})
    assert journal.commit(MappingProxyType({"b": b""}), ["a/2", "absent"], expect={"a/1": b"one", "b": None})
    assert journal.commit({})
    for opened in (journal, Journal.open(Files.real(), path)):
        assert opened.scan("a/") == [("a/1", b"one")]
        assert opened.scan("") == [("a/1", b"one"), ("b", b"")]
        assert opened.get("b") == b""
        assert opened.get("a/2") is None


def test_it_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal.open(Files.real(), str(path))
    for round_ in range(60):
        journal.commit({"key": bytes([round_]) * 20_000})
    assert path.stat().st_size < 400_000
    assert Journal.open(Files.real(), str(path)).get("key") == bytes([59]) * 20_000


def test_it_stops_when_the_disk_does_and_when_closed() -> None:
    files = Files.simulated(1)
    journal = Journal.open(files, "journal")
    journal.commit({"a": b"1"})
    after = files.power_cut()
    with pytest.raises(OSError, match="the power is off"):
        journal.commit({"a": b"2"})
    with pytest.raises(OSError, match="cannot be written"):
        journal.commit({"a": b"2"})
    assert journal.get("a") == b"1"
    reopened = Journal.open(after, "journal")
    assert reopened.get("a") == b"1"
    reopened.close()
    with pytest.raises(OSError, match="was closed"):
        reopened.commit({"a": b"2"})


def test_damage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal.open(Files.real(), str(path))
    journal.commit({"a": b"1"})
    journal.commit({"a": b"2"})
    data = bytearray(path.read_bytes())
    data[90] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptError, match=rf"journal {path}: record 0 is damaged .* restore the file"):
        Journal.open(Files.real(), str(path))
