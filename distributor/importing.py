"""POST /api/v1/import/prometheus: back-fill from the text formats."""

import asyncio
from dataclasses import dataclass, field

from distributor.encoding import decoded, encoding_of
from distributor.inflight import Inflight
from distributor.intake import Intake, KnownLimits, summary
from shared.asgi.envelope import failure, success, to_json
from shared.asgi.messages import Request, Response
from shared.auth.authenticator import Authenticator
from shared.errors import UnsupportedTypeError
from shared.model.instance import Instance
from shared.native import Import, SplitBatch

PIECE_BYTES = 1 << 20
"""Of a body that is read and written to the log at a time."""

DIRECT_BYTES = 64 << 10
"""A body of this size is read in less time than it takes to hand it to a thread."""

MAX_ERROR_CHARS = 4000

_TEXT = frozenset({"text/plain", "application/x-www-form-urlencoded", "application/octet-stream", ""})
"""curl calls a body a form unless it is told otherwise."""

_OPEN_METRICS = "application/openmetrics-text"


@dataclass(slots=True)
class _Tally:
    samples: int = 0
    exemplars: int = 0
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)  # reason -> samples, message of the first

    def add(self, batch: SplitBatch) -> None:
        self.samples += batch.samples
        self.exemplars += batch.exemplars
        for reason, samples, message in batch.refused:
            before, first = self.refused.get(reason, (0, message))
            self.refused[reason] = (before + samples, first)

    def all_refused(self) -> list[tuple[str, int, str]]:
        return [(reason, samples, message) for reason, (samples, message) in self.refused.items()]


class ImportHandler:
    """Good lines are kept and bad ones named. A body goes to the log in pieces, each durable before the next is read;
    one that was interrupted may be sent again, since what is repeated merges.
    """

    def __init__(self, authenticator: Authenticator, intake: Intake, inflight: Inflight) -> None:
        self._authenticator = authenticator
        self._intake = intake
        self._inflight = inflight
        self._limits = KnownLimits()

    async def __call__(self, request: Request) -> Response:
        headers = request.headers
        instance = await self._authenticator.authenticate(headers.get(b"authorization"))
        encoding = encoding_of(headers.get(b"content-encoding"))
        open_metrics = _is_open_metrics(headers.get(b"content-type"))
        limits = instance.limits
        with self._inflight.body(request, limits.max_body_bytes), self._intake.noting_bodies(instance):
            body = await request.body(limits.max_body_bytes, "max_body_bytes")
            text = await decoded(body, encoding, limits.max_decoded_bytes)
            with self._inflight.holding(len(text)):
                reading = Import(text, open_metrics=open_metrics, now_ms=self._intake.clock.now_ms())
                tally = _Tally()
                is_small = len(text) <= DIRECT_BYTES
                while (batch := await self._next(instance, reading, is_small=is_small)) is not None:
                    batch = await self._intake.admit(instance, batch)
                    await self._intake.append(batch)
                    self._intake.count(batch, 0)
                    tally.add(batch)
        self._intake.metrics.received_bytes.inc(len(body))
        return self._answer(instance, tally, reading)

    async def _next(self, instance: Instance, reading: Import, *, is_small: bool) -> SplitBatch | None:
        limits = self._limits.of(instance)

        def split() -> SplitBatch | None:
            piece = reading.next_piece(PIECE_BYTES)
            if piece is None:
                return None
            return self._intake.splitter.split_plain(
                piece,
                uid=instance.uid,
                shards=instance.shards,
                limits=limits,
                now_ms=self._intake.clock.now_ms(),
            )

        return split() if is_small else await asyncio.to_thread(split)

    def _answer(self, instance: Instance, tally: _Tally, reading: Import) -> Response:
        """200 with a count; 400 if something was refused, and then too what could be used is stored."""
        refused = tally.all_refused()
        if reading.bad_lines:
            line, why = reading.bad[0]
            refused.append(("unreadable_line", reading.bad_lines, f"line {line}: {why}"))
        if not refused:
            return success(to_json({"samples": tally.samples, "exemplars": tally.exemplars}))
        self._intake.note_refused(instance, refused)
        total = sum(samples for _, samples, _ in tally.all_refused())
        parts = [f"stored {tally.samples} samples, refused {total} samples and {reading.bad_lines} lines"]
        parts += [f"line {line}: {why}" for line, why in reading.bad]
        if reading.bad_lines > len(reading.bad):
            parts.append(f"and {reading.bad_lines - len(reading.bad)} more lines")
        if tally.refused:
            parts.append(summary(tally.all_refused()))
        return failure(400, "bad_data", "; ".join(parts)[:MAX_ERROR_CHARS])


def _is_open_metrics(content_type: bytes | None) -> bool:
    """Raises UnsupportedTypeError for what is neither text nor OpenMetrics."""
    media = (content_type or b"").decode("latin-1").partition(";")[0].strip().lower()
    if media == _OPEN_METRICS:
        return True
    if media not in _TEXT:
        raise UnsupportedTypeError(
            f"{media[:100]} cannot be imported; send text/plain (the text format) or {_OPEN_METRICS}"
        )
    return False
