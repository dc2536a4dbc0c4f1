"""Latencies, ledgers, outages."""

import math
import random

from hypothesis import given
from hypothesis import strategies as st

from headrace.load.latency import Latencies
from headrace.load.ledger import ACKNOWLEDGED, PERHAPS, UNSENT, Ledger
from headrace.load.tally import Outages


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=300), st.floats(0.1, 100))
def test_percentiles_are_those_of_the_sorted_times_or_a_little_more(microseconds: list[int], percent: float) -> None:
    latencies = Latencies()
    for each in microseconds:
        latencies.record(each / 1e6)
    exact = sorted(microseconds)[math.ceil(len(microseconds) * percent / 100) - 1]
    found = latencies.percentile_s(percent) * 1e6
    assert exact - 0.5 <= found <= exact * (1 + 1 / 128) + 0.5
    assert latencies.count == len(microseconds)
    assert latencies.max_s == max(microseconds) / 1e6


def test_nothing_recorded_is_nothing() -> None:
    assert Latencies().percentile_s(99) == 0
    assert Latencies().mean_s == 0


def test_a_histogram_stays_small() -> None:
    latencies, dice = Latencies(), random.Random(1)
    for _ in range(50_000):
        latencies.record(dice.lognormvariate(-6, 2))
    assert len(latencies._counts) < 4000


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.booleans()), max_size=200), st.integers(0, 5000), st.integers(0, 100)
)
def test_a_ledger_tells_what_it_was_told(events: list[tuple[int, bool]], first: int, count: int) -> None:
    ledger, expected = Ledger(), {}
    for step in range(2500):  # a long beginning that is acknowledged, which is folded
        ledger.sent(step)
        ledger.acknowledged(step)
        expected[step] = ACKNOWLEDGED
    for step, acknowledged in events:
        if acknowledged:
            ledger.acknowledged(step)
            expected[step] = ACKNOWLEDGED
        else:
            ledger.sent(step)
            expected.setdefault(step, PERHAPS)
    states = bytes(expected.get(step, UNSENT) for step in range(first, first + count))
    assert ledger.states(first, count) == states
    assert [ledger.state(step) for step in range(first, first + count)] == list(states)
    assert ledger.steps == max(expected) + 1
    assert len(ledger._states) <= max(ledger.steps - 1024, 2048)


def test_an_outage_lasts_from_the_first_failure_to_the_first_answer() -> None:
    outages = Outages()
    outages.answered(1.0)
    outages.failed(2.0, "status 503")
    outages.failed(3.0, "closed")
    assert outages.longest_s(now_s=7.0) == 5.0
    outages.answered(1.5)  # was asked before it began
    assert outages.current is not None
    outages.answered(6.0)
    assert [(outage.length_s(9.0), outage.reason) for outage in outages.all] == [(4.0, "status 503")]
    outages.failed(8.0, "closed")
    assert outages.summary(now_s=8.5) == {
        "count": 2,
        "longest_s": 4.0,
        "total_s": 4.5,
        "reasons": ["closed", "status 503"],
    }
    assert [outage.began_s for outage in outages.longest(8.5, 1)] == [2.0]


def test_what_hangs_while_others_are_answered_is_no_outage() -> None:
    outages = Outages()
    outages.answered(30.0)
    outages.failed(2.0, "no answer in 30 s")  # one of two servers stands still
    assert outages.all == []
    outages.failed(31.0, "closed")
    outages.answered(33.0)
    assert [outage.length_s(40.0) for outage in outages.all] == [2.0]
