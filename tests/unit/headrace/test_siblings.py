"""Workers of one role answer `/metrics` and `/ready` for one another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from headrace.readiness import Readiness
from headrace.siblings import Siblings, merged
from shared.asgi.messages import Request
from shared.telemetry.catalogue import Catalogue

Address = tuple[str, int]

PAGE = """# HELP a_total Things.
# TYPE a_total counter
a_total 3
# HELP b_seconds Time.
# TYPE b_seconds histogram
b_seconds_bucket{route="x",le="1"} 2
b_seconds_count{route="x"} 2
# HELP c Of one worker alone.
# TYPE c gauge
"""


def test_merged_pages_have_each_family_once_and_say_whose_a_point_is() -> None:
    other = PAGE.replace("a_total 3", "a_total 4") + "c 1\n"
    up = '# HELP u Up.\n# TYPE u gauge\nu{worker="0"} 1\nu{worker="2"} 1\n'
    assert merged({0: PAGE + up, 2: other}).splitlines() == [
        "# HELP a_total Things.",
        "# TYPE a_total counter",
        'a_total{worker="0"} 3',
        'a_total{worker="2"} 4',
        "# HELP b_seconds Time.",
        "# TYPE b_seconds histogram",
        'b_seconds_bucket{worker="0",route="x",le="1"} 2',
        'b_seconds_count{worker="0",route="x"} 2',
        'b_seconds_bucket{worker="2",route="x",le="1"} 2',
        'b_seconds_count{worker="2",route="x"} 2',
        "# HELP c Of one worker alone.",
        "# TYPE c gauge",
        'c{worker="2"} 1',
        "# HELP u Up.",
        "# TYPE u gauge",
        'u{worker="0"} 1',
        'u{worker="2"} 1',
    ]


@asynccontextmanager
async def worker(answers: dict[str, bytes]) -> AsyncIterator[Address]:
    """Another worker's own socket: a body per path, and silence for all other paths."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = answers.get(head.split(b" ")[1].decode())
        if body is None:
            await reader.read()
        else:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[:2]


async def get(siblings: Siblings, path: str) -> Any:
    async def nothing() -> dict[str, Any]:
        return {"type": "http.request"}

    scope = {"method": "GET", "path": path, "query_string": b"", "headers": []}
    return await siblings.routes()[path].methods["GET"](Request(scope, nothing))


def as_worker_1(*others: Address) -> tuple[Siblings, Readiness, Catalogue]:
    readiness, metrics = Readiness(), Catalogue()
    metrics.received_samples.inc(5)
    first, *rest = others
    return Siblings(1, [first, ("127.0.0.1", 1), *rest], metrics, readiness), readiness, metrics


async def test_one_page_tells_of_all_workers_and_of_who_is_missing() -> None:
    page = b"# HELP headrace_received_samples_total x.\n# TYPE headrace_received_samples_total counter\n"
    async with worker({"/worker/metrics": page + b"headrace_received_samples_total 7\n"}) as other:
        siblings, _, _ = as_worker_1(other, ("127.0.0.1", 1))
        text = (await get(siblings, "/metrics")).body.decode()
    assert 'headrace_received_samples_total{worker="0"} 7\nheadrace_received_samples_total{worker="1"} 5\n' in text
    assert [line for line in text.splitlines() if line.startswith("headrace_worker_up")] == [
        'headrace_worker_up{worker="0"} 1',
        'headrace_worker_up{worker="1"} 1',
        'headrace_worker_up{worker="2"} 0',
    ]
    assert 'headrace_received_samples_total{worker="2"}' not in text


async def test_ready_when_all_are() -> None:
    async with worker({"/worker/ready": b""}) as other:
        siblings, readiness, _ = as_worker_1(other)
        readiness.waits_for(lambda: "waiting for Redis")
        answer = await get(siblings, "/ready")
        assert (answer.status, answer.body) == (503, b'{"status":"not ready","missing":"worker 1: waiting for Redis"}')
        assert (await get(siblings, "/worker/ready")).body == b"waiting for Redis"
        readiness.waits_for(lambda: None)
        assert (await get(siblings, "/ready")).status == 200
    answer = await get(siblings, "/ready")
    assert (answer.status, answer.body) == (503, b'{"status":"not ready","missing":"worker 0: it does not answer"}')


async def test_a_worker_that_hangs_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.siblings.ANSWER_S", 0.05)
    async with worker({}) as other:
        siblings, readiness, _ = as_worker_1(other)
        readiness.waits_for(lambda: None)
        assert b"worker 0: it does not answer" in (await get(siblings, "/ready")).body
