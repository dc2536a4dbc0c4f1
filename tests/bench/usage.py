"""What processes cost, from /proc: CPU as utime + stime, memory as resident now and at its peak."""

import os
import re
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


_ARENA_BYTES = 512 << 20
"""The native allocator reserves whole gigabytes, of which it uses what it needs; nothing else maps so much at once."""


def anatomy(pid: int) -> dict[str, int]:
    """Resident bytes of one process by what they are: memory of the native core, of malloc and Python (its heaps, large
    pieces and stacks), files that are mapped, and, counted in these, what lies in huge pages.
    """
    found = dict.fromkeys(("native core", "malloc and Python", "files", "in huge pages"), 0)
    areas: list[tuple[str, int, int]] = []  # kind, size, resident
    end = -1
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if match := _AREA.match(line):
            start, stop, name = int(match[1], 16), int(match[2], 16), match[3]
            kind = "files" if name.startswith("/") else "anonymous"
            if areas and kind == areas[-1][0] == "anonymous" and start == end:
                areas[-1] = kind, areas[-1][1] + stop - start, areas[-1][2]  # one reservation in several pieces
            else:
                areas.append((kind, stop - start, 0))
            end = stop
        elif line.startswith("Rss:"):
            kind, size, resident = areas[-1]
            areas[-1] = kind, size, resident + _bytes(line.partition(":")[2])
        elif line.startswith("AnonHugePages:"):
            found["in huge pages"] += _bytes(line.partition(":")[2])
    for kind, size, resident in areas:
        anonymous = "native core" if size >= _ARENA_BYTES else "malloc and Python"
        found["files" if kind == "files" else anonymous] += resident
    return found


_AREA = re.compile(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \S+ *(.*)")


def loopback_bytes() -> int:
    """Sent over loopback since the machine started, by anybody."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == LOOPBACK:
            return int(counters.split()[0])
    raise LookupError("this machine has no loopback")
