"""A server that keeps what it is sent and answers with it, and that can be told to be bad at either."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from tests.support.remote_write import read_body

SELECTOR = re.compile(r'\{(?P<matchers>(?:\w+="[^"]*",?)*)\}\[(?P<range>\d+)ms\]')


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    """`raw` is sent instead of everything else; the connection is closed where it is said so."""

    status: int = 204
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    close: bool = False


Behaviour = Callable[[Request], Awaitable[Reply | None]]
"""What to answer; None: what a good server would."""


async def good(_request: Request) -> Reply | None:
    return None


@dataclass
class FakeServer:
    address: str = ""
    samples: dict[frozenset[tuple[str, str]], dict[int, float]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    writes: Behaviour = good
    queries: Behaviour = good
    warnings: list[str] = field(default_factory=list)

    def posted(self) -> list[Request]:
        return [request for request in self.requests if request.method == "POST"]

    def store(self, body: bytes) -> None:
        for labels, samples in read_body(body):
            kept = self.samples.setdefault(frozenset(labels.items()), {})
            for time_ms, value in samples:
                kept.setdefault(time_ms, value)

    def answer(self, path: str) -> bytes:
        parameters = parse_qs(urlsplit(path).query)
        found = SELECTOR.fullmatch(parameters["query"][0])
        if found is None:
            return _result([], [])
        wanted = set(re.findall(r'(\w+)="([^"]*)"', found["matchers"]))
        end = round(float(parameters["time"][0]) * 1000)
        rows = []
        for labels, samples in self.samples.items():
            inside = [(t, v) for t, v in sorted(samples.items()) if end - int(found["range"]) < t <= end and v == v]
            if wanted <= labels and inside:
                rows.append({"metric": dict(labels), "values": [[t / 1000, repr(v)] for t, v in inside]})
        return _result(rows, self.warnings)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await _read(reader):
                self.requests.append(request)
                is_write = request.method == "POST"
                reply = await (self.writes if is_write else self.queries)(request)
                if reply is None and is_write:
                    self.store(request.body)
                reply = reply or (Reply() if is_write else Reply(200, self.answer(request.path)))
                writer.write(_render(reply))
                await writer.drain()
                if reply.close:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving() -> AsyncIterator[FakeServer]:
    fake = FakeServer()
    tasks: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(fake.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    fake.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.wait(tasks) if tasks else None
        await server.wait_closed()


def _result(rows: list[dict[str, object]], warnings: list[str]) -> bytes:
    answer = {"status": "success", "data": {"resultType": "matrix", "result": rows}}
    return json.dumps(answer | ({"warnings": warnings} if warnings else {})).encode()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    line = (await reader.readline()).decode().split()
    if not line:
        return None
    headers = {}
    while (header := (await reader.readline()).decode().strip()) != "":
        name, _, value = header.partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(line[0], line[1], headers, body)


def _render(reply: Reply) -> bytes:
    if reply.raw is not None:
        return reply.raw
    headers = {"Content-Length": str(len(reply.body)), **reply.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {reply.status} x\r\n{lines}\r\n".encode() + reply.body
