"""Calls carry the cluster's secret; without it they are refused before their message is looked at."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

KEY = "x-headrace-secret"


def metadata_of(secret: str) -> tuple[tuple[str, str], ...]:
    """What a call has to carry."""
    return ((KEY, secret),)


class SecretInterceptor(grpc.aio.ServerInterceptor):
    """Refuses calls without the secret as UNAUTHENTICATED."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

        async def refuse(_request: Any, context: Any) -> None:
            await context.abort(
                grpc.StatusCode.UNAUTHENTICATED,
                "the cluster secret is missing or is another one: set the same HEADRACE_CLUSTER_SECRET everywhere",
            )

        self._refusal: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(refuse)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        given = dict(handler_call_details.invocation_metadata or ()).get(KEY, "")
        given_bytes = given.encode() if isinstance(given, str) else bytes(given)
        if hmac.compare_digest(given_bytes, self._secret):
            return await continuation(handler_call_details)
        return self._refusal
