"""What processes cost, from /proc: CPU as utime + stime, memory as resident now and at its peak."""

import os
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
LOOPBACK = "lo"


@dataclass(frozen=True, slots=True)
class Usage:
    cpu_s: float
    resident: int
    peak: int


def usage(pid: int) -> Usage:
    """Of a process and all below it."""
    own = Path(f"/proc/{pid}")
    fields = (own / "stat").read_text().rpartition(")")[2].split()
    sizes = dict(line.split(":", 1) for line in (own / "status").read_text().splitlines())
    total = Usage(sum(map(int, fields[11:13])) / TICKS, _bytes(sizes["VmRSS"]), _bytes(sizes["VmHWM"]))
    for child in _children(own):
        below = usage(child)
        total = Usage(total.cpu_s + below.cpu_s, total.resident + below.resident, total.peak + below.peak)
    return total


def _children(process: Path) -> list[int]:
    return [int(pid) for task in (process / "task").iterdir() for pid in (task / "children").read_text().split()]


def _bytes(text: str) -> int:
    number, unit = text.split()
    assert unit == "kB"
    return int(number) * 1024


def loopback_bytes() -> int:
    """Sent over loopback since the machine started, by anybody."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == LOOPBACK:
            return int(counters.split()[0])
    raise LookupError("this machine has no loopback")
