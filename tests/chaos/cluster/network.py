"""A zone behind a network of its own, which can be cut.

A namespace joined to ours by a pair of virtual interfaces: what runs inside reaches us, and we it, through that pair
alone. It takes root and iproute2.
"""

import contextlib
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence

HOST = "10.231.77.1"
ZONE = "10.231.77.2"

_NOBODY = "02:00:00:00:00:99"


def is_possible() -> bool:
    return os.geteuid() == 0 and shutil.which("ip") is not None


class ZoneNetwork:
    """`HOST` is our address as the zone sees it, `ZONE` the zone's as we see it."""

    def __init__(self) -> None:
        number = os.getpid() % 100_000
        self._name = f"headrace-{number}"
        self._outside = f"hr{number}o"
        self._inside = f"hr{number}i"

    def open(self) -> None:
        _ip("netns", "add", self._name)
        _ip("link", "add", self._outside, "type", "veth", "peer", "name", self._inside, "netns", self._name)
        _ip("addr", "add", f"{HOST}/30", "dev", self._outside)
        _ip("link", "set", self._outside, "up")
        for command in (
            ("addr", "add", f"{ZONE}/30", "dev", self._inside),
            ("link", "set", self._inside, "up"),
            ("link", "set", "lo", "up"),
        ):
            _ip("-n", self._name, *command)

    def close(self) -> None:
        """The pair goes with the namespace."""
        subprocess.run(["ip", "netns", "del", self._name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", self._outside], check=False, capture_output=True)

    def inside(self, argv: Sequence[str]) -> list[str]:
        """The command that runs this one in the zone."""
        return ["ip", "netns", "exec", self._name, *argv]

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """Nothing passes, and nobody is told: packets go to a hardware address that nobody has."""
        self._misdirect()
        try:
            yield
        finally:
            self._heal()

    def flap(self, seconds: float, dice: random.Random) -> None:
        """Cuts of a fraction of a second: what is under way comes late, all at once, and some of it twice."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with self.cut():
                time.sleep(dice.uniform(0.05, 0.4))
            time.sleep(dice.uniform(0.1, 0.6))

    def _misdirect(self) -> None:
        _ip("neigh", "replace", ZONE, "lladdr", _NOBODY, "dev", self._outside, "nud", "permanent")
        _ip("-n", self._name, "neigh", "replace", HOST, "lladdr", _NOBODY, "dev", self._inside, "nud", "permanent")

    def _heal(self) -> None:
        _ip("neigh", "del", ZONE, "dev", self._outside)
        _ip("-n", self._name, "neigh", "del", HOST, "dev", self._inside)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
