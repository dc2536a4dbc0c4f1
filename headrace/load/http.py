"""A small HTTP/1.1 client for a load generator: one request at a time on one connection, some 30 µs a request.

A client library that does everything costs ten times as much, and what it would spare the generator (pools, redirects,
cookies, encodings) is what it must not do: a connection that breaks is something to count.
"""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools

from headrace.load.errors import LoadError, RequestError, UnreachableError

CONNECT_S = 5.0
MAX_ANSWER_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens, and below which path."""

    host: str
    port: int
    prefix: str = ""
    tls: bool = False

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Raises LoadError for what is no http:// or https:// URL."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in {"http", "https"} or not parts.hostname or port == -1 or parts.query or parts.fragment:
            raise LoadError(
                f"{_without_user(url)!r} is no URL of a server: write http://HOST:PORT or https://HOST:PORT"
            )
        if parts.username is not None:
            raise LoadError("a URL is seen by others: give the credentials with --instances or in HEADRACE_TOKEN")
        tls = parts.scheme == "https"
        return cls(parts.hostname, port or (443 if tls else 80), parts.path.rstrip("/"), tls)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.tls else ''}://{host}:{self.port}{self.prefix}"


def _without_user(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    retry_after_s: float | None = None

    @property
    def text(self) -> str:
        """What the server said, shortened: one line."""
        return " ".join(self.body[:400].decode(errors="replace").split())


class Client:
    """Asks one of several equal servers, and the next one when it fails. One request at a time."""

    def __init__(self, addresses: Sequence[Address], *, first: int = 0, timeout_s: float = 30.0) -> None:
        self._addresses = addresses
        self._at = first % len(addresses)
        self._timeout_s = timeout_s
        self._connection: _Connection | None = None

    async def connect(self) -> None:
        """Returns with an open connection to some server; UnreachableError if there is none to be had."""
        if self._connection is not None and self._connection.is_open:
            return
        reason = ""
        for _ in self._addresses:
            address = self._addresses[self._at]
            try:
                self._connection = await _Connection.open(address)
            except (OSError, TimeoutError) as error:
                reason = f"{address}: {str(error) or 'no answer'}"
                self.move_on()
            else:
                return
        raise UnreachableError(reason)

    async def request(self, method: str, path: str, headers: str = "", body: bytes = b"") -> Answer:
        """Connects where it must. `path` goes below the address's own; `headers` are lines, each with its CRLF."""
        await self.connect()
        connection = self._connection
        assert connection is not None  # noqa: S101  connect returned
        try:
            async with asyncio.timeout(self._timeout_s):
                return await connection.request(method, path, headers, body)
        except TimeoutError:
            self.move_on()
            raise RequestError("timeout", f"no answer within {self._timeout_s:g} s") from None
        except RequestError:
            self.move_on()
            raise
        except asyncio.CancelledError:
            self.close()
            raise

    def move_on(self) -> None:
        """The next request goes to the next server."""
        self.close()
        self._at = (self._at + 1) % len(self._addresses)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@dataclass(slots=True)
class _Receiving:
    done: "asyncio.Future[Answer]"
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0
    retry_after_s: float | None = None


class _Connection(asyncio.Protocol):
    def __init__(self, address: Address) -> None:
        self._host = f"Host: {address.host}:{address.port}\r\n"
        self._prefix = address.prefix
        self._transport: asyncio.Transport | None = None
        self._receiving: _Receiving | None = None
        self._parser: httptools.HttpResponseParser | None = None

    @classmethod
    async def open(cls, address: Address) -> "_Connection":
        """OSError or TimeoutError where nobody listens."""
        context = ssl.create_default_context() if address.tls else None
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_S):
            _, connection = await loop.create_connection(lambda: cls(address), address.host, address.port, ssl=context)
        return connection

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def request(self, method: str, path: str, headers: str, body: bytes) -> Answer:
        if self._transport is None:
            raise RequestError("closed", "the server closed the connection")
        # A parser of its own for each answer, since httptools' does not begin anew after one without a length.
        self._parser = httptools.HttpResponseParser(self)
        done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._receiving = _Receiving(done)
        head = f"{method} {self._prefix}{path} HTTP/1.1\r\n{self._host}{headers}Content-Length: {len(body)}\r\n\r\n"
        self._transport.writelines((head.encode("latin-1"), body))
        try:
            return await done
        finally:
            self._receiving = None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._parser is None or self._receiving is None:
            self.close()  # an answer to nothing
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(RequestError("protocol", f"what came is no HTTP: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail(RequestError("closed", str(exc) if exc else "the server closed the connection"))

    # ---- httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._receiving is not None and name.lower() == b"retry-after" and value.isdigit():
            self._receiving.retry_after_s = float(value)

    def on_body(self, data: bytes) -> None:
        if self._receiving is None:
            return
        self._receiving.chunks.append(data)
        self._receiving.size += len(data)
        if self._receiving.size > MAX_ANSWER_BYTES:
            self._fail(RequestError("too_large", f"the answer is larger than {MAX_ANSWER_BYTES >> 20} MiB"))

    def on_message_complete(self) -> None:
        receiving, parser = self._receiving, self._parser
        if receiving is None or parser is None or receiving.done.done():
            return
        answer = Answer(parser.get_status_code(), b"".join(receiving.chunks), receiving.retry_after_s)
        if not parser.should_keep_alive():
            self.close()
        receiving.done.set_result(answer)

    def _fail(self, error: RequestError) -> None:
        self.close()
        if self._receiving is not None and not self._receiving.done.done():
            self._receiving.done.set_exception(error)
