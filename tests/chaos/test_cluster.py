"""A short, seeded part of the chaos suite; `make chaos` plays all of it, for half an hour."""

import os
import random
import time
from pathlib import Path

import pytest

from tests.chaos.cluster.run import play
from tests.chaos.cluster.steps import STEPS

ALWAYS = ("kill_ingester", "kill_broker", "restart_redis")
MORE = 2
QUICK = sorted(set(STEPS) - {*ALWAYS, "cut_zone_off", "shake_zone", "roll_everything", "scale_ingesters"})


@pytest.mark.timeout(600)
def test_a_hurt_cluster_keeps_its_promises(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("HEADRACE_CHAOS_SEED", "0")) or random.SystemRandom().randint(1, 1 << 30)
    names = [*ALWAYS, *random.Random(seed).sample(QUICK, MORE)]
    with capsys.disabled():
        print(f"\nseed: HEADRACE_CHAOS_SEED={seed}, steps: {', '.join(names)}")
    report = play(tmp_path, seed=seed, names=iter(names), until_s=time.monotonic() + 500, far=False)
    print(report)
