"""The gRPC server of an ingester: starting, stopping, and how handlers fail."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc

from ingester.rpc.service import Service
from shared.errors import InternalError
from shared.rpc.errors import details_for, status_of
from shared.rpc.methods import (
    ACTIVE_SERIES,
    EXEMPLARS,
    FLUSH,
    KNOWN_SERIES,
    METADATA,
    METRIC_SERIES,
    NAMES,
    PUSHED,
    SELECT,
    SERVICE,
    WAIT,
    Method,
)
from shared.rpc.secret import SecretInterceptor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from ingester.holdings import Holdings
    from shared.rpc.settings import RpcSettings

MAX_CALLS = 1000
"""Under way and waiting; further ones are refused as RESOURCE_EXHAUSTED, and readers go to the other zone."""


class Server:
    def __init__(
        self, holdings: Holdings, settings: RpcSettings, *, window_ms: int, flush: Callable[[], Awaitable[None]]
    ) -> None:
        self._settings = settings
        self._service = Service(holdings, window_ms=window_ms, flush=flush)
        self._server = grpc.aio.server(
            interceptors=[SecretInterceptor(settings.secret)],
            options=settings.options(),
            maximum_concurrent_rpcs=MAX_CALLS,
        )
        service = self._service
        self._server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(
                    SERVICE,
                    {
                        WAIT.name: _unary(WAIT, service.wait_applied),
                        METADATA.name: _stream(METADATA, service.metadata),
                        PUSHED.name: _stream(PUSHED, service.pushed),
                        EXEMPLARS.name: _unary(EXEMPLARS, service.exemplars),
                        FLUSH.name: _unary(FLUSH, service.flush),
                        ACTIVE_SERIES.name: _unary(ACTIVE_SERIES, service.active_series),
                        METRIC_SERIES.name: _unary(METRIC_SERIES, service.metric_series),
                        KNOWN_SERIES.name: _unary(KNOWN_SERIES, service.known_series),
                        SELECT.name: _stream(SELECT, service.select),
                        NAMES.name: _stream(NAMES, service.names),
                    },
                )
            ]
        )

    async def start(self, listen: str) -> int:
        """Serves on HOST:PORT (0: a free port) and returns the port. InternalError: it cannot be listened on."""
        try:
            if self._settings.is_tls:
                port = self._server.add_secure_port(listen, await asyncio.to_thread(_credentials, self._settings))
            else:
                port = self._server.add_insecure_port(listen)
        except RuntimeError as error:
            raise InternalError(
                f"gRPC cannot listen on {listen}: stop what uses it, or choose another with grpc.listen"
            ) from error
        await self._server.start()
        return port

    async def stop(self, grace_s: float = 1.0) -> None:
        """New calls are refused, those under way have `grace_s` to end."""
        await self._server.stop(grace_s)


def _credentials(settings: RpcSettings) -> grpc.ServerCredentials:
    if settings.key_file is None or settings.certificate_file is None:
        raise InternalError(
            "gRPC with TLS needs a certificate and its key: set grpc.certificate_file and grpc.key_file"
        )
    pair = (settings.key_file.read_bytes(), settings.certificate_file.read_bytes())
    authority = None if settings.ca_file is None else settings.ca_file.read_bytes()
    return grpc.ssl_server_credentials([pair], authority, require_client_auth=authority is not None)


def _unary(method: Method[Any, Any], handle: Callable[[Any], Awaitable[Any]]) -> grpc.RpcMethodHandler[Any, Any]:
    async def handler(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await handle(request)
        except Exception as error:  # noqa: BLE001  every failure becomes a status
            await context.abort(status_of(error), details_for(error))

    return grpc.unary_unary_rpc_method_handler(
        handler,
        request_deserializer=method.request.FromString,
        response_serializer=method.reply.SerializeToString,
    )


def _stream(method: Method[Any, Any], handle: Callable[[Any], AsyncIterator[Any]]) -> grpc.RpcMethodHandler[Any, Any]:
    async def handler(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        try:
            async for frame in handle(request):
                yield frame
        except Exception as error:  # noqa: BLE001  every failure becomes a status
            await context.abort(status_of(error), details_for(error))

    return grpc.unary_stream_rpc_method_handler(
        handler,
        request_deserializer=method.request.FromString,
        response_serializer=method.reply.SerializeToString,
    )
