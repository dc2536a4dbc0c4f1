"""Durations as text: `1h30m` to milliseconds and back."""

import re

_UNITS_MS = {"y": 31_536_000_000, "w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_ORDER = list(_UNITS_MS)
_PART = re.compile(r"([0-9]+)([^0-9]+)")
FAR_MS = 2**62
"""No sample lies beyond; times are cut to it where adding to them could leave 64 bits."""
MAX_DURATION_MS = (2**63 - 1) // 1_000_000
"""Prometheus holds durations as nanoseconds in 64 bits: some 292 years."""

_MAX_DIGITS = 100
"""Python refuses to read some thousands of digits as a number."""


def parse_duration_ms(text: str) -> int:
    """Units from large to small, each once. Raises ValueError with Prometheus's text."""
    total = position = 0
    previous = -1
    while position < len(text):
        part = _PART.match(text, position)
        if part is None:
            raise ValueError(f'not a valid duration string: "{text}"')
        count, unit = part.groups()
        if unit not in _UNITS_MS:
            raise ValueError(f'unknown unit "{unit}" in duration "{text}"')
        order = _ORDER.index(unit)
        if order <= previous:
            raise ValueError(f'not a valid duration string: "{text}"')
        previous = order
        total += int(count[:_MAX_DIGITS]) * _UNITS_MS[unit]
        if len(count) > _MAX_DIGITS or total > MAX_DURATION_MS:
            raise ValueError("duration out of range")
        position = part.end()
    return total


def format_duration(duration_ms: int) -> str:
    """`1h30m`. Years and weeks only where nothing remains, as 90d reads better than 12w6d."""
    if duration_ms < 0:
        return "-" + format_duration(-duration_ms)
    if not duration_ms:
        return "0s"
    out = []
    for unit, size_ms in _UNITS_MS.items():
        if unit in "yw" and duration_ms % size_ms:
            continue
        count, duration_ms = divmod(duration_ms, size_ms)
        if count:
            out.append(f"{count}{unit}")
    return "".join(out)
