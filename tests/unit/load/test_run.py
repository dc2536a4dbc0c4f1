"""Whole runs against a fake server that loses, doubles, changes, refuses or stands still."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from headrace.load.asking import Question
from headrace.load.errors import LoadError
from headrace.load.run import Delivery, Load, Reading, Servers, Verified
from headrace.load.traffic import Pace, Tenant, Traffic
from tests.support.processes import free_port
from tests.unit.load.fake import FakeServer, Reply, Request

TRAFFIC = Traffic(series=20, batch=10, interval_s=1.0, histograms=0.0, churn=400.0)
START_MS = 1_700_000_000_000


def load_of(
    fake: FakeServer, *, tenants: list[Tenant] | None = None, traffic: Traffic = TRAFFIC, **options: Any
) -> Load:
    """Fast: everything is back-fill."""
    delivery = Delivery(**{"senders": 2, "speed": 200.0, "start_ms": START_MS, "drain_s": 0.2, **options})
    return Load(Servers.parse(fake.address), tenants or [Tenant()], traffic, delivery)


async def until(condition: Callable[[], bool], *, patience_s: float = 30) -> None:
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


async def written(load: Load, bodies: int = 20) -> None:
    running = asyncio.create_task(load.run())
    await until(lambda: load.writes.requests >= bodies)
    load.stop()
    await running


async def verified(load: Load, **options: Any) -> Verified:
    return await load.verify(patience_s=options.pop("patience_s", 0.0), **options)


async def test_what_a_good_server_was_sent_is_all_there(fake: FakeServer) -> None:
    load = load_of(fake)
    await written(load)
    result = await verified(load)
    assert result.passed
    assert result.checks.right == load.writes.samples == result.acknowledged >= 200
    assert result.checks.unsure == 0
    assert load.writes.lost == 0


async def test_equal_seeds_send_equal_bodies_and_instances_have_values_of_their_own(fake: FakeServer) -> None:
    sent = []
    for seed, app_id in ((1, "a"), (1, "a"), (2, "a"), (1, "b")):
        fake.requests.clear()
        traffic = Traffic(series=10, batch=10, interval_s=1.0, seed=seed, run="r")
        await written(load_of(fake, tenants=[Tenant(app_id, "secret")], traffic=traffic), 3)
        sent.append([request.body for request in fake.posted()[:3]])
    assert sent[0] == sent[1]
    assert sent[0] != sent[2]
    assert sent[0] != sent[3]


def lose(fake: FakeServer) -> None:
    samples = next(iter(fake.samples.values()))
    samples.pop(next(iter(samples)))


def change(fake: FakeServer) -> None:
    samples = next(iter(fake.samples.values()))
    samples[next(iter(samples))] += 1 / 64


def double(fake: FakeServer) -> None:
    labels, samples = next(iter(fake.samples.items()))
    fake.samples[labels | {("replica", "b")}] = dict(samples)


def shift(fake: FakeServer) -> None:
    samples = next(iter(fake.samples.values()))
    at = next(iter(samples))
    samples[at + 1] = samples.pop(at)


@pytest.mark.parametrize(
    ("harm", "missing", "wrong", "unexpected"),
    [(lose, 1, 0, 0), (change, 0, 1, 0), (double, 0, 0, None), (shift, 1, 0, 1)],
)
async def test_one_bad_sample_is_found(
    fake: FakeServer, harm: Callable[[FakeServer], None], missing: int, wrong: int, unexpected: int | None
) -> None:
    load = load_of(fake)
    await written(load)
    harm(fake)
    result = await verified(load)
    assert not result.passed
    assert (result.checks.missing, result.checks.wrong) == (missing, wrong)
    assert result.checks.unexpected == unexpected if unexpected is not None else result.checks.unexpected > 0
    assert result.checks.examples


async def test_a_sample_that_is_there_twice_is_found(fake: FakeServer) -> None:
    load = load_of(fake)
    await written(load)

    async def doubled(request: Request) -> Reply:
        text = fake.answer(request.path).decode()
        start = text.index('"values": [') + len('"values": [')
        first = text[start : text.index("]", start) + 1]
        return Reply(200, (text[:start] + first + ", " + text[start:]).encode())

    fake.queries = doubled
    result = await verified(load)
    assert result.checks.doubled > 0
    assert not result.passed


async def test_late_repeated_and_altered_bodies_change_nothing(fake: FakeServer) -> None:
    traffic = Traffic(series=20, batch=10, interval_s=1.0, late=0.2, twice=0.2, altered=0.2, jitter_ms=20)
    load = load_of(fake, traffic=traffic)
    await written(load, 100)
    assert load.writes.repeats > 0
    times = [samples for samples in fake.samples.values() if list(samples) != sorted(samples)]
    assert times, "nothing came late"
    assert (await verified(load)).passed


def first_answers(*replies: Reply) -> Callable[[Request], Awaitable[Reply | None]]:
    left = list(replies)

    async def answer(_request: Request) -> Reply | None:
        return left.pop(0) if left else None

    return answer


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(503, b"not ready"), "status 503"),
        (Reply(500), "status 500"),
        (Reply(429, headers={"Retry-After": "0"}), "status 429"),
        (Reply(raw=b"", close=True), "closed"),
    ],
)
async def test_what_may_succeed_later_is_sent_again(fake: FakeServer, reply: Reply, kind: str) -> None:
    fake.writes = first_answers(reply, reply)
    load = load_of(fake, senders=1)
    await written(load, 4)
    first, second, third, *others = fake.posted()
    assert first.body == second.body == third.body
    assert [request.headers.get("retry-attempt") for request in (first, second, third)] == [None, "1", "2"]
    assert all("retry-attempt" not in request.headers for request in others)
    assert load.writes.failures.counts == {kind: 2}
    assert (load.writes.retries, load.writes.lost) == (2, 0)
    assert load.writes.unavailable.longest_s(0) > 0
    assert (await verified(load)).passed


async def test_what_is_refused_for_good_is_counted_and_not_sent_again(fake: FakeServer) -> None:
    fake.writes = first_answers(Reply(400, b"too old"))
    load = load_of(fake, senders=1)
    await written(load, 4)
    assert len({request.body for request in fake.posted()}) == len(fake.posted())
    assert (load.writes.refused, load.writes.retries) == (1, 0)
    assert load.writes.failures.first == {"status 400": "too old"}
    result = await verified(load)
    assert result.passed  # nobody acknowledged what was refused
    assert result.acknowledged == load.writes.samples


async def test_an_unknown_outcome_may_be_there_or_not(fake: FakeServer) -> None:
    async def store_and_hang_up(request: Request) -> Reply:
        fake.store(request.body)
        return Reply(raw=b"", close=True)

    load = load_of(fake, senders=1, drain_s=0.0)
    running = asyncio.create_task(load.run())
    await until(lambda: load.writes.requests >= 4)
    fake.writes = store_and_hang_up
    await until(lambda: load.writes.failures.total >= 2)
    load.stop()
    await running
    assert load.writes.given_up == 1
    result = await verified(load)
    assert result.passed
    assert result.checks.unsure == 10
    assert result.checks.right == load.writes.samples


async def test_a_server_that_stands_still_shows_in_every_body_that_was_due(fake: FakeServer) -> None:
    stall_s, per_s = 0.6, 100
    moving = asyncio.Event()
    moving.set()

    async def stall(_request: Request) -> None:
        await moving.wait()

    fake.writes = stall
    traffic = Traffic(series=10, batch=10, interval_s=1.0)
    load = load_of(fake, senders=1, speed=float(per_s), traffic=traffic)
    running = asyncio.create_task(load.run())
    await until(lambda: load.writes.requests >= 20)
    moving.clear()
    await asyncio.sleep(stall_s)
    assert load.lag_s > stall_s / 2
    moving.set()
    await until(lambda: load.writes.requests >= 150)
    load.stop()
    await running
    # A closed loop would have one slow body. Here all that came due in the first half of the stall waited for the rest.
    slow = sum(count for bucket, count in load.writes.since_due._counts.items() if upper_s(bucket) > stall_s / 2)
    assert slow >= per_s * stall_s / 2 * 0.8
    assert load.writes.since_due.max_s >= stall_s * 0.9
    assert load.writes.service.percentile_s(50) < load.writes.since_due.percentile_s(99)


def upper_s(bucket: int) -> float:
    return (((bucket & 255) + 1) << (bucket >> 8)) / 1e6


async def test_checks_while_writing_see_what_was_acknowledged(fake: FakeServer) -> None:
    load = Load(
        Servers.parse(fake.address),
        [Tenant()],
        TRAFFIC,
        Delivery(senders=2, speed=200.0, start_ms=START_MS),
        Reading(checks_per_s=200.0, questions=[Question("one", "1"), Question("two", "2", 60, 15)], queries_per_s=100),
    )
    running = asyncio.create_task(load.run())
    await until(lambda: load.checks.right > 500 and load.asked.answers > 20)
    assert load.checks.failed == 0

    fake.queries = first_answers(*[Reply(503, b"partition 3 is replaying")] * 5)
    await until(lambda: load.checks.unavailable > 0 and load.checks.outages.current is None)
    assert load.checks.failed == load.checks.errors.total == 0
    [outage] = load.checks.outages.past
    assert outage.reason == "status 503: partition 3 is replaying"

    fake.warnings = ["zone b lags"]
    while not load.checks.admitted:
        for samples in fake.samples.values():
            samples.clear()
        await asyncio.sleep(0.01)
    assert load.checks.missing == 0  # it said so

    fake.warnings = []
    await until(lambda: load.checks.missing > 0)  # silently
    load.stop()
    await running
    assert set(load.asked.since_due) == {"one", "two", ""}
    assert load.asked.errors.total <= 5


async def test_an_answer_that_is_no_result_is_an_error(fake: FakeServer) -> None:
    load = load_of(fake)
    await written(load)
    for reply, kind in ((Reply(200, b"<html>"), "no result"), (Reply(422, b"too many samples"), "status 422")):
        fake.queries = first_answers(*[reply] * 100)
        result = await verified(load)
        assert not result.passed
        assert not result.complete
        assert list(result.checks.errors.counts) == [kind]


async def test_a_page_is_asked_for_again_while_there_is_patience(fake: FakeServer) -> None:
    load = load_of(fake)
    await written(load)
    fake.queries = first_answers(*[Reply(503)] * 2)
    result = await verified(load, patience_s=60.0)
    assert result.passed
    assert result.checks.unavailable == 2


async def test_credentials_are_sent_and_told_apart(fake: FakeServer) -> None:
    load = load_of(fake, tenants=[Tenant("shop", "token-of-shop"), Tenant(token="bare-token")])
    await written(load)
    seen = {request.headers.get("authorization") for request in fake.requests}
    assert seen == {"Basic c2hvcDp0b2tlbi1vZi1zaG9w", "Bearer bare-token"}
    assert "token-of-shop" not in repr(load.tenants)


async def test_preflight_says_what_to_change(fake: FakeServer) -> None:
    await load_of(fake).preflight()
    fake.writes = first_answers(Reply(401), Reply(404, b"no such path"))
    with pytest.raises(LoadError, match="--instances"):
        await load_of(fake).preflight()
    with pytest.raises(LoadError, match="no such path"):
        await load_of(fake).preflight()
    nobody = FakeServer(address=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(LoadError, match="no server takes writes"):
        await load_of(nobody).preflight()


def test_impossible_traffic_is_refused() -> None:
    for traffic in (Traffic(series=0), Traffic(interval_s=0), Traffic(jitter_ms=10_000), Traffic(churn=-1)):
        with pytest.raises(LoadError):
            Load(Servers.parse("http://h"), [Tenant()], traffic)


def test_data_is_never_sent_before_its_time() -> None:

    pace = Pace(start_ms=0, begun_ms=100_000, begun_s=50.0, speed=10.0)
    assert pace.due_s(50_000) == 55.0
    assert pace.due_s(200_000) == 150.0  # caught up: when it happens
    assert pace.data_ms(55.0) == 50_000
    assert pace.data_ms(150.0) == 200_000
