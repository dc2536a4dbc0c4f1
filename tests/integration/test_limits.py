"""Every limit of an instance, set while the server runs: it holds within seconds, and a refusal says its name, its
value and what was seen.
"""

import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from shared.model.instance import Limits
from tests.support.cluster import CHANGE_S, Cluster, within_change
from tests.support.processes import Answer, Api, fetch
from tests.support.remote_write import body
from tests.support.served import Standalone

SLOW = "sum_over_time(vector(1)[5000s:1s])"


class Guest(Api):
    """An instance of its own."""

    def __init__(self, host: Api, **limits: float) -> None:
        self.base = host.base
        self.app_id = f"limits-{secrets.token_hex(6)}"
        if isinstance(host, Cluster):  # known to all processes
            self.token = host.create(self.app_id, **limits).token
            return
        answer = host.administer("POST", "/instances", {"app_id": self.app_id, "limits": limits})
        assert answer.status == 200, answer.body
        self.token = answer.json()["data"]["token"]

    def set_limits(self, **limits: float | None) -> None:
        answer = self.administer("PATCH", f"/instances/{self.app_id}/limits", limits)
        assert answer.status == 200, answer.body

    def send(self, metric: str, count: int = 5, *, at_s: float = 0, **labels: str) -> Answer:
        """Series of one metric, each with a sample `at_s` seconds from now."""
        at_ms = int((time.time() + at_s) * 1000)
        series = [({"__name__": metric, "n": str(n), **labels}, [(at_ms, 1.0)]) for n in range(count)]
        return self.write(body(series))

    def send_new(self, metric: str) -> Answer:
        """Series that nobody has sent before: what is active is never refused."""
        return self.send(metric, tag=secrets.token_hex(6))

    def told_of(self, reason: str) -> str:
        """The ledger's example, which any distributor shows a second later."""
        end = time.monotonic() + CHANGE_S
        while True:
            told = self.get("/api/v1/status/rejections").json()["data"]
            examples = [entry["example"] for entry in told if entry["reason"] == reason]
            if examples:
                return str(examples[0])
            assert time.monotonic() < end, told
            time.sleep(0.05)

    def asks(self, expression: str, **parameters: str | float) -> Answer:
        return self.get("/api/v1/query", query=expression, **parameters)

    def asks_range(self, expression: str, steps: int) -> Answer:
        return self.get("/api/v1/query_range", query=expression, start=0, end=steps, step=1)


