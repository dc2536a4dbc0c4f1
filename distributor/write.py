"""POST /api/v1/prom/write: remote write 1.0 and 2.0 in, durable when answered with 204."""

import asyncio

from distributor.content import check_encoding, version_of, written
from distributor.inflight import Inflight
from distributor.intake import Intake, KnownLimits, Refused, summary
from shared.asgi.envelope import failure, success, to_json
from shared.asgi.messages import Request, Response
from shared.auth.authenticator import Authenticator
from shared.model.instance import Instance
from shared.native import SplitBatch

THREAD_ABOVE_BYTES = 256 << 10
"""Compressed. A body of 2,000 samples has some 90 KB and takes 0.3 ms to split, and a hop to a thread and back 0.1 ms;
one of this size would hold up the event loop for about a millisecond."""

NOTHING_WRITTEN = written(0, 0, 0)

MAX_KNOWN_TYPES = 100

MAX_ERROR_CHARS = 900
"""Prometheus reads the first 1024 bytes of an error."""


class WriteHandler:
    """Checks in the order of their cost: credential and headers before the body, all of them before the log."""

    def __init__(self, authenticator: Authenticator, intake: Intake, inflight: Inflight) -> None:
        self._authenticator = authenticator
        self._intake = intake
        self._inflight = inflight
        self._limits = KnownLimits()
        self._versions: dict[bytes | None, int] = {}  # by Content-Type

    async def __call__(self, request: Request) -> Response:
        headers = request.headers
        instance = await self._authenticator.authenticate(headers.get(b"authorization"))
        version = self._version_of(headers.get(b"content-encoding"), headers.get(b"content-type"))
        if version != 1:
            request.failure_headers = NOTHING_WRITTEN
        most = instance.limits.max_body_bytes
        with self._inflight.body(request, most), self._intake.noting_bodies(instance):
            body = await request.body(most, "max_body_bytes")
            batch = await self._intake.admit(instance, await self._split(instance, version, body))
            await self._intake.append(batch)
        self._intake.count(batch, len(body))
        self._intake.metrics.write_body.observe(len(body))
        refused = batch.refused
        if not refused:
            response = Response(204, b"", None)
        elif version == 1 and all(reason == "invalid_exemplar" for reason, _, _ in refused):
            # As with Prometheus an exemplar never fails a request of version 1.
            self._intake.note_refused(instance, refused)
            response = Response(204, b"", None)
        else:
            response = self._refused(instance, batch, refused)
        if version != 1:
            response.headers += written(batch.samples - batch.histograms, batch.histograms, batch.exemplars)
        return response

    async def rejections(self, request: Request) -> Response:
        """GET /api/v1/status/rejections: the caller's own."""
        instance = await self._authenticator.authenticate(request.headers.get(b"authorization"))
        reasons, warnings = await self._intake.rejections.of(instance.uid)
        return success(
            to_json(
                [
                    {"reason": reason, "samples": r.samples, "lastSeen": r.last_ms / 1000, "example": r.example}
                    for reason, r in sorted(reasons.items())
                ]
            ),
            warnings=warnings,
        )

    def _version_of(self, encoding: bytes | None, content_type: bytes | None) -> int:
        if encoding != b"snappy":
            check_encoding(encoding)
        version = self._versions.get(content_type)
        if version is None:
            version = version_of(content_type)
            if len(self._versions) < MAX_KNOWN_TYPES:
                self._versions[content_type] = version
        return version

    async def _split(self, instance: Instance, version: int, body: bytes) -> SplitBatch:
        limits = self._limits.of(instance)

        def split() -> SplitBatch:
            return self._intake.splitter.split(
                body,
                uid=instance.uid,
                shards=instance.shards,
                limits=limits,
                now_ms=self._intake.clock.now_ms(),
                version=version,
            )

        return split() if len(body) <= THREAD_ABOVE_BYTES else await asyncio.to_thread(split)

    def _refused(self, instance: Instance, batch: SplitBatch, refused: Refused) -> Response:
        """400 although the good part is stored: what was refused never will be accepted and must not come again."""
        self._intake.note_refused(instance, refused)
        total = sum(samples for _, samples, _ in refused)
        text = f"refused {total}, stored {batch.samples} samples; {summary(refused)}"
        return failure(400, "bad_data", text[:MAX_ERROR_CHARS])
