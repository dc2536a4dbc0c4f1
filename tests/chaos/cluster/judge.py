"""The promises, by number, as they can be seen from outside."""

import json
from dataclasses import dataclass, field
from time import monotonic

from headrace.load.run import Verified
from tests.chaos.cluster.world import World

_OUTAGES_TOLD = 5

DIFFERS = "generation_kept"
"""What an ingester logs when its zone holds other samples than the store."""


@dataclass
class Judge:
    """`look` after every step, `conclude` at the end."""

    world: World
    steps: list[tuple[str, float, float]] = field(default_factory=list)
    """Name, when it began and when all was well again, on the monotonic clock."""

    def look(self) -> None:
        """P1, P2, P4, P6 of what was read meanwhile; equal zones; a load that was never refused."""
        checks, writes = self.world.load.checks, self.world.load.writes
        assert checks.failed == 0, json.dumps(checks.summary(monotonic()), indent=1)
        assert checks.admitted == 0, "samples missing in answers that only warned, although they were asked strongly"
        assert not checks.errors.total, checks.errors.summary()
        assert writes.lost == 0, writes.failures.summary()
        differing = [role.name for role in self.world.cluster.ingesters if DIFFERS in role.output()]
        assert not differing, f"zones differ, see {differing}\n{self.world.cluster.output()}"

    def conclude(self) -> Verified:
        """P1 and P2 of everything: each acknowledged sample once, bit for bit, and nothing that nobody wrote."""
        verified = self.world.end()
        self.look()
        assert verified.passed, json.dumps(verified.checks.summary(monotonic()), indent=1)
        return verified

    def report(self, verified: Verified) -> str:
        load = self.world.load
        now_s = monotonic()
        lines = [
            f"{load.seconds / 60:.1f} minutes, {len(self.steps)} steps",
            f"{load.writes.samples} samples acknowledged in {load.writes.requests} requests, "
            f"{load.writes.retries} attempts repeated",
            f"{verified.checks.right} found again, {verified.checks.failed} wrong, missing, doubled or unexpected",
            f"{load.checks.answers} answers checked meanwhile, {load.checks.failed} samples wrong in them",
            f"longest time without an answer {load.checks.outages.longest_s(now_s):.1f} s, "
            f"without an acknowledgement {load.writes.unavailable.longest_s(now_s):.1f} s",
        ]
        lines += [f"{name}: {ended_s - began_s:.1f} s" for name, began_s, ended_s in self.steps]
        for what, outages in (("answer", load.checks.outages), ("acknowledgement", load.writes.unavailable)):
            lines += [
                f"no {what} for {outage.length_s(now_s):.1f} s, {self._place(outage.began_s)}: {outage.reason[:200]}"
                for outage in outages.longest(now_s, _OUTAGES_TOLD)
                if outage.length_s(now_s) >= 1.0
            ]
        return "\n".join(lines)

    def _place(self, at_s: float) -> str:
        for name, began_s, ended_s in self.steps:
            if began_s <= at_s <= ended_s:
                return f"{at_s - began_s:.1f} s into {name}"
        return "outside of every step"
