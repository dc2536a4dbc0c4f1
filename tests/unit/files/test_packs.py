"""Packs through the door."""

from pathlib import Path

import pytest

from shared.native import BadDataError, CorruptError, Files, Packs


def test_values_come_back_by_their_spans(tmp_path: Path) -> None:
    packs = Packs.open(Files.real(), str(tmp_path / "packs"))
    values = [b"", b"root", b"page" * 30_000]
    spans = packs.write("attempt-1", values)
    assert [length for _, length in spans] == [len(value) for value in values]
    reopened = Packs.open(Files.real(), str(tmp_path / "packs"))
    for opened in (packs, reopened):
        assert opened.read("attempt-1", spans) == values
        assert opened.read("attempt-1", [spans[2], spans[1]]) == [values[2], values[1]]
        assert opened.read("attempt-1", []) == []
    assert packs.names() == ["attempt-1"]
    assert packs.size("attempt-1") == (tmp_path / "packs" / "attempt-1.pack").stat().st_size
    packs.remove("attempt-1")
    assert packs.names() == []
    with pytest.raises(FileNotFoundError):
        packs.read("attempt-1", spans)


def test_packs_are_written_once_under_plain_names() -> None:
    packs = Packs.open(Files.simulated(1), "packs")
    spans = packs.write("a", [b"first"])
    with pytest.raises(FileExistsError):
        packs.write("a", [b"second"])
    assert packs.read("a", spans) == [b"first"]
    with pytest.raises(BadDataError, match="cannot name a pack"):
        packs.write("../a", [b""])


def test_changed_values_and_wrong_spans_are_refused(tmp_path: Path) -> None:
    packs = Packs.open(Files.real(), str(tmp_path))
    spans = packs.write("a", [b"root", b"page"])
    for wrong in [(9, 3), (0, 1 << 62), (1 << 62, 1)]:
        with pytest.raises(CorruptError, match=r"a\.pack"):
            packs.read("a", [wrong])
    data = bytearray((tmp_path / "a.pack").read_bytes())
    data[spans[1][0]] ^= 1
    (tmp_path / "a.pack").write_bytes(data)
    assert packs.read("a", spans[:1]) == [b"root"]
    with pytest.raises(CorruptError, match="does not match its checksum"):
        packs.read("a", spans)
