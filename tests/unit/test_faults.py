import subprocess
import sys
from collections.abc import Iterator

import pytest

from shared import faults
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
