"""Pushed groups, as the Pushgateway's `/api/v1/metrics` shows them."""

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
        return {"/api/v1/push/groups": Route("push_groups", {"GET": self._groups})}

    async def _groups(self, request: Request) -> Response:
        instance = await self._authenticator.authenticate(request.headers.get(b"authorization"))
        params = await read_params(request)
        try:
            async with asyncio.timeout(self._timeout_s), Leaving(request.receive):
                groups, warnings = await self._storage.pushed(
                    instance,
                    self._partitions,
                    consistency_of(request),
                    is_partial=boolean(params, "partial_response"),
                )
        except TimeoutError:
            raise TimedOutError(f"the pushed groups could not be read in {self._timeout_s:g} s") from None
        return success(b"[", b",".join(groups), b"]", warnings=warnings)
