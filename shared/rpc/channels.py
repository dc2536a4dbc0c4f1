"""One channel to each ingester, opened when it is needed and closed when the ingester is gone."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc

from shared.errors import UnavailableError
from shared.rpc.methods import Method, Reply, Request
from shared.rpc.secret import metadata_of
from shared.rpc.settings import RpcSettings


@dataclass(slots=True)
class _Peer:
    channel: grpc.aio.Channel
    calls: asyncio.Semaphore


class Channels:
    """By address, HOST:PORT."""

    def __init__(self, settings: RpcSettings) -> None:
        self._settings = settings
        self._metadata = metadata_of(settings.secret)
        self._credentials = _credentials(settings) if settings.is_tls else None
        self._peers: dict[str, _Peer] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self.calls: Counter[str] = Counter()
        """By method, since the start."""
        self.failures: Counter[str] = Counter()
        """Those of them that the other side, or the way to it, has failed."""

    async def call(self, address: str, method: Method[Request, Reply], request: Request, timeout_s: float) -> Reply:
        """grpc.RpcError."""
        peer = self._peer(address)
        async with peer.calls, self._counted(method.name):
            call = peer.channel.unary_unary(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.reply.FromString,
            )
            reply: Reply = await call(request, timeout=timeout_s, metadata=self._metadata)
            return reply

    async def stream(
        self,
        address: str,
        method: Method[Request, Reply],
        request: Request,
        timeout_s: float,
        first_s: float | None = None,
    ) -> AsyncGenerator[Reply, None]:
        """grpc.RpcError, UnavailableError if nothing comes for too long, or not the first reply within `first_s`. What
        is not read to its end is cancelled.
        """
        silence_s = self._settings.silence_s
        patience_s = min(silence_s, first_s or silence_s)
        peer = self._peer(address)
        async with peer.calls, self._counted(method.name):
            call = peer.channel.unary_stream(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.reply.FromString,
            )(request, timeout=timeout_s, metadata=self._metadata)
            try:
                while True:
                    async with asyncio.timeout(patience_s):
                        reply = await call.read()
                    patience_s = silence_s
                    if not isinstance(reply, method.reply):  # the end
                        return
                    yield reply
            except TimeoutError:
                self._give_up(address, peer)
                raise UnavailableError(f"it has been silent for {patience_s:g} s") from None
            finally:
                call.cancel()

    @asynccontextmanager
    async def _counted(self, method: str) -> AsyncGenerator[None, None]:
        self.calls[method] += 1
        try:
            yield
        except (grpc.RpcError, UnavailableError):
            self.failures[method] += 1
            raise

    def keep(self, addresses: Collection[str]) -> None:
        """Closes the channels to all others; calls that are under way have a second to end."""
        for address in self._peers.keys() - set(addresses):
            self._close(self._peers.pop(address))

    async def close(self) -> None:
        self.keep(())
        if self._closing:
            await asyncio.wait(self._closing)

    def _give_up(self, address: str, peer: _Peer) -> None:
        """The connection may be dead without anybody knowing; the next call makes another one."""
        if self._peers.get(address) is peer:
            self._close(self._peers.pop(address))

    def _close(self, peer: _Peer) -> None:
        task = asyncio.create_task(peer.channel.close(grace=1.0))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _peer(self, address: str) -> _Peer:
        peer = self._peers.get(address)
        if peer is not None and peer.channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            # It fails calls for seconds before it tries to connect again, and the ingester may be back by now.
            self._give_up(address, peer)
            peer = None
        if peer is None:
            options = self._settings.options()
            channel = (
                grpc.aio.insecure_channel(address, options)
                if self._credentials is None
                else grpc.aio.secure_channel(address, self._credentials, options)
            )
            peer = self._peers[address] = _Peer(channel, asyncio.Semaphore(self._settings.max_calls))
        return peer


def _credentials(settings: RpcSettings) -> grpc.ChannelCredentials:
    def read(name: str) -> bytes | None:
        path = getattr(settings, name)
        return None if path is None else path.read_bytes()

    return grpc.ssl_channel_credentials(
        root_certificates=read("ca_file"), private_key=read("key_file"), certificate_chain=read("certificate_file")
    )
