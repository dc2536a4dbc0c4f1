"""What the workers of one role say as one: `/metrics` and `/ready` of whichever is asked tell of all."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from headrace.readiness import Readiness
from shared.asgi.messages import Request, Response
from shared.asgi.router import Route
from shared.telemetry.catalogue import Catalogue
from shared.telemetry.metrics import CONTENT_TYPE, render

METRICS_PATH = "/worker/metrics"
READY_PATH = "/worker/ready"

ANSWER_S = 2.0
"""Longest that a worker waits for another one's part."""

MAX_ANSWER_BYTES = 16 << 20

Ask = Callable[[tuple[str, int], str], Awaitable[bytes]]


class Siblings:
    """The workers of one role, as worker `index` sees them."""

    def __init__(
        self, index: int, addresses: Sequence[tuple[str, int]], metrics: Catalogue, readiness: Readiness
    ) -> None:
        self._index = index
        self._addresses = addresses
        self._metrics = metrics
        self._readiness = readiness

    def routes(self) -> dict[str, Route]:
        """Those of one worker alone, and in place of its own `/metrics` and `/ready` those of all."""

        def early(name: str, answer: Callable[[Request], Awaitable[Response]]) -> Route:
            return Route(name, {"GET": answer, "HEAD": answer}, public=False, early=True)

        return {
            METRICS_PATH: early("metrics", self._own_metrics),
            READY_PATH: early("health", self._own_ready),
            "/metrics": early("metrics", self._all_metrics),
            "/ready": early("health", self._all_ready),
        }

    async def _own_metrics(self, _: Request) -> Response:
        return Response(200, render(self._metrics.families()), CONTENT_TYPE)

    async def _own_ready(self, _: Request) -> Response:
        return Response(200, (self._readiness.missing or "").encode(), CONTENT_TYPE)

    async def _all_metrics(self, _: Request) -> Response:
        texts = await self._ask_others(METRICS_PATH)
        up = {index: text is not None for index, text in texts.items()} | {self._index: True}
        self._metrics.workers_up.observe(lambda: {(str(index),): float(is_up) for index, is_up in sorted(up.items())})
        texts[self._index] = render(self._metrics.families())
        known = {index: text.decode() for index, text in sorted(texts.items()) if text is not None}
        return Response(200, merged(known).encode(), CONTENT_TYPE)

    async def _all_ready(self, _: Request) -> Response:
        answers = await self._ask_others(READY_PATH)
        answers[self._index] = (self._readiness.missing or "").encode()
        missing = {
            index: "it does not answer" if answer is None else answer.decode(errors="replace")
            for index, answer in sorted(answers.items())
        }
        texts = [f"worker {index}: {text}" for index, text in missing.items() if text]
        return self._readiness.answer("; ".join(texts) or None)

    async def _ask_others(self, path: str) -> dict[int, bytes | None]:
        """index → body; None from one that does not answer."""
        others = [index for index in range(len(self._addresses)) if index != self._index]
        async with asyncio.TaskGroup() as tasks:
            asked = {index: tasks.create_task(_answer_of(self._addresses[index], path)) for index in others}
        return {index: task.result() for index, task in asked.items()}


async def _answer_of(address: tuple[str, int], path: str) -> bytes | None:
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_connection(*address)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\r\n".encode())
                answer = await reader.read(MAX_ANSWER_BYTES)
                while part := await reader.read(MAX_ANSWER_BYTES - len(answer)):
                    answer += part
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    return body if head.startswith(b"HTTP/1.1 200 ") else None


def merged(texts: Mapping[int, str]) -> str:
    """The metrics of several workers as one page: each family once, its points with the label `worker`."""
    heads: dict[str, list[str]] = {}
    points: dict[str, list[str]] = {}
    for index, text in texts.items():
        known = set(heads)
        for name, line in _lines(text):
            if not line.startswith("#"):
                points.setdefault(name, []).append(_of_worker(line, index))
            elif name not in known:
                heads.setdefault(name, []).append(line)
    lines = [line for name, head in heads.items() for line in (*head, *points.get(name, []))]
    return "\n".join([*lines, ""])


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """(family, line)"""
    family = ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split(" ", 3)[2]
        if line:
            yield family, line


def _of_worker(line: str, index: int) -> str:
    name, brace, rest = line.partition("{")
    if brace:
        return line if rest.startswith('worker="') else f'{name}{{worker="{index}",{rest}'
    name, _, value = line.rpartition(" ")
    return f'{name}{{worker="{index}"}} {value}'
