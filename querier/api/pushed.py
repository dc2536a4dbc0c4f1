"""Pushed groups, as the Pushgateway's `/api/v1/metrics` and `/metrics` show them."""

import asyncio
from collections.abc import Sequence

from querier.api.params import boolean, read_params
from querier.api.visibility import consistency_of
from querier.storage import Storage
from shared.asgi.envelope import success
from shared.asgi.leaving import Leaving
from shared.asgi.messages import Request, Response
from shared.asgi.router import Route
from shared.auth.authenticator import Authenticator
from shared.errors import TimedOutError
from shared.native import expose_pushed

TEXT = b"text/plain; version=0.0.4; charset=utf-8"
PROTOBUF = b"application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

_PROTOBUF_TYPE = {"proto": "io.prometheus.client.metricfamily", "encoding": "delimited"}


class PushedApi:
    """`partitions`: all that there are, since a group may lie in any."""

    def __init__(
        self, authenticator: Authenticator, storage: Storage, *, partitions: Sequence[int], timeout_s: float
    ) -> None:
        self._authenticator = authenticator
        self._storage = storage
        self._partitions = partitions
        self._timeout_s = timeout_s

    def routes(self) -> dict[str, Route]:
        return {
            "/api/v1/push/groups": Route("push_groups", {"GET": self._groups}),
            "/api/v1/push/metrics": Route("push_metrics", {"GET": self._metrics}),
        }

    async def _groups(self, request: Request) -> Response:
        params = await read_params(request)
        groups, warnings = await self._pushed(request, is_partial=boolean(params, "partial_response"))
        return success(b"[", b",".join(groups), b"]", warnings=warnings)

    async def _metrics(self, request: Request) -> Response:
        """All or nothing: to a scraper what is missing has ended."""
        pieces, _ = await self._pushed(request, is_partial=False, as_families=True)
        content_type = negotiated(request.headers.get(b"accept"))
        body = await asyncio.to_thread(expose_pushed, pieces, as_text=content_type is TEXT)
        return Response(200, body, content_type)

    async def _pushed(
        self, request: Request, *, is_partial: bool, as_families: bool = False
    ) -> tuple[list[bytes], list[str]]:
        instance = await self._authenticator.authenticate(request.headers.get(b"authorization"))
        try:
            async with asyncio.timeout(self._timeout_s), Leaving(request.receive):
                return await self._storage.pushed(
                    instance,
                    self._partitions,
                    consistency_of(request),
                    is_partial=is_partial,
                    as_families=as_families,
                )
        except TimeoutError:
            raise TimedOutError(f"the pushed groups could not be read in {self._timeout_s:g} s") from None


def negotiated(accept: bytes | None) -> bytes:
    """The Content-Type for an Accept header: what it likes best of the two there are, the text format where it names
    neither.
    """
    clauses = []
    for clause in (accept or b"").decode("latin-1").lower().split(","):
        media, *parts = (part.strip() for part in clause.split(";"))
        parameters = {name.strip(): value.strip().strip('"') for name, _, value in (p.partition("=") for p in parts)}
        try:
            weight = float(parameters.get("q", "1"))
        except ValueError:
            weight = 0.0
        clauses.append((weight, media, parameters))
    for weight, media, parameters in sorted(clauses, key=lambda clause: -clause[0]):
        if weight > 0 and media == "application/vnd.google.protobuf" and parameters.items() >= _PROTOBUF_TYPE.items():
            return PROTOBUF
        if media in {"text/plain", "text/*", "*/*"}:
            break
    return TEXT
