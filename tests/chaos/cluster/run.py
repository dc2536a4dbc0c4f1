"""The chaos suite at length: python -m tests.chaos.cluster.run --minutes 30 [--seed N] [--steps a,b]."""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.chaos.cluster.judge import Judge
from tests.chaos.cluster.network import is_possible
from tests.chaos.cluster.steps import STEPS
from tests.chaos.cluster.world import World


def play(folder: Path, *, seed: int, names: Iterator[str], until_s: float, far: bool) -> str:
    """Plays steps until they end or the time is over; returns the report. AssertionError: a promise was broken."""
    world = World(folder, seed=seed, far=far)
    try:
        world.open()
        world.until_well()
        judge = Judge(world)
        for name in names:
            if time.monotonic() > until_s:
                break
            began = time.monotonic()
            print(f"{name} …", file=sys.stderr, flush=True)
            STEPS[name](world)
            world.until_well()
            judge.look()
            judge.steps.append((name, began, time.monotonic()))
        return judge.report(judge.conclude())
    finally:
        world.close()


def shuffled(names: Sequence[str], dice: random.Random) -> Iterator[str]:
    """Every step once, in any order, again and again."""
    while True:
        turn = list(names)
        dice.shuffle(turn)
        yield from turn


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randint(1, 1 << 30))
    parser.add_argument("--steps", help="only these, in this order, once")
    parser.add_argument("--near", action="store_true", help="zone b gets no network of its own")
    arguments = parser.parse_args()
    far = is_possible() and not arguments.near
    print(f"seed {arguments.seed}" + ("" if far else "; without root and iproute2 no zone is cut off"), file=sys.stderr)
    names = (
        iter(arguments.steps.split(",")) if arguments.steps else shuffled(list(STEPS), random.Random(arguments.seed))
    )
    folder = Path(tempfile.mkdtemp(prefix="headrace-chaos-"))
    try:
        print(
            play(folder, seed=arguments.seed, names=names, until_s=time.monotonic() + arguments.minutes * 60, far=far)
        )
    except AssertionError as error:
        print(f"BROKEN, seed {arguments.seed}, files in {folder}\n{error}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
