"""Connections of kafka-python's clients."""

import selectors
import ssl
from collections.abc import Sequence
from typing import Any

from kafka.net.inet import KafkaNetSocket

PROXY_URL = "direct://"
"""What a client is told so that it uses `DirectSocket`: kafka-python chooses the class by the scheme of the proxy."""


class DirectSocket(KafkaNetSocket):  # type: ignore[misc]  # kafka-python is not typed
    """A connection without a proxy, whose socket is closed if it does not come about. kafka-python leaves it open until
    a garbage collection finds it, one for each attempt to reach a broker that is away.
    """

    SCHEMES = ("direct",)

    async def connect(
        self, net: Any, addrinfo: Any, socket_options: Sequence[Any] = (), timeout_at: float | None = None
    ) -> Any:
        family, kind, protocol, _, address = addrinfo
        sock = self.socket(family, kind, protocol)
        try:
            sock.settimeout(0.0)
            for option in socket_options:
                sock.setsockopt(*option)
            return await self.sock_connect(net, sock, address, timeout_at=timeout_at)
        except BaseException:
            net.unregister_event(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
            sock.close()
            raise


class TlsSocket(ssl.SSLSocket):
    """Closes itself when its handshake fails, for the same reason."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002  its signature
        try:
            super().do_handshake(block)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except BaseException:
            self.close()
            raise
