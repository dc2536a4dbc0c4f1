"""When a window's generation is to be sealed. Pure: time and ages come from the caller."""

from collections.abc import Callable, Iterable, Sequence

from ingester.settings import IngesterSettings
from shared.native import WindowInfo


def due(
    partition: int,
    windows: Iterable[WindowInfo],
    now_ms: int,
    *,
    accepted_ms: Callable[[int], int],
    settings: IngesterSettings,
) -> list[int]:
    """The windows of a partition whose time has come.

    A generation is sealed when its window and the grace are over, or, if it was opened later than that, once it is as
    old as that. Late data, back-fill and clocks that are wrong by years are thus the same case, and a sample's own time
    never moves another window. `accepted_ms` tells when the record at an offset was accepted; if that lies as far in
    the future as a generation may be old, the clock was set back, and to wait until it has come round again would hold
    the log for as long as it was wrong.
    """
    open_ms = settings.window_ms + settings.grace_ms + partition * settings.grace_stagger_ms
    chosen = []
    for info in windows:
        if info.sealed is not None:
            continue
        opened_ms = accepted_ms(info.first_offset)
        over_ms = info.window + open_ms
        is_old = abs(now_ms - opened_ms) >= open_ms
        if is_old or opened_ms < over_ms <= now_ms:
            chosen.append(info.window)
    return sorted(chosen)


def largest(held: Sequence[tuple[int, WindowInfo]], excess_bytes: int, *, min_bytes: int) -> dict[int, list[int]]:
    """partition -> windows to seal so that `excess_bytes` become free, the largest first.

    `held` are all generations of all partitions. What is sealed already will become free by itself and counts.
    """
    excess_bytes -= sum(info.bytes for _, info in held if info.sealed is not None)
    chosen: dict[int, list[int]] = {}
    candidates = [(partition, info) for partition, info in held if info.sealed is None and info.bytes >= min_bytes]
    for partition, info in sorted(candidates, key=lambda entry: -entry[1].bytes):
        if excess_bytes <= 0:
            break
        chosen.setdefault(partition, []).append(info.window)
        excess_bytes -= info.bytes
    return chosen
