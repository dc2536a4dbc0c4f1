"""What every way in does with series once it knows them: limits, the log, and the books on what came of it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from distributor.rates import Rates
from distributor.rejections import Rejections
from shared.clock import Clock
from shared.errors import BadDataError, LimitedError, TooLargeError
from shared.model.instance import Instance, Limits
from shared.native import BadDataError as NativeBadDataError
from shared.native import SplitBatch, Splitter, WriteLimits
from shared.native import TooLargeError as NativeTooLargeError
from shared.seams.log import Log
from shared.telemetry.catalogue import Catalogue

MAX_KNOWN_LIMITS = 10_000

MAX_SHOWN = 100
"""Instances whose refusals have an `app_id` of their own in metrics: the first ones of which something is refused."""

OTHERS = "…"
"""The `app_id` of all others; no instance can have it."""

Refused = Sequence[tuple[str, int, str]]
"""(reason, samples, message with an example series)"""


class SeriesGuard(Protocol):
    async def admit(self, instance: Instance, batch: SplitBatch) -> SplitBatch:
        """The batch without the new series for which `max_series` or `max_series_per_metric` has no room."""
        ...


@dataclass(frozen=True, slots=True)
class Intake:
    """Shared by all ways in of one process."""

    splitter: Splitter
    guard: SeriesGuard
    log: Log
    clock: Clock
    metrics: Catalogue
    rejections: Rejections
    rates: Rates
    _shown: set[str] = field(default_factory=set, init=False)

    async def admit(self, instance: Instance, batch: SplitBatch) -> SplitBatch:
        """The part of a batch that the instance's limits have room for. LimitedError: it comes too fast."""
        try:
            self.rates.take(instance, batch.samples)
        except LimitedError as error:
            self.note_refused(instance, [("rate_limit", batch.samples, str(error))])
            raise
        return await self.guard.admit(instance, batch)

    async def append(self, batch: SplitBatch) -> None:
        """Durable when it returns. UnavailableError: it may or may not be."""
        if not (batch.samples or batch.metadata or batch.exemplars or batch.pushes):
            return
        started = time.perf_counter()
        await self.log.append(batch, now_ms=self.clock.now_ms())
        self.metrics.log_append_seconds.observe(time.perf_counter() - started)

    def count(self, batch: SplitBatch, size: int) -> None:
        """Of what was accepted, and the bytes it came in."""
        metrics = self.metrics
        metrics.received_samples.inc(batch.samples)
        metrics.received_series.inc(batch.series)
        metrics.received_bytes.inc(size)

    def note_refused(self, instance: Instance, refused: Refused) -> None:
        app_id = self._shown_as(instance.app_id)
        for reason, samples, _ in refused:
            self.metrics.refused_samples.labels(reason).inc(samples)
            self.metrics.instance_refused_samples.labels(app_id, reason).inc(samples)
        self.rejections.note(instance.uid, refused)

    @contextmanager
    def noting_bodies(self, instance: Instance) -> Iterator[None]:
        """Notes a request of which nothing can be used, because of its size or form, and passes the error on."""
        try:
            yield
        except (TooLargeError, NativeTooLargeError) as error:
            self.note_refused(instance, [("body_too_large", 1, str(error))])
            raise
        except (BadDataError, NativeBadDataError) as error:
            self.note_refused(instance, [("unreadable_body", 1, str(error))])
            raise

    def _shown_as(self, app_id: str) -> str:
        if app_id not in self._shown:
            if len(self._shown) >= MAX_SHOWN:
                return OTHERS
            self._shown.add(app_id)
        return app_id


class KnownLimits:
    """The limits of instances as native code takes them, made once for each."""

    def __init__(self) -> None:
        self._limits: dict[bytes, tuple[Limits, WriteLimits]] = {}  # by uid

    def of(self, instance: Instance) -> WriteLimits:
        known = self._limits.get(instance.uid)
        if known is not None and known[0] is instance.limits:
            return known[1]
        if len(self._limits) >= MAX_KNOWN_LIMITS:
            self._limits.clear()
        limits = write_limits(instance.limits)
        self._limits[instance.uid] = (instance.limits, limits)
        return limits


def summary(refused: Refused) -> str:
    """For an answer."""
    return "; ".join(f"{samples} {reason}: {message}" for reason, samples, message in refused)


def write_limits(limits: Limits) -> WriteLimits:
    return WriteLimits(
        max_body_bytes=limits.max_body_bytes,
        max_decoded_bytes=limits.max_decoded_bytes,
        max_labels=limits.max_labels,
        max_name_bytes=limits.max_name_bytes,
        max_value_bytes=limits.max_value_bytes,
        max_age_ms=None if limits.max_age_s is None else limits.max_age_s * 1000,
        max_future_ms=None if limits.max_future_s is None else limits.max_future_s * 1000,
    )
