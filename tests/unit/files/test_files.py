"""File layers through the door."""

from pathlib import Path

import pytest

from shared.native import Files
from tests.unit.files.logs import append, open_log


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    folder = str(tmp_path / "data")
    lock = Files.real().lock(folder)
    with pytest.raises(OSError, match=r"in use by process \d+; stop it, or choose another data folder"):
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


@pytest.mark.parametrize("is_lying", [False, True])
def test_acknowledged_records_survive_unless_syncs_lie(*, is_lying: bool) -> None:
    held = set()
    for seed in range(20):
        files = Files.simulated(seed)
        log = open_log(files, "log")
        if is_lying:
            files.ignore_sync("data")
        append(log, *range(5))
        held.add(open_log(files.power_cut(), "log").committed)
    assert (held == {5}) is not is_lying
