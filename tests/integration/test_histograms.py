"""Native histograms from the wire to the answer: over heads, blocks and both, and over a stop and a kill."""

import math
from typing import Any

import pytest

from tests.support.histograms import CUSTOM, Sent, body, stale
from tests.support.served import Served

START_MS = 1_700_000_000_000
STEP_MS = 15_000
STEPS = 240
END_S = (START_MS + (STEPS - 1) * STEP_MS) / 1000
LABELS = {"__name__": "latency", "job": "api"}

WEIGHTS = (1, 2, 3, 4, 5, 6)
"""Observations of the buckets with upper bounds 1, 2, 4 … 32 in each step."""


def latency(step: int) -> Sent:
    counts = {index: float(weight * step) for index, weight in enumerate(WEIGHTS)}
    return Sent(START_MS + step * STEP_MS, counts, total=100.0 * step)


def the_value(found: Any) -> float:
    (element,) = found
    return float(element["value"][1])


def check(server: Served) -> None:
    """The queries of the hour, against what follows from the definition of the functions."""
    at = {"time": END_S}
    assert the_value(server.query("histogram_count(latency)", **at)) == 21 * (STEPS - 1)
    assert the_value(server.query("histogram_sum(latency)", **at)) == 100 * (STEPS - 1)
    assert the_value(server.query("count_over_time(latency[1h])", **at)) == STEPS
    per_second = 1000 / STEP_MS
    assert the_value(server.query("histogram_count(rate(latency[5m]))", **at)) == pytest.approx(21 * per_second)
    # 18.9 of 21 lie below: 0.65 of the way through the bucket (16, 32], on a logarithmic scale.
    quantile = 16 * 2 ** ((0.9 * 21 - 15) / 6)
    expression = "histogram_quantile(0.9, rate(latency[5m]))"
    assert the_value(server.query(expression, **at)) == pytest.approx(quantile)
    grouped = 'histogram_quantile(0.9, sum by (job) (rate({__name__="latency"}[5m])))'
    assert the_value(server.query(grouped, **at)) == pytest.approx(quantile)
    assert the_value(server.query("count(latency)", **at)) == 1
    answer = server.get(
        "/api/v1/query_range", query=expression, start=START_MS / 1000 + 600, end=END_S, step=300
    ).json()["data"]
    ((values),) = (series["values"] for series in answer["result"])
    assert len(values) == 10
    assert all(float(value) == pytest.approx(quantile) for _, value in values)
    (element,) = server.query("latency", **at)
    count, total = str(21 * (STEPS - 1)), str(100 * (STEPS - 1))
    assert element["metric"] == LABELS
    assert (element["histogram"][1]["count"], element["histogram"][1]["sum"]) == (count, total)
    assert element["histogram"][1]["buckets"][-1] == [0, "16", "32", str(6 * (STEPS - 1))]
    (element,) = server.query("latency[1m]", **at)
    counts = [histogram["count"] for _, histogram in element["histograms"]]
    assert counts == [str(21 * step) for step in range(STEPS - 4, STEPS)]


def test_an_hour_of_histograms_is_answered_from_heads_and_blocks(server: Served) -> None:
    assert server.write(body(LABELS, [latency(step) for step in range(1, STEPS, 2)])).status == 204
    server.flush()
    # What comes between is late, and of the same windows; some of it again.
    for first in (0, 60):
        assert server.write(body(LABELS, [latency(step) for step in range(first, STEPS, 2)])).status == 204
    check(server)
    server.kill()
    server.start()
    server.wait_ready()
    check(server)
    assert server.stop() == 0
    server.start()
    server.wait_ready()
    check(server)
    (series,) = server.get("/api/v1/series", **{"match[]": "latency"}).json()["data"]
    assert series == LABELS


def test_floats_and_histograms_take_turns_in_a_series(server: Served) -> None:
    labels = {"__name__": "mixed"}
    times = [START_MS + step * STEP_MS for step in range(8)]
    gauge = [Sent(time, {3: 2.5}, total=1.0, is_float=True, is_gauge=True) for time in times[2:4]]
    listed = [Sent(time, {0: 1, 2: 4}, 3.0, CUSTOM, bounds=(0.5, 1.0)) for time in times[4:6]]
    # The float of a time that comes with a histogram of it counts, as if it were first in the log.
    floats = [(times[0], 1.0), (times[1], math.inf), (times[4], 7.0)]
    assert server.write(body(labels, [*gauge, *listed, stale(times[6])], floats)).status == 204
    assert server.write(body(labels, [Sent(times[0], {1: 1})])).status == 204

    def answers() -> list[Any]:
        found = []
        for time in times:
            element = server.query("mixed", time=time / 1000)
            found += [e.get("value", [0, None])[1] or e["histogram"][1]["count"] for e in element] or [None]
        return found

    expected = ["1", "+Inf", "2.5", "2.5", "7", "5", None, None]
    assert answers() == expected
    server.flush()
    assert answers() == expected
    (element,) = server.query("mixed[2m]", time=times[7] / 1000)
    assert [value for _, value in element["values"]] == ["1", "+Inf", "7"]
    assert [histogram["sum"] for _, histogram in element["histograms"]] == ["1", "1", "3"]
    assert element["histograms"][2][1]["buckets"] == [[3, "-Inf", "0.5", "1"], [0, "1", "+Inf", "4"]]


def test_a_bad_histogram_is_refused_with_its_rule_and_the_rest_is_kept(server: Served) -> None:
    wrong = Sent(START_MS, {0: 1.0}, schema=-7)
    answer = server.write(body({"__name__": "half"}, [wrong, latency(1)]))
    assert answer.status == 400
    assert b"1 invalid_histogram" in answer.body
    assert b"the schema must be between -4 and 8" in answer.body
    assert the_value(server.query("histogram_count(half)", time=START_MS / 1000 + 15)) == 21
