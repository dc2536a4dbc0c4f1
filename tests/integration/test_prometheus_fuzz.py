"""Thousands of random queries over random data: Debian's Prometheus and a standalone server answer alike.

The same data is written to both. Debian's is Prometheus 2.42; what 3.x does differently on purpose is kept out of the
data and the queries (`tests/support/queries`) or named in `tests/support/known_changes.py`.

A change is judged by the same queries as the one before it; `HEADRACE_FUZZ_SEED=random` draws others, a number repeats
a run, and `HEADRACE_FUZZ_QUERIES` makes one longer. A difference is shown with the smallest query that was found to
show it.
"""

import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support.differential import Question, Reply, difference, literally
from tests.support.keepalive import Asker
from tests.support.known_changes import known_change
from tests.support.processes import Headrace, Process, fetch, free_port
from tests.support.queries import Data, Grammar, Node, Traits, shrunk
from tests.support.queries.broken import damaged, mistyped
from tests.support.remote_write import body
from tests.support.tools import tool

_WANTED = os.environ.get("HEADRACE_FUZZ_SEED", "3014")
SEED = random.SystemRandom().randint(1, 1 << 30) if _WANTED == "random" else int(_WANTED)
QUERIES = int(os.environ.get("HEADRACE_FUZZ_QUERIES", "3000"))
_THREADS = 4
_SHOWN = 5


@dataclass(frozen=True)
class Outcome:
    """`difference` is None if the two agree, or if it is known why they do not."""

    difference: str | None
    ours: Reply
    theirs: Reply


@dataclass
class Rivals:
    ours: Asker
    theirs: Asker
    data: Data

    def compare(self, question: Question, query: Node) -> Outcome:
        ours, theirs = question.ask(self.ours, query), question.ask(self.theirs, query)
        found = difference(query.traits, ours, theirs)
        if found is not None and known_change(question, query, ours, theirs):
            found = None
        return Outcome(found, ours, theirs)


@pytest.fixture(scope="module")
def rivals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rivals]:
    print(f"\nseed: HEADRACE_FUZZ_SEED={SEED}")
    rng = random.Random(SEED)
    # Between 2001 and 2033, so that a day of the year, a leap year and a multiple of any step come by.
    data = Data.random(rng, rng.randrange(1_000_000_000, 2_000_000_000) * 1000)
    folder = tmp_path_factory.mktemp("fuzz")
    headrace = Headrace(folder / "headrace", env={"HEADRACE_LIMITS__MAX_FUTURE_S": "none"})
    prometheus, base = prometheus_that_is_written_to(folder / "prometheus")
    try:
        headrace.start()
        prometheus.start()
        headrace.wait_ready()
        prometheus.wait_until(base + "/-/ready")
        _write(headrace, base, data)
        with Asker(headrace.base, headrace.bearer) as ours, Asker(base) as theirs:
            yield Rivals(ours, theirs, data)
    finally:
        headrace.kill()
        prometheus.kill()


def prometheus_that_is_written_to(folder: Path) -> tuple[Process, str]:
    """Not started yet; and its address."""
    folder.mkdir()
    (folder / "prometheus.yml").write_text("global: {evaluation_interval: 1m}\n")
    port = free_port()
    arguments = [
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
    ]
    return Process([tool("prometheus"), *arguments], folder), f"http://127.0.0.1:{port}"


def _write(headrace: Headrace, prometheus: str, data: Data) -> None:
    """In three parts; ours brings the first into the store before the next comes, so that answers are merged."""
    third = (data.end_ms - data.start_ms) // 3
    headers = {
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    }
    for part in range(3):
        first = data.start_ms + part * third if part else 0
        last = data.start_ms + (part + 1) * third if part < 2 else 1 << 62
        rows = [(labels, [(time, value) for time, value in points if first <= time < last])
                for labels, points in data.every()]  # fmt: skip
        written = body([(dict(sorted(labels.items())), points) for labels, points in rows if points])
        answer = headrace.write(written)
        assert answer.status == 204, answer.body
        answer = fetch(prometheus + "/api/v1/write", data=written, headers=headers)
        assert answer.status == 204, answer.body
        if part == 0:
            headrace.flush()