@pytest.fixture(scope="module", params=["standalone", "cluster"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    if request.param == "cluster":
        yield request.getfixturevalue("cluster")
        return
    process = Standalone(tmp_path_factory.mktemp("limits"))
    try:
        process.start()
        process.wait_ready()
        yield process
    finally:
        process.kill()


@dataclass(frozen=True)
class Case:
    limit: str
    value: float
    ask: Callable[[Guest], Answer]
    """What passes before the limit is set, and is refused afterwards."""
    status: int
    says: str
    """A pattern with the limit, its value and the value seen."""


CASES = [
    Case("max_series", 3, lambda g: g.send_new("m"), 400, r"max_series is 3, and \d+ series are active"),
    Case(
        "max_series_per_metric",
        3,
        lambda g: g.send_new("m"),
        400,
        r"max_series_per_metric is 3, and \d+ series of m are active",
    ),
    Case(
        "max_samples_per_second",
        1,
        lambda g: g.send("m"),
        429,
        r"5 samples are \d+ more .* max_samples_per_second is 1, with max_burst_samples 4",
    ),
    Case("max_body_bytes", 40, lambda g: g.send("m"), 413, r"exceeds the 40 bytes limit max_body_bytes: it has \d+"),
    Case(
        "max_decoded_bytes",
        40,
        lambda g: g.send("m"),
        413,
        r"declares \d+ bytes decompressed, the limit max_decoded_bytes is 40",
    ),
    Case("max_labels", 2, lambda g: g.send("m", a="b"), 400, r"3 labels are more than the limit max_labels of 2"),
    Case(
        "max_name_bytes",
        8,
        lambda g: g.send("m", nine_long="b"),
        400,
        r"label name of 9 bytes is over the limit max_name_bytes of 8",
    ),
    Case(
        "max_value_bytes",
        3,
        lambda g: g.send("m", a="four"),
        400,
        r"label ..a.. has 4 bytes, the limit max_value_bytes is 3",
    ),
    Case("max_age_s", 60, lambda g: g.send("m", at_s=-99), 400, r"is 99\.?\d* s old, the limit max_age_s is 60"),
    Case("max_future_s", 60, lambda g: g.send("m", at_s=99), 400, r"is 9[89]\.?\d* s ahead .* max_future_s is 60"),
    Case(
        "max_query_samples", 3, lambda g: g.asks("m"), 422, r"more than 3 at a time, .* max_query_samples: [45] or more"
    ),
    Case("max_query_series", 3, lambda g: g.asks("m"), 422, r"more than 3 series, .* max_query_series: [45] or more"),
    Case("max_query_bytes", 99, lambda g: g.asks("m"), 422, r"more than 99 bytes .* max_query_bytes: \d{3,} or more"),
    Case(
        "max_query_points",
        9,
        lambda g: g.asks_range("1", 11),
        400,
        r"resolution of 9 points .* max_query_points: the query has 11",
    ),
    Case(
        "max_query_seconds",
        1e-6,
        lambda g: g.asks(SLOW),
        503,
        r"it may take 1e-06 s, .* max_query_seconds, which is 1e-06",
    ),
]
NO_REFUSALS = {"retention_s", "max_concurrent_queries", "max_burst_samples"}
"""The first removes, the second makes wait (`tests/unit/http/test_places.py`), the third is told with its rate."""


def test_no_limit_is_forgotten() -> None:
    assert {case.limit for case in CASES} | NO_REFUSALS == set(Limits.names())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.limit)
def test_a_limit_that_is_set_holds_and_says_so(host: Api, case: Case) -> None:
    guest = Guest(host)
    assert guest.send("m").status == 204
    guest.query("m")  # they are in the heads
    within_change(lambda: case.ask(guest), 200 if case.status in {422, 503} or "query" in case.limit else 204)
    limits = {case.limit: case.value}
    if case.limit == "max_samples_per_second":
        limits["max_burst_samples"] = 4
    guest.set_limits(**limits)
    refused = within_change(lambda: case.ask(guest), case.status)
    assert re.search(case.says, refused.body.decode(), re.DOTALL), refused.body
    guest.set_limits(**{name: getattr(Limits(), name) for name in limits})
    within_change(lambda: case.ask(guest), 200 if "query" in case.limit else 204)


def test_a_metric_that_is_full_leaves_room_for_others(host: Api) -> None:
    guest = Guest(host, max_series_per_metric=4)
    refused = guest.send("full", 6)
    assert refused.status == 400
    assert b"metric_series_limit" in refused.body
    active = {row["metric"]["n"] for row in guest.query("full")}
    assert len(active) == 4
    assert guest.send("other", 4).status == 204
    assert len(guest.query("other")) == 4
    at_ms = int(time.time() * 1000)
    more = [({"__name__": name, "n": str(n)}, [(at_ms, 2.0)]) for name in ("full", "third") for n in range(6)]
    refused = guest.write(body(more))
    assert refused.status == 400
    assert b"refused 4, stored 8 samples; 4 metric_series_limit" in refused.body, refused.body
    assert {row["metric"]["n"] for row in guest.query("full == 2")} == active
    assert len(guest.query("third")) == 4
    assert "max_series_per_metric is 4" in guest.told_of("metric_series_limit")
    pushed = fetch(f"{guest.base}/metrics/job/x", method="PUT", data=b'full{n="9"} 1\n', headers=guest.bearer)
    assert pushed.status == 400
    assert b"max_series_per_metric is 4" in pushed.body
