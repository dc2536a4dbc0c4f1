"""POST /api/v1/prom/write: remote write 1.0 in, durable when answered with 204."""

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol

from distributor.content import check_content_type, check_encoding
from distributor.rejections import Rejections
from shared.asgi.envelope import failure, success, to_json
from shared.asgi.messages import Request, Response
from shared.auth.authenticator import Authenticator
from shared.clock import Clock
from shared.errors import UnavailableError
from shared.model.instance import Instance, Limits
from shared.native import SplitBatch, Splitter, WriteLimits
from shared.seams.log import Log
from shared.telemetry.catalogue import Catalogue

THREAD_ABOVE_BYTES = 256 << 10
"""Compressed. A body of 2,000 samples has some 90 KB and takes 0.3 ms to split, and a hop to a thread and back 0.1 ms;
one of this size would hold up the event loop for about a millisecond."""

MAX_KNOWN_LIMITS = 10_000
MAX_KNOWN_TYPES = 100

MAX_ERROR_CHARS = 900
"""Prometheus reads the first 1024 bytes of an error."""


class SeriesGuard(Protocol):
    async def admit(self, instance: Instance, batch: SplitBatch) -> SplitBatch:
        """The batch without the new series that the instance's `max_series` has no room for."""
        ...


@dataclass(frozen=True, slots=True)
class WriteDependencies:
    authenticator: Authenticator
    splitter: Splitter
    guard: SeriesGuard
    log: Log
    clock: Clock
    metrics: Catalogue
    rejections: Rejections


class WriteHandler:
    """Checks in the order of their cost: credential and headers before the body, all of them before the log."""

    def __init__(self, dependencies: WriteDependencies, *, max_inflight_bytes: int) -> None:
        self._on = dependencies
        self._max_inflight_bytes = max_inflight_bytes
        self._inflight_bytes = 0
        self._limits: dict[bytes, tuple[Limits, WriteLimits]] = {}  # by uid
        self._good_types: set[bytes | None] = set()
        metrics = dependencies.metrics
        metrics.write_inflight.observe_value(lambda: self._inflight_bytes)
        metrics.write_inflight_limit.observe_value(lambda: self._max_inflight_bytes)

    async def __call__(self, request: Request) -> Response:
        on = self._on
        headers = request.headers
        instance = await on.authenticator.authenticate(headers.get(b"authorization"))
        self._check_headers(headers.get(b"content-encoding"), headers.get(b"content-type"))
        most = instance.limits.max_body_bytes
        # Counted from before the first byte is read: bodies that arrive slowly are in memory too.
        declared = request.declared_bytes
        held = min(most, self._max_inflight_bytes // 4 if declared is None else declared)
        if self._inflight_bytes + held > self._max_inflight_bytes:
            raise UnavailableError(
                f"{self._inflight_bytes} bytes of writes are in memory, the limit is {self._max_inflight_bytes}"
            )
        self._inflight_bytes += held
        try:
            body = await request.body(most)
            batch = await on.guard.admit(instance, await self._split(instance, body))
            if batch.samples or batch.metadata:
                started = time.perf_counter()
                await on.log.append(batch, now_ms=on.clock.now_ms())
                on.metrics.log_append_seconds.observe(time.perf_counter() - started)
        finally:
            self._inflight_bytes -= held
        self._count(batch, len(body))
        refused = batch.refused
        return Response(204, b"", None) if not refused else self._refused(instance, batch, refused)

    async def rejections(self, request: Request) -> Response:
        """GET /api/v1/status/rejections: the caller's own."""
        instance = await self._on.authenticator.authenticate(request.headers.get(b"authorization"))
        reasons = self._on.rejections.of(instance.uid)
        return success(
            to_json(
                [
                    {"reason": reason, "samples": r.samples, "lastSeen": r.last_ms / 1000, "example": r.example}
                    for reason, r in sorted(reasons.items())
                ]
            )
        )

    def _check_headers(self, encoding: bytes | None, content_type: bytes | None) -> None:
        if encoding != b"snappy":
            check_encoding(encoding)
        if content_type not in self._good_types:
            check_content_type(content_type)
            if len(self._good_types) < MAX_KNOWN_TYPES:
                self._good_types.add(content_type)

    async def _split(self, instance: Instance, body: bytes) -> SplitBatch:
        limits = self._limits_of(instance)

        def split() -> SplitBatch:
            return self._on.splitter.split(
                body,
                uid=instance.uid,
                shards=instance.shards,
                limits=limits,
                now_ms=self._on.clock.now_ms(),
            )

        return split() if len(body) <= THREAD_ABOVE_BYTES else await asyncio.to_thread(split)

    def _limits_of(self, instance: Instance) -> WriteLimits:
        known = self._limits.get(instance.uid)
        if known is not None and known[0] is instance.limits:
            return known[1]
        if len(self._limits) >= MAX_KNOWN_LIMITS:
            self._limits.clear()
        limits = write_limits(instance.limits)
        self._limits[instance.uid] = (instance.limits, limits)
        return limits

    def _count(self, batch: SplitBatch, size: int) -> None:
        metrics = self._on.metrics
        metrics.received_samples.inc(batch.samples)
        metrics.received_series.inc(batch.series)
        metrics.received_bytes.inc(size)
        metrics.write_body.observe(size)

    def _refused(self, instance: Instance, batch: SplitBatch, refused: list[tuple[str, int, str]]) -> Response:
        """400 although the good part is stored: what was refused never will be accepted and must not come again."""
        for reason, samples, _ in refused:
            self._on.metrics.refused_samples.labels(reason).inc(samples)
        self._on.rejections.note(instance.uid, refused)
        total = sum(samples for _, samples, _ in refused)
        reasons = "; ".join(f"{samples} {reason}: {message}" for reason, samples, message in refused)
        return failure(400, "bad_data", f"refused {total}, stored {batch.samples} samples; {reasons}"[:MAX_ERROR_CHARS])


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