def test_every_series_is_the_same(rivals: Rivals) -> None:
    """Else no query has a chance."""
    end = rivals.data.end_ms / 1000
    everything = Node("matrix", '{__name__=~".+"}[2h]', Traits)
    question = Question(everything, end, end)
    assert difference(everything.traits, question.ask(rivals.ours), question.ask(rivals.theirs)) is None


def test_no_random_query_shows_a_difference(rivals: Rivals) -> None:
    questions = [Question.random(random.Random(f"{SEED}:{number}"), rivals.data.start_ms) for number in range(QUERIES)]
    with ThreadPoolExecutor(_THREADS) as threads:
        outcomes = list(threads.map(lambda question: rivals.compare(question, question.query), questions))
    found = [question for question, outcome in zip(questions, outcomes, strict=True) if outcome.difference]
    assert not found, f"HEADRACE_FUZZ_SEED={SEED}: {len(found)} differ\n" + "\n".join(
        _described(rivals, question) for question in found[:_SHOWN]
    )
    answered = sum(outcome.theirs.status == 200 for outcome in outcomes)
    shown = sum(bool(outcome.theirs.rows) for outcome in outcomes)
    to_the_bit = sum(
        bool(outcome.theirs.rows) and q.query.traits.exact for q, outcome in zip(questions, outcomes, strict=True)
    )
    print(f"of {QUERIES} queries {answered} were answered, {shown} with rows, {to_the_bit} of them the same to the bit")
    assert to_the_bit > QUERIES / 3, "the queries have become such that they compare little"


def test_what_prometheus_refuses_is_refused_alike(rivals: Rivals) -> None:
    """With 400 or 422, never with another error; damaged and mistyped queries, some of which are good after all."""
    questions = [
        _wrong(random.Random(f"{SEED}:{number}:wrong"), rivals.data.start_ms) for number in range(QUERIES // 2)
    ]
    with ThreadPoolExecutor(_THREADS) as threads:
        pairs = list(threads.map(lambda question: (question.ask(rivals.ours), question.ask(rivals.theirs)), questions))
    refused = sum(theirs.status == 400 for _, theirs in pairs)
    print(f"of {len(questions)} wrong queries {refused} are refused with 400")
    assert refused > len(questions) / 4
    found = [
        f"{question}\n  ours: {ours}\n  theirs: {theirs}"
        for question, (ours, theirs) in zip(questions, pairs, strict=True)
        if not is_alike(question, ours, theirs)
    ]
    assert not found, f"HEADRACE_FUZZ_SEED={SEED}: {len(found)} differ\n" + "\n".join(found[:_SHOWN])


def _wrong(rng: random.Random, start_ms: int) -> Question:
    question = Question.random(rng, start_ms)
    if rng.random() < 0.4:
        return replace(question, query=mistyped(rng, question.query))
    return replace(question, query=literally(damaged(rng, question.query.text)))


def is_alike(question: Question, ours: Reply, theirs: Reply) -> bool:
    """As far as refusals go. Of a damaged text nothing is known that could explain an error while it is evaluated."""
    if (ours.status, (ours.error or ("",))[0]) == (theirs.status, (theirs.error or ("",))[0]):
        return True
    is_damaged = not question.query.children
    if is_damaged and {ours.status, theirs.status} == {200, 422}:
        return True
    return known_change(question, question.query, ours, theirs) is not None


def _described(rivals: Rivals, question: Question) -> str:
    def differs(query: Node) -> bool:
        return rivals.compare(question, query).difference is not None

    smallest = shrunk(question.query, Grammar.leaves(), differs)
    outcome = rivals.compare(question, smallest)
    return (
        f"{replace(question, query=smallest)}\n  {outcome.difference}\n  ours: {outcome.ours}\n"
        f"  theirs: {outcome.theirs}\n  at first: {question}"
    )
