"""Counters of a run. They only grow, and may be read at any time."""

import math
from collections import Counter
from dataclasses import dataclass, field

from headrace.load.latency import Latencies

EXAMPLES = 5


@dataclass(slots=True)
class Errors:
    """Counted by kind, with the first thing that each of them said."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, detail: str) -> None:
        self.counts[kind] += 1
        self.first.setdefault(kind, detail)

    @property
    def total(self) -> int:
        return self.counts.total()

    def summary(self) -> dict[str, dict[str, object]]:
        return {kind: {"count": count, "first": self.first[kind]} for kind, count in self.counts.most_common()}


@dataclass(slots=True)
class Outage:
    """A time without an answer that counts, from the first question that failed to the first that did not."""

    began_s: float
    reason: str
    ended_s: float | None = None

    def length_s(self, now_s: float) -> float:
        return (self.ended_s if self.ended_s is not None else now_s) - self.began_s


class Outages:
    def __init__(self) -> None:
        self.past: list[Outage] = []
        self.current: Outage | None = None
        self._answered_s = -math.inf  # when the last question was asked of those that were answered

    def failed(self, asked_s: float, reason: str) -> None:
        """The question was asked then; if one that was asked later has been answered, there was an answer to be had."""
        if self.current is None and asked_s > self._answered_s:
            self.current = Outage(asked_s, reason)

    def answered(self, asked_s: float) -> None:
        """The question was asked then; one that was asked before the outage began says nothing about its end."""
        self._answered_s = max(self._answered_s, asked_s)
        if self.current is not None and asked_s >= self.current.began_s:
            self.current.ended_s = asked_s
            self.past.append(self.current)
            self.current = None

    @property
    def all(self) -> list[Outage]:
        return self.past if self.current is None else [*self.past, self.current]

    def longest_s(self, now_s: float) -> float:
        return max((outage.length_s(now_s) for outage in self.all), default=0.0)

    def longest(self, now_s: float, count: int) -> list[Outage]:
        """The longest first."""
        return sorted(self.all, key=lambda outage: -outage.length_s(now_s))[:count]

    def summary(self, now_s: float) -> dict[str, object]:
        lengths = [outage.length_s(now_s) for outage in self.all]
        return {
            "count": len(lengths),
            "longest_s": round(max(lengths, default=0.0), 3),
            "total_s": round(sum(lengths), 3),
            "reasons": sorted({outage.reason for outage in self.all})[:EXAMPLES],
        }


@dataclass(slots=True)
class Writes:
    """What the senders did. A request is one body, however often it had to be sent."""

    samples: int = 0
    """Acknowledged, each once, without stale markers."""
    requests: int = 0
    """Acknowledged."""
    repeats: int = 0
    """Acknowledged bodies that were there already: sent again on purpose, as they were or altered."""
    bytes_sent: int = 0
    retries: int = 0
    refused: int = 0
    """Answered with a status that forbids to try again."""
    given_up: int = 0
    """Not acknowledged when the time to drain was over."""
    failures: Errors = field(default_factory=Errors)
    """Attempts that were not acknowledged."""
    since_due: Latencies = field(default_factory=Latencies)
    """From when a body was due until it was acknowledged."""
    service: Latencies = field(default_factory=Latencies)
    """Of an acknowledged attempt alone."""
    unavailable: Outages = field(default_factory=Outages)

    @property
    def lost(self) -> int:
        """Bodies that were not stored for good."""
        return self.refused + self.given_up


@dataclass(slots=True)
class Checks:
    """What reading back found, in samples; `answers` in answers."""

    answers: int = 0
    right: int = 0
    unsure: int = 0
    missing: int = 0
    wrong: int = 0
    doubled: int = 0
    unexpected: int = 0
    warned: int = 0
    """Answers with warnings. What they miss is in `admitted` and not in `missing`."""
    admitted: int = 0
    unavailable: int = 0
    """Questions answered with 503 or not at all: allowed, but counted, with how long it lasted in `outages`."""
    outages: Outages = field(default_factory=Outages)
    errors: Errors = field(default_factory=Errors)
    """Answers that were neither a result nor a 503."""
    examples: list[str] = field(default_factory=list)
    times: Latencies = field(default_factory=Latencies)

    @property
    def failed(self) -> int:
        """Samples that are not as they must be."""
        return self.missing + self.wrong + self.doubled + self.unexpected

    def summary(self, now_s: float) -> dict[str, object]:
        return {
            "answers": self.answers,
            "samples_right": self.right,
            "samples_unsure": self.unsure,
            "samples_missing": self.missing,
            "samples_wrong": self.wrong,
            "samples_doubled": self.doubled,
            "samples_unexpected": self.unexpected,
            "answers_with_warnings": self.warned,
            "samples_missing_with_warning": self.admitted,
            "unavailable": self.unavailable,
            "outages": self.outages.summary(now_s),
            "errors": self.errors.summary(),
            "latency": self.times.summary(),
            "examples": self.examples,
        }
