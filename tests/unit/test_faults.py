import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from shared import faults
from shared.clock import SystemClock
from shared.errors import UnavailableError
from shared.faults import fault


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    faults.install(None)


class TestPlan:
    def test_unarmed_points_do_nothing(self) -> None:
        fault("cut.put")

    def test_fails_at_the_nth_pass_only(self) -> None:
        faults.arm("cut.put:fail:2, commit.done:fail:1")
        fault("cut.put")
        with pytest.raises(UnavailableError, match=r"cut\.put"):
            fault("cut.put")
        fault("cut.put")
        with pytest.raises(UnavailableError):
            fault("commit.done")

    @pytest.mark.parametrize(
        "plan", ["cut.put", "cut.put:kill", "cut.put:kill:0", "cut.put:burn:1", "nowhere:kill:1", ""]
    )
    def test_a_wrong_plan_says_what_is_right(self, plan: str) -> None:
        with pytest.raises(ValueError, match="use point:kill:n, point:stop:n or point:fail:n"):
            faults.arm(plan)

    @pytest.mark.parametrize("plan", ["clock:ahead:", "clock:ahead:soon", "clock:behind:1"])
    def test_a_clock_is_ahead_by_milliseconds(self, plan: str) -> None:
        with pytest.raises(ValueError, match="or clock:ahead:ms"):
            faults.arm(plan)

    @pytest.mark.parametrize("ahead_ms", [60_000, -60_000])
    def test_the_time_of_day_is_wrong_and_no_other_clock(self, ahead_ms: int) -> None:
        faults.arm(f"clock:ahead:{ahead_ms}, trim.done:fail:1")
        ahead_s = SystemClock().now_ms() / 1000 - time.time()
        assert ahead_s == pytest.approx(ahead_ms / 1000, abs=5)
        assert SystemClock().monotonic() == pytest.approx(time.monotonic(), abs=5)
        with pytest.raises(UnavailableError):
            fault("trim.done")
        faults.install(None)
        assert faults.clock_ahead_ms() == 0

    def test_a_hook_sees_every_point(self) -> None:
        seen: list[str] = []
        faults.install(seen.append)
        fault("seal.before")
        fault("seal.after")
        assert seen == ["seal.before", "seal.after"]

    def test_kills_from_the_environment(self) -> None:
        code = (
            "from shared.faults import fault\nfor pass_ in (1, 2, 3):\n fault('trim.done')\n print(pass_, flush=True)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={"HEADRACE_FAULTS": "trim.done:kill:2", "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (-9, "1\n")
