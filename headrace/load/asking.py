"""Queries at a fixed rate, each timed from when it was due."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlencode

import yaml

from headrace.load.alarm import Alarm
from headrace.load.errors import LoadError, RequestError
from headrace.load.http import Client
from headrace.load.latency import Latencies
from headrace.load.tally import Errors, Outages
from headrace.load.traffic import Pace, Tenant

DEFAULT_STEP_S = 15.0


@dataclass(frozen=True, slots=True)
class Question:
    """A query; with a range it is asked over that range up to now."""

    name: str
    expr: str
    range_s: float | None = None
    step_s: float = DEFAULT_STEP_S

    def path(self, now_ms: int) -> str:
        now = f"{now_ms // 1000}.{now_ms % 1000:03d}"
        if self.range_s is None:
            return f"/api/v1/query?{urlencode({'query': self.expr, 'time': now})}"
        start = f"{now_ms / 1000 - self.range_s:.3f}"
        parameters = {"query": self.expr, "start": start, "end": now, "step": f"{self.step_s:g}"}
        return f"/api/v1/query_range?{urlencode(parameters)}"


DEFAULT_QUESTIONS = (
    Question("instant_one", 'load_memory_bytes{node="node-00000"}'),
    Question("rate_by_job", "sum by (job) (rate(load_requests_total[5m]))"),
    Question("rate_range_1h", "sum by (job) (rate(load_requests_total[5m]))", 3600, 60),
    Question("quantile", "histogram_quantile(0.99, sum by (le) (rate(load_request_duration_seconds_bucket[5m])))"),
    Question("node_range_1h", 'sum by (mode) (rate(load_cpu_seconds_total{node="node-00000"}[5m]))', 3600, 60),
    Question("topk", "topk(10, sum by (node) (load_memory_bytes))"),
    Question("count", "count by (__name__) ({__name__=~'load_.+'})"),
)


def read_questions(file: Path) -> tuple[Question, ...]:
    """From a YAML list of {name, expr} and, for range queries, {range, step} in seconds. Raises LoadError."""
    try:
        entries = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LoadError(f"{file}: cannot be read: {error}") from None
    if not isinstance(entries, list) or not entries:
        raise LoadError(f"{file}: write a list of queries, each as {{name: …, expr: …}}")
    return tuple(_question(file, number, entry) for number, entry in enumerate(entries, 1))


def _question(file: Path, number: int, entry: Any) -> Question:
    known = {"name", "expr", "range", "step"}
    if not isinstance(entry, Mapping) or not isinstance(entry.get("expr"), str) or not set(entry) <= known:
        raise LoadError(f"{file}: query {number} needs `expr`, and may have `name`, `range` and `step` in seconds")
    try:
        range_s = None if entry.get("range") is None else float(entry["range"])
        step_s = float(entry.get("step", DEFAULT_STEP_S))
    except (TypeError, ValueError):
        raise LoadError(f"{file}: query {number}: `range` and `step` are numbers of seconds") from None
    if (range_s is not None and range_s <= 0) or step_s <= 0:
        raise LoadError(f"{file}: query {number}: `range` and `step` are more than 0")
    return Question(str(entry.get("name", entry["expr"])), entry["expr"], range_s, step_s)


@dataclass(slots=True)
class Asked:
    """What became of the queries."""

    answers: int = 0
    errors: Errors = field(default_factory=Errors)
    outages: Outages = field(default_factory=Outages)
    since_due: dict[str, Latencies] = field(default_factory=dict)
    """By name; all of them under ''."""

    def record(self, name: str, seconds: float) -> None:
        self.answers += 1
        for key in (name, ""):
            self.since_due.setdefault(key, Latencies()).record(seconds)


class Asker:
    """One of several that share the questions' schedule, and have one question at a time each."""

    def __init__(
        self, turns: Iterator[int], questions: Sequence[Question], tenants: Sequence[Tenant], client: Client,
        pace: Pace, alarm: Alarm, asked: Asked, *, per_s: float,
    ) -> None:  # fmt: skip
        self._turns = turns
        self._questions = questions
        self._tenants = tenants
        self._client = client
        self._pace = pace
        self._alarm = alarm
        self._asked = asked
        self._per_s = per_s

    async def run(self) -> None:
        try:
            for turn in self._turns:
                due_s = self._pace.begun_s + turn / self._per_s
                if await self._alarm.sleep_until(due_s):
                    return
                question = self._questions[turn % len(self._questions)]
                tenant = self._tenants[turn // len(self._questions) % len(self._tenants)]
                await self._ask(question, tenant, due_s)
        finally:
            self._client.close()

    async def _ask(self, question: Question, tenant: Tenant, due_s: float) -> None:
        asked, asked_s = self._asked, monotonic()
        path = question.path(self._pace.data_ms(asked_s))
        try:
            answer = await self._client.request("GET", path, tenant.authorization)
        except RequestError as error:
            asked.errors.add(error.kind, str(error))
            asked.outages.failed(asked_s, error.kind)
            return
        if answer.status != 200:
            asked.errors.add(f"status {answer.status}", f"{question.name}: {answer.text}")
            if answer.status == 503:
                asked.outages.failed(asked_s, answer.text)
            return
        asked.outages.answered(asked_s)
        asked.record(question.name, monotonic() - due_s)
