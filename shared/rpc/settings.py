"""How processes of a cluster speak to one another. The composition root builds it."""

from dataclasses import dataclass, field
from pathlib import Path

MAX_MESSAGE_BYTES = 16 << 20
"""Answers are streams of small frames; only the keys of a large write come near this."""

HEARTBEAT_S = 1.0
"""From one sign of life of a stream to the next. A process that stands still gives none, though its kernel acks."""

CATCH_UP_S = 1.0
"""How long a partition that lags behind what a question needs may take; the other zone may be quicker after that."""

FRAME_BYTES = 256 << 10
"""Of a stream. A large message would hold up the event loop that takes it."""


@dataclass(frozen=True, slots=True)
class RpcSettings:
    """Certificates are PEM files; with none of them gRPC is spoken in the clear.

    A stream may take as long as its work does: who works says so every `HEARTBEAT_S`, and who says nothing for
    `silence_s` is given up, with every call on its connection.
    """

    secret: str = field(repr=False)
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    silence_s: float = 4.0
    max_calls: int = 200
    """At once at one peer; further ones wait."""

    @property
    def is_tls(self) -> bool:
        return self.ca_file is not None or self.certificate_file is not None

    def options(self) -> list[tuple[str, int]]:
        """Of a channel and of a server."""
        return [
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.min_reconnect_backoff_ms", 1000),
            ("grpc.max_reconnect_backoff_ms", 2000),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),  # what a shell is set to has no say in a cluster
        ]
