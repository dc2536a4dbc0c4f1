"""The series limit of a cluster, with ingesters that are a dictionary."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from distributor.series_guard import SHARE, OwnersGuard
from shared.errors import UnavailableError
from shared.model.counts import Counted
from shared.model.instance import Instance, Limits
from shared.native import KnownSeries, SplitBatch, Splitter, WriteLimits
from shared.telemetry.catalogue import Catalogue
from tests.support.remote_write import body

UID = bytes(range(16))
SPLITTER = Splitter(secret=b"s" * 16, partitions=4)


@dataclass
class Owners:
    """`distributor.series_guard.SeriesOwners`."""

    held: dict[int, set[bytes]] = field(default_factory=dict)
    others: int = 0  # series that are counted, but that nobody here sends
    by_metric: dict[str, int] = field(default_factory=dict)
    away: bool = False
    deaf: set[int] = field(default_factory=set)  # partitions that nobody answers for
    asked: list[str] = field(default_factory=list)
    counted: asyncio.Event = field(default_factory=asyncio.Event)

    async def active_series(self, uids: Sequence[bytes]) -> Mapping[bytes, Counted]:
        self.asked.append("count")
        self.counted.set()
        if self.away:
            raise UnavailableError("no ingester answers")
        counted = Counted(self.others + sum(map(len, self.held.values())), max(self.by_metric.values(), default=0))
        return dict.fromkeys(uids, counted)

    async def metric_series(self, uid: bytes, metrics: Sequence[str]) -> Mapping[str, int]:
        self.asked.append(f"metrics {' '.join(sorted(metrics))}")
        assert uid == UID
        return {metric: self.by_metric.get(metric, 0) for metric in metrics}

    async def known_series(self, uid: bytes, keys: Mapping[int, bytes]) -> Mapping[int, bytes]:
        self.asked.append("keys")
        assert uid == UID
        if self.away:
            raise UnavailableError("no ingester answers")
        return {
            number: bytes(key in self.held.get(number, ()) for key in split_keys(of))
            for number, of in keys.items()
            if number not in self.deaf
        }

    def apply(self, batch: SplitBatch) -> None:
        for number, keys in KnownSeries(1 << 20).unknown(batch).items():
            self.held.setdefault(number, set()).update(split_keys(keys))


def split_keys(keys: bytes) -> list[bytes]:
    return [keys[at : at + 16] for at in range(0, len(keys), 16)]


def instance(max_series: int, max_series_per_metric: int = 1_000_000) -> Instance:
    limits = Limits(max_series=max_series, max_series_per_metric=max_series_per_metric)
    return Instance("app", UID, b"", b"", shards=4, limits=limits)


def batch(first: int, count: int, metric: str = "m") -> SplitBatch:
    series = [({"__name__": metric, "n": str(number)}, [(1_000, 1.0)]) for number in range(first, first + count)]
    limits = WriteLimits(max_future_ms=None)
    return SPLITTER.split(body(series), uid=UID, shards=4, limits=limits, now_ms=0)


def numbers(refused: SplitBatch) -> list[tuple[str, int]]:
    return [(reason, samples) for reason, samples, _ in refused.refused]


async def test_far_from_the_limit_nobody_is_asked_for_each_write() -> None:
    owners = Owners()
    guard = OwnersGuard(owners, Catalogue())
    sent = batch(0, 100)
    for _ in range(50):
        assert await guard.admit(instance(100_000), sent) is sent
    assert owners.asked == ["count"]


async def test_over_the_limit_new_series_are_refused_and_active_ones_are_not() -> None:
    owners = Owners()
    guard = OwnersGuard(owners, Catalogue())
    first = await guard.admit(instance(50), batch(0, 40))
    assert first.series == 40
    owners.apply(first)
    second = await guard.admit(instance(50), batch(20, 40))  # 20 are active, 20 new, and there is room for 10
    assert second.series == 30
    assert numbers(second) == [("series_limit", 10)]
    assert "the limit max_series is 50, and 50 series are active" in second.refused[0][2]
    owners.apply(second)
    third = await guard.admit(instance(50), batch(0, 60))
    assert (third.series, numbers(third)) == (50, [("series_limit", 10)])


async def test_what_is_known_to_be_active_is_not_asked_for_again() -> None:
    owners = Owners()
    guard = OwnersGuard(owners, Catalogue())
    owners.apply(batch(0, 100))
    assert (await guard.admit(instance(100), batch(0, 100))).series == 100
    asked = len(owners.asked)
    for _ in range(5):
        assert (await guard.admit(instance(100), batch(0, 100))).series == 100
    assert len(owners.asked) == asked


async def test_series_on_their_way_are_not_refused_when_they_come_again() -> None:
    owners = Owners()
    guard = OwnersGuard(owners, Catalogue())
    assert (await guard.admit(instance(10), batch(0, 10))).series == 10
    owners.others = 10  # counted meanwhile, but not to be found yet
    assert (await guard.admit(instance(10), batch(0, 10))).series == 10


async def test_several_distributors_share_what_room_there_is() -> None:
    owners = Owners()
    guards = [OwnersGuard(owners, Catalogue()) for _ in range(SHARE)]
    passed = 0
    for number, guard in enumerate(guards):
        for part in range(10):
            passed += (await guard.admit(instance(1000), batch(number * 10_000 + part * 50, 50))).series
            if "keys" in owners.asked:
                break
        owners.asked.clear()
    assert passed <= 1000 + SHARE * 50


async def test_where_nobody_can_be_asked_all_pass_and_are_counted() -> None:
    owners, metrics = Owners(away=True), Catalogue()
    guard = OwnersGuard(owners, metrics)
    assert (await guard.admit(instance(10), batch(0, 40))).series == 40
    assert [value for *_, value in metrics.series_unchecked.points()] == [40]
    owners.away, owners.deaf = False, {0, 1, 2, 3}
    assert (await guard.admit(instance(10), batch(0, 40))).series == 40


async def test_an_answer_that_does_not_come_holds_no_write_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distributor.series_guard.ASK_S", 0.01)

    class Silent(Owners):
        async def active_series(self, uids: Sequence[bytes]) -> Mapping[bytes, Counted]:
            await asyncio.Event().wait()
            return dict.fromkeys(uids, Counted())

    assert (await OwnersGuard(Silent(), Catalogue()).admit(instance(10), batch(0, 40))).series == 40


async def test_a_count_follows_what_others_have_written(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = Owners()
    guard = OwnersGuard(owners, Catalogue())
    await guard.admit(instance(1000), batch(0, 10))
    owners.others = 1000
    assert (await guard.admit(instance(1000), batch(0, 20))).series == 20  # not known here yet
    await guard.count()
    assert (await guard.admit(instance(1000), batch(100, 20))).series == 0
    owners.asked.clear()
    await guard.count()
    await guard.count()
    assert owners.asked == ["count"]  # nobody has written since
    monkeypatch.setattr("distributor.series_guard.POLL_S", 0.001)
    polling = asyncio.create_task(guard.poll())
    await guard.admit(instance(1000), batch(200, 1))
    owners.counted.clear()
    await owners.counted.wait()
    polling.cancel()


async def test_a_limit_that_is_raised_holds_at_once() -> None:
    owners = Owners(others=10)
    guard = OwnersGuard(owners, Catalogue())
    low = instance(10)
    assert (await guard.admit(low, batch(0, 5))).series == 0
    high = replace(low, limits=Limits(max_series=100))
    assert (await guard.admit(high, batch(0, 5))).series == 5


async def test_a_metric_that_is_full_costs_no_other_metric() -> None:
    owners = Owners(by_metric={"m": 48, "n": 3})
    guard = OwnersGuard(owners, Catalogue())
    small = instance(100_000, max_series_per_metric=50)
    first = await guard.admit(small, batch(0, 10))
    assert (first.series, numbers(first)) == (2, [("metric_series_limit", 8)])
    assert "the limit max_series_per_metric is 50, and 50 series of m are active" in first.refused[0][2]
    owners.apply(first)
    owners.by_metric["m"] = 50
    assert (await guard.admit(small, batch(0, 10, "n"))).series == 10
    assert owners.asked[-1] == "metrics n"
    again = await guard.admit(small, batch(0, 10))  # the two that are active stay
    assert (again.series, numbers(again)) == (2, [("metric_series_limit", 8)])
    raised = await guard.admit(instance(100_000, max_series_per_metric=60), batch(0, 10))
    assert raised.series == 10


async def test_metrics_are_counted_only_near_their_limit() -> None:
    owners = Owners(others=99, by_metric={"m": 10})
    guard = OwnersGuard(owners, Catalogue())
    assert (await guard.admit(instance(100), batch(0, 10))).series == 1
    assert not [asked for asked in owners.asked if asked.startswith("metrics")]
