"""The Pushgateway's push API: PUT, POST and DELETE below /metrics/job/, durable when answered."""

import asyncio
import re
from dataclasses import dataclass
from urllib.parse import parse_qs

from distributor.encoding import decoded, encoding_of
from distributor.grouping import PREFIXES, grouping_of
from distributor.inflight import Inflight
from distributor.intake import Intake, KnownLimits, summary
from shared.asgi.messages import TEXT, Request, Response, text
from shared.asgi.router import Route
from shared.auth.authenticator import Authenticator
from shared.durations import parse_duration_ms
from shared.errors import BadDataError, TooLargeError
from shared.model.instance import Instance
from shared.native import BadDataError as NativeBadDataError
from shared.native import Push, SplitBatch
from shared.native import TooLargeError as NativeTooLargeError

TTL_HEADER = b"x-headrace-push-ttl"
TTL_PARAMETER = "ttl"

DIRECT_BYTES = 16 << 10
"""A body of this size, some 200 series, is read and split in half a millisecond."""

MAX_ERROR_CHARS = 4000

EXEMPLAR = "invalid_exemplar"
"""The one refusal that a push survives: a scraper leaves such an exemplar out, too."""

_PROTOBUF = "application/vnd.google.protobuf"
_OPEN_METRICS = "application/openmetrics-text"

_MAX_TTL_MS = 100 * 365 * 86_400_000


@dataclass(frozen=True, slots=True)
class PushSettings:
    interval_ms: int
    """From one sample of a pushed group to the next."""
    ttl_ms: int
    """How long a group lives of which a push does not say it; 0: until it is deleted."""


class PushHandler:
    """A push is all or nothing. What is wrong with its path or its form leaves no trace; what makes it inconsistent is
    stamped into its group.
    """

    def __init__(
        self, authenticator: Authenticator, intake: Intake, inflight: Inflight, settings: PushSettings
    ) -> None:
        self._authenticator = authenticator
        self._intake = intake
        self._inflight = inflight
        self._settings = settings
        self._limits = KnownLimits()

    def routes(self) -> dict[str, Route]:
        return {"/api/v1/push/wipe": Route("push_wipe", {"PUT": self._wipe, "POST": self._wipe}, public=False)}

    def patterns(self) -> dict[tuple[str, str], Route]:
        methods = {"PUT": self._put, "POST": self._post, "DELETE": self._delete}
        return {(prefix, ""): Route("push", methods, public=False) for prefix in PREFIXES}

    async def _put(self, request: Request) -> Response:
        return await self._push(request, merge=False)

    async def _post(self, request: Request) -> Response:
        return await self._push(request, merge=True)

    async def _push(self, request: Request, *, merge: bool) -> Response:
        instance = await self._authenticator.authenticate(request.headers.get(b"authorization"))
        if (moved := _cleaned(request)) is not None:
            return moved
        try:
            group = grouping_of(request.raw_path)
            encoding = encoding_of(request.headers.get(b"content-encoding"))
            ttl_ms = _ttl_ms(request)
            most = instance.limits.max_body_bytes
            with self._inflight.body(request, most), self._intake.noting_bodies(instance):
                body = await request.body(most, "max_body_bytes")
                plain = await decoded(body, encoding, instance.limits.max_decoded_bytes)
                with self._inflight.holding(len(plain) if plain is not body else 0):
                    why = await self._take(
                        instance,
                        plain,
                        _format_of(request.headers.get(b"content-type")),
                        group,
                        merge=merge,
                        ttl_ms=self._settings.ttl_ms if ttl_ms is None else ttl_ms,
                        size=len(body),
                    )
        except (TooLargeError, NativeTooLargeError) as error:
            return _refusal(413, str(error))
        except (BadDataError, NativeBadDataError) as error:
            return _refusal(getattr(error, "status", 400), str(error))
        return Response(200, b"", None) if why is None else _refusal(400, why)

    async def _take(
        self,
        instance: Instance,
        body: bytes,
        form: str,
        group: list[tuple[str, str]],
        *,
        merge: bool,
        ttl_ms: int,
        size: int,
    ) -> str | None:
        """Why it is refused, which is then stamped into the group."""
        now_ms = self._intake.clock.now_ms()
        interval_ms = self._settings.interval_ms

        def read() -> tuple[SplitBatch | None, str | None]:
            push, why = Push.of_body(
                body, form, group, merge=merge, now_ms=now_ms, ttl_ms=ttl_ms, interval_ms=interval_ms
            )
            return (None if push is None else self._split(instance, push, now_ms)), why

        batch, why = read() if len(body) <= DIRECT_BYTES else await asyncio.to_thread(read)
        if batch is not None:
            batch = await self._intake.admit(instance, batch)
            if batch.refused:
                self._intake.note_refused(instance, batch.refused)
            fatal = [refusal for refusal in batch.refused if refusal[0] != EXEMPLAR]
            if fatal:
                why = f"pushed metrics are refused: {summary(fatal)}"
        elif why is not None:
            self._intake.note_refused(instance, [("inconsistent_push", 1, why)])
        if batch is None or why is not None:
            await self._change(instance, Push.fail(group, now_ms=now_ms, interval_ms=interval_ms), now_ms)
            return why
        await self._intake.append(batch)
        self._intake.count(batch, size)
        return None

    async def _delete(self, request: Request) -> Response:
        instance = await self._authenticator.authenticate(request.headers.get(b"authorization"))
        if (moved := _cleaned(request)) is not None:
            return moved
        try:
            group = grouping_of(request.raw_path)
        except BadDataError as error:
            return _refusal(400, str(error))
        now_ms = self._intake.clock.now_ms()
        await self._change(instance, Push.delete(group, now_ms=now_ms), now_ms)
        return Response(202, b"", None)

    async def _wipe(self, request: Request) -> Response:
        """Every group of the caller."""
        instance = await self._authenticator.authenticate(request.headers.get(b"authorization"))
        now_ms = self._intake.clock.now_ms()
        await self._change(instance, Push.wipe(now_ms=now_ms), now_ms)
        return Response(202, b"", None)

    async def _change(self, instance: Instance, push: Push, now_ms: int) -> None:
        await self._intake.append(self._split(instance, push, now_ms))

    def _split(self, instance: Instance, push: Push, now_ms: int) -> SplitBatch:
        return self._intake.splitter.split_push(
            push, uid=instance.uid, shards=instance.shards, limits=self._limits.of(instance), now_ms=now_ms
        )


