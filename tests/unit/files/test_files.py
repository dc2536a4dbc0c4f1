"""File layers through the door."""

from pathlib import Path

import pytest

from shared.native import CorruptError, Files
from tests.unit.files.logs import append, open_log


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    folder = str(tmp_path / "data")
    lock = Files.real().lock(folder)
    with pytest.raises(OSError, match=r"in use by process \d+: stop it, or choose another data folder"):
        Files.real().lock(folder)
    lock.release()
    lock.release()
    Files.real().lock(folder)


def test_faults_are_for_simulated_files() -> None:
    with pytest.raises(ValueError, match="power_cut is for simulated files"):
        Files.real().power_cut()
    with pytest.raises(ValueError, match="ignore_sync is for simulated files"):
        Files.real().ignore_sync("data")
    with pytest.raises(ValueError, match="not 'neither'"):
        Files.simulated(1).ignore_sync("neither")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="counts from 1"):
        Files.simulated(1).ignore_sync("data", 0)


def held_after_power_cut(seed: int, *, is_lying: bool) -> int | None:
    """How many of five acknowledged records are there; None if the log cannot be opened."""
    files = Files.simulated(seed)
    log = open_log(files, "log")
    if is_lying:
        files.ignore_sync("data")
    append(log, *range(5))
    try:
        return open_log(files.power_cut(), "log").committed
    except CorruptError:
        return None


def test_acknowledged_records_survive_unless_syncs_lie() -> None:
    assert {held_after_power_cut(seed, is_lying=False) for seed in range(20)} == {5}
    assert {held_after_power_cut(seed, is_lying=True) for seed in range(20)} != {5}
