"""Bounds what uvicorn leaves open to strangers: the size of a request's head, and the time a request takes to come."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shared.asgi.envelope import failure

MAX_HEAD_BYTES = 256 << 10
"""Request line and headers; long queries belong in a form. What one read brings beyond it is not counted."""

RECEIVE_S = 60
"""From a request's first byte to its last, and from a connection's opening to its first request. Prometheus itself
gives up after 30 s. Slow bodies are counted as memory in use all that time, at the cost of everybody's writes."""


class BoundedProtocol(HttpToolsProtocol):
    """Refuses long heads, and closes a connection whose request takes too long to come: without an answer, for that a
    sender tries again, where a 408 would make it drop its samples."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._deadline: asyncio.TimerHandle | None = None
        self._is_receiving = True  # the first request counts from the connection's opening
        self._head_bytes: int | None = 0  # None: the head is complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_receiving:
            if self._deadline is None:
                self._wait()
            if self._head_bytes is not None:
                self._head_bytes += len(data)
                if self._head_bytes > MAX_HEAD_BYTES:
                    reason = f"the request's head exceeds {MAX_HEAD_BYTES} bytes: send the query as a form"
                    self._refuse("431 Request Header Fields Too Large", reason)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_receiving = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        self._head_bytes = None
        super().on_headers_complete()
        if self.parser.should_upgrade():
            # From here on the parser reads no HTTP: neither the body nor another request. Java's client asks for an
            # upgrade to h2c by default, and a write without its body would be acknowledged as an empty one.
            self.cycle.keep_alive = False
            if any(
                name == b"transfer-encoding" or (name == b"content-length" and int(value))
                for name, value in self.headers
            ):
                self.cycle.disconnected = True
                self._refuse("400 Bad Request", "protocols are not switched here: send a body without Upgrade")

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._is_receiving = False
        self._stop_waiting()

    def _unsupported_upgrade_warning(self) -> None:
        """No stranger fills our log."""

    def _refuse(self, status: str, reason: str) -> None:
        if self.transport.is_closing():
            return
        answer = failure(int(status[:3]), "bad_data", reason)
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(answer.body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + answer.body)
        self.transport.close()

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(RECEIVE_S, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
