"""Asks two servers the same and says in what their answers differ."""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.support.keepalive import Asker
from tests.support.queries import Grammar, Node, Traits
from tests.support.queries.data import INTERVAL_MS, SAMPLES

Labels: TypeAlias = tuple[tuple[str, str], ...]
_STEPS_S = (1, 7, 15, 30, 60, 61, 300)
_MOST_STEPS = 12


@dataclass(frozen=True)
class Question:
    """An instant query at `start_s`, or a range query if there is a step. Times are half a second off whole ones."""

    query: Node
    start_s: float
    end_s: float
    step_s: int = 0

    @classmethod
    def random(cls, rng: random.Random, start_ms: int) -> "Question":
        """Of data from `start_ms` on, and sometimes of times just outside."""
        is_range = rng.random() < 0.5
        query = Grammar(rng, start_ms).query(is_range=is_range)
        at = start_ms // 1000 + rng.randrange(-300, SAMPLES * INTERVAL_MS // 1000 + 400) + 0.5
        if not is_range:
            return cls(query, at, at)
        step = rng.choice(_STEPS_S)
        return cls(query, at, at + step * rng.randrange(_MOST_STEPS) + rng.randrange(step), step)

    def ask(self, server: Asker, query: Node | None = None) -> "Reply":
        text = (query or self.query).text
        if self.step_s:
            form = {"query": text, "start": self.start_s, "end": self.end_s, "step": self.step_s}
            return Reply.of(*server.post("/api/v1/query_range", form))
        return Reply.of(*server.post("/api/v1/query", {"query": text, "time": self.start_s}))

    def __str__(self) -> str:
        when = f"from {self.start_s} to {self.end_s} step {self.step_s}" if self.step_s else f"at {self.start_s}"
        return f"{when}: {self.query.text}"


@dataclass(frozen=True)
class Reply:
    """`error` is its class and text, if it is one."""

    status: int
    kind: str
    rows: Mapping[Labels, list[tuple[float, float]]]
    order: list[Labels]
    error: tuple[str, str] | None = None

    @classmethod
    def of(cls, status: int, body: bytes) -> "Reply":
        answer = json.loads(body)
        if status != 200:
            return cls(status, "", {}, [], (answer["errorType"], answer["error"]))
        data = answer["data"]
        rows = [(_labels(row), _points(row)) for row in _rows(data)]
        assert len(dict(rows)) == len(rows), f"a label set is there twice: {body[:500]!r}"
        return cls(status, data["resultType"], dict(rows), [labels for labels, _ in rows])


def _rows(data: Any) -> list[Any]:
    if data["resultType"] == "string":
        return [{"metric": {"": data["result"][1]}, "values": []}]
    if data["resultType"] == "scalar":
        return [{"metric": {}, "value": data["result"]}]
    rows: list[Any] = data["result"]
    return rows


def _labels(row: Any) -> Labels:
    return tuple(sorted(row["metric"].items()))


def _points(row: Any) -> list[tuple[float, float]]:
    return [(time, float(value)) for time, value in (row["values"] if "values" in row else [row["value"]])]


def literally(text: str) -> Node:
    """A query of which nothing is known."""
    form = text.replace("{}", "{ }")  # a pair of braces stands for a child
    return Node("vector", form, lambda: Traits(exact=False))


def difference(traits: Traits, ours: Reply, theirs: Reply) -> str | None:
    """In what two answers differ that should be alike by `traits`; None if they are. Texts of errors may differ."""
    if (ours.status, (ours.error or ("",))[0]) != (theirs.status, (theirs.error or ("",))[0]):
        return f"{ours.status} {ours.error} instead of {theirs.status} {theirs.error}"
    if ours.kind != theirs.kind:
        return f"a {ours.kind} instead of a {theirs.kind}"
    if ours.rows.keys() != theirs.rows.keys():
        missing, extra = theirs.rows.keys() - ours.rows.keys(), ours.rows.keys() - theirs.rows.keys()
        return f"{len(missing)} rows missing {sorted(missing)[:2]}, {len(extra)} too many {sorted(extra)[:2]}"
    for labels, points in ours.rows.items():
        others = theirs.rows[labels]
        if [time for time, _ in points] != [time for time, _ in others]:
            return f"{labels} at {[t for t, _ in points]} instead of {[t for t, _ in others]}"
        for (time, value), (_, other) in zip(points, others, strict=True):
            if not traits.agree(value, other):
                return f"{labels} at {time}: {value!r} instead of {other!r}"
    return None
