"""How fast an instance may send, over all ways in: a token bucket for each."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from shared.clock import Clock
from shared.errors import LimitedError
from shared.model.instance import Instance

MAX_INSTANCES = 10_000
"""When there are more, the one that has been silent longest begins anew, with a full bucket."""

MAX_WAIT_S = 60
"""What Retry-After says at most."""


@dataclass(slots=True)
class _Bucket:
    """`tokens`: samples that may come now; below 0 after a request that was larger than the burst."""

    tokens: float
    filled: float  # by the monotonic clock


class Rates:
    """In a cluster each distributor gives an instance its share of rate and burst. Connections need not be balanced
    perfectly between them, since the burst makes up for seconds of it.
    """

    def __init__(self, clock: Clock, *, sharers: Callable[[], int] = lambda: 1) -> None:
        """`sharers`: how many distributors there are now, this one among them."""
        self._clock = clock
        self._sharers = sharers
        self._buckets: dict[bytes, _Bucket] = {}

    def take(self, instance: Instance, samples: int) -> None:
        """Raises LimitedError if they come too fast: nothing of the request may then be stored."""
        limits = instance.limits
        sharers = max(self._sharers(), 1)
        rate, burst = limits.max_samples_per_second / sharers, limits.max_burst_samples / sharers
        now = self._clock.monotonic()
        bucket = self._buckets.pop(instance.uid, None)
        if bucket is None:
            if len(self._buckets) >= MAX_INSTANCES:
                del self._buckets[next(iter(self._buckets))]
            bucket = _Bucket(burst, now)
        self._buckets[instance.uid] = bucket  # last in order: the freshest
        bucket.tokens = min(bucket.tokens + (now - bucket.filled) * rate, burst)
        bucket.filled = now
        # A request larger than the burst passes when the bucket is full, and the next ones wait the longer for it.
        lacking = min(samples, burst) - bucket.tokens
        if lacking > 0:
            share = "" if sharers == 1 else f", of which this distributor, one of {sharers}, gives a share of {rate:g}"
            raise LimitedError(
                f"{samples} samples are {math.ceil(lacking)} more than may come now: the limit "
                f"max_samples_per_second is {limits.max_samples_per_second}, with max_burst_samples "
                f"{limits.max_burst_samples}{share}; send slower, or raise the limits",
                retry_after_s=min(math.ceil(lacking / rate), MAX_WAIT_S),
            )
        bucket.tokens -= samples