def _refusal(status: int, why: str) -> Response:
    """As the Pushgateway answers: a line of text."""
    return text(why[:MAX_ERROR_CHARS] + "\n", status)


def _cleaned(request: Request) -> Response | None:
    """A path with doubled slashes is sent to the clean one, with its method."""
    if b"//" not in request.raw_path:
        return None
    clean = re.sub(rb"/{2,}", b"/", request.raw_path)
    query = b"?" + request.query_string if request.query_string else b""
    return Response(307, b"", TEXT, [(b"location", clean + query)])


def _format_of(content_type: bytes | None) -> str:
    """Anything that is not known is the text format, as with the Pushgateway."""
    media, *parameters = (part.strip() for part in (content_type or b"").decode("latin-1").lower().split(";"))
    if media == _OPEN_METRICS:
        return "openmetrics"
    known = {name.strip(): value.strip().strip('"') for name, _, value in (part.partition("=") for part in parameters)}
    is_delimited = known.get("encoding") == "delimited" and known.get("proto") == "io.prometheus.client.metricfamily"
    return "protobuf" if media == _PROTOBUF and is_delimited else "text"


def _ttl_ms(request: Request) -> int | None:
    """The group's time to live as the push asks for it: seconds, or a duration such as 1h30m; 0: for ever. Raises
    BadDataError.
    """
    header = request.headers.get(TTL_HEADER)
    values = parse_qs(request.query_string.decode("latin-1"), keep_blank_values=True).get(TTL_PARAMETER, [])
    wanted = values[-1] if values else None if header is None else header.decode("latin-1")
    if wanted is None:
        return None
    wanted = wanted.strip()
    try:
        ttl_ms = _length_ms(wanted)
    except ValueError:
        ttl_ms = -1
    if not 0 <= ttl_ms <= _MAX_TTL_MS:
        raise BadDataError(
            f"ttl={wanted[:100]!r} is neither seconds nor a duration such as 1h30m, of 100 years at most; leave it out "
            "for a group that stays"
        )
    return int(ttl_ms)


def _length_ms(text: str) -> float:
    """Raises ValueError."""
    try:
        return float(text) * 1000
    except ValueError:
        if not text:
            raise
        return parse_duration_ms(text)
