"""Senders: each body is sent when it is due, whatever became of those before it, and again until it is acknowledged.

Each sender has its share of the targets and sends one body at a time, in order, as a shard of Prometheus does. A body
that cannot be sent in time is sent late: its latency counts from when it was due, so that a server which stands still
shows it in every body that had to wait (Gil Tene's "coordinated omission").
"""

import asyncio
import random
from collections.abc import Sequence
from enum import Enum, auto
from itertools import count
from time import monotonic

from headrace.load.alarm import Alarm
from headrace.load.errors import RequestError
from headrace.load.http import Answer, Client
from headrace.load.ledger import ACKNOWLEDGED
from headrace.load.tally import Writes
from headrace.load.traffic import Lane, Pace

FIRST_PAUSE_S = 0.03
LONGEST_PAUSE_S = 5.0
"""Prometheus's own bounds of a back-off."""

HEADERS = (
    "Content-Type: application/x-protobuf\r\n"
    "Content-Encoding: snappy\r\n"
    "X-Prometheus-Remote-Write-Version: 0.1.0\r\n"
    "User-Agent: headrace-load\r\n"
)


class _Outcome(Enum):
    ACKNOWLEDGED = auto()
    REFUSED = auto()
    RETRY = auto()


class Sender:
    """Ends when its alarm rings, after it has seen to the body in its hands: for that it has `drain_s`."""

    def __init__(
        self, lanes: Sequence[Lane], client: Client, pace: Pace, *, interval_ms: int, path: str, writes: Writes,
        alarm: Alarm, drain_s: float,
    ) -> None:  # fmt: skip
        self._lanes = sorted(lanes, key=lambda lane: lane.offset_ms)
        self._client = client
        self._pace = pace
        self._interval_ms = interval_ms
        self._path = path
        self._writes = writes
        self._alarm = alarm
        self._drain_s = drain_s
        self._waits_since_s: float | None = None

    @property
    def waits_since_s(self) -> float | None:
        """When the body in its hands was due; None while there is none."""
        return self._waits_since_s

    async def run(self) -> None:
        try:
            for step in count() if self._lanes else ():
                for lane in self._lanes:
                    due_s = lane.due_s(self._pace, self._interval_ms, step)
                    if await self._alarm.sleep_until(due_s):
                        return
                    for why, of in lane.model.turns(lane.target, step):
                        await self._send(lane, of, due_s, repeat=why in {"again", "altered"}, altered=why == "altered")
        finally:
            self._client.close()

    async def _send(self, lane: Lane, step: int, due_s: float, *, repeat: bool, altered: bool) -> None:
        """Returns when the body is acknowledged or given up."""
        if altered and lane.ledger.state(step) != ACKNOWLEDGED:
            return  # the first of two values stays only if it is known to be there first
        self._waits_since_s = due_s
        body = lane.model.body(lane.target, step, altered=altered)
        give_up_s: float | None = None
        for attempt in count():
            outcome, pause_s = await self._attempt(lane, step, body, due_s, attempt, repeat=repeat)
            if outcome is not _Outcome.RETRY:
                break
            now_s = monotonic()
            if self._alarm.rang:
                give_up_s = give_up_s if give_up_s is not None else now_s + self._drain_s
                if now_s + pause_s > give_up_s:
                    self._writes.given_up += 1
                    break
                await asyncio.sleep(pause_s)
            else:
                await self._alarm.sleep_until(now_s + pause_s)
            self._writes.retries += 1
        self._waits_since_s = None

    async def _attempt(
        self, lane: Lane, step: int, body: bytes, due_s: float, attempt: int, *, repeat: bool
    ) -> tuple[_Outcome, float]:
        """What came of it, and how long to wait before the next."""
        begun_s = monotonic()
        headers = HEADERS + lane.tenant.authorization + (f"Retry-Attempt: {attempt}\r\n" if attempt else "")
        try:
            await self._client.connect()
            lane.ledger.sent(step)
            self._writes.bytes_sent += len(body)
            answer = await self._client.request("POST", self._path, headers, body)
        except RequestError as error:
            return self._failed(begun_s, error.kind, str(error), attempt, None)
        if 200 <= answer.status < 300:
            self._acknowledged(lane, step, begun_s, due_s, repeat=repeat)
            return _Outcome.ACKNOWLEDGED, 0.0
        if _is_final(answer):
            self._writes.failures.add(f"status {answer.status}", answer.text)
            self._writes.refused += 1
            return _Outcome.REFUSED, 0.0
        self._client.move_on()
        return self._failed(begun_s, f"status {answer.status}", answer.text, attempt, answer.retry_after_s)

    def _acknowledged(self, lane: Lane, step: int, begun_s: float, due_s: float, *, repeat: bool) -> None:
        writes, now_s = self._writes, monotonic()
        if lane.ledger.state(step) == ACKNOWLEDGED:
            writes.repeats += 1
        else:
            lane.ledger.acknowledged(step)
            writes.samples += lane.samples
        writes.requests += 1
        writes.unavailable.answered(begun_s)
        writes.service.record(now_s - begun_s)
        if not repeat:
            writes.since_due.record(now_s - due_s)

    def _failed(
        self, begun_s: float, kind: str, detail: str, attempt: int, retry_after_s: float | None
    ) -> tuple[_Outcome, float]:
        self._writes.failures.add(kind, detail)
        self._writes.unavailable.failed(begun_s, kind)
        backoff_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(attempt, 10))
        # Senders that failed together should not all come back together.
        pause_s = backoff_s * random.uniform(0.75, 1.25) if retry_after_s is None else retry_after_s  # noqa: S311
        return _Outcome.RETRY, min(pause_s, 2 * LONGEST_PAUSE_S)


def _is_final(answer: Answer) -> bool:
    """Whether a good sender must not try again."""
    return answer.status < 500 and answer.status != 429
