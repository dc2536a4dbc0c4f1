"""Aggregations that ingesters evaluate: the same to the last bit as the querier's own, whatever was cut meanwhile."""

import asyncio
import json
import math
import random
import struct
import threading
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from ingester.rpc import service
from querier.promql import DEFAULT_FEATURES, Features, evaluate, prepare
from querier.remote import arriving
from querier.storage import Consistency
from querier.tracing import Trace
from shared.native import (
    CanceledError,
    Files,
    Fold,
    FoldedPart,
    Grid,
    HeadPart,
    HeadSearch,
    IncomingPart,
    Query,
)
from shared.rpc import ingester_pb2 as pb
from shared.seams.ingester_client import Answers
from tests.support import remote_write_v2
from tests.support.world import HOUR_MS, World, series
from tests.support.zones import Zones, zones

WINDOW_MS = 2 * HOUR_MS
T = 1_700_000_000_000 // WINDOW_MS * WINDOW_MS
MINUTE_MS = 60_000
INSTANT: Grid = (T + 10 * MINUTE_MS, 1, 1)
RANGE: Grid = (T + 6 * MINUTE_MS, MINUTE_MS, 8)

OPS = ["sum", "avg", "count", "min", "max", "group"]
FUNCTIONS = ["rate", "increase", "delta", "irate", "sum_over_time", "avg_over_time", "max_over_time", "last_over_time"]


@dataclass
class Asked:
    """A cluster of one zone, and what its ingester has answered since the last look."""

    world: World
    zones: Zones
    parts: Counter[str] = field(default_factory=Counter)
    steps: Counter[int] = field(default_factory=Counter)
    """How many answers had partial results of so many steps beside series."""
    sent_bytes: int = 0

    async def ask(
        self,
        text: str,
        grid: Grid = RANGE,
        *,
        pushes_down: bool = True,
        query: Query | None = None,
        features: Features = DEFAULT_FEATURES,
    ) -> tuple[Any, list[str], list[str]]:
        """The result, warnings and infos."""
        plan = prepare(text, grid, features, is_range=grid[2] > 1)
        native = query or Query()
        reading = await self.world.storage.read(self.world.tenant, Consistency.STRONG, pushes_down=pushes_down)
        sets = [await reading.select(native, s.matchers, s.min_ms, s.max_ms, s.fold) for s in plan.selects]
        result = evaluate(plan, sets, native)
        self.samples_read = native.samples_read
        return json.loads(result.json), result.warnings, result.infos

    async def both(self, text: str, grid: Grid = RANGE) -> Any:
        """What is the same with and without ingesters that aggregate."""
        pushed = await self.ask(text, grid)
        read = self.samples_read
        assert await self.ask(text, grid, pushes_down=False) == pushed
        assert self.samples_read == read
        return pushed[0]


@pytest.fixture
async def asked(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Asked]:
    world = await World(Files.simulated(1)).start()
    async with zones(world) as opened:
        await opened.serve("a-0", world.ingester.holdings)
        world.storage = opened.storage(world)
        asked = Asked(world, opened)
        select = opened.client.select

        async def counted(*args: Any, **kwargs: Any) -> Answers[HeadPart | FoldedPart]:
            answers = await select(*args, **kwargs)
            asked.parts.update(type(answer.part).__name__ for answer in answers.given)
            asked.steps.update(answer.late.steps for answer in answers.given if answer.late is not None)
            return answers

        def announced(query: Query, size: int) -> IncomingPart:
            asked.sent_bytes += size
            return IncomingPart(query, size)

        monkeypatch.setattr(opened.client, "select", counted)
        monkeypatch.setattr(arriving, "IncomingPart", announced)
        yield asked
    await world.crash()


def counters(value_of: Any, jobs: int = 40, minutes: Sequence[int] = range(15)) -> list[Any]:
    return [
        series(
            "x",
            *((T + minute * MINUTE_MS + 7, value_of(job, minute)) for minute in minutes),
            job=f"j{job % 5}",
            pod=f"p{job}",
        )
        for job in range(jobs)
    ]


def simple(job: int, minute: int) -> float:
    return (job * 977 + minute * 131) / 64


def noisy(job: int, minute: int) -> float:
    return 1000 * math.sin(job * 977 + minute * 131)


def often(each_minute: list[Any]) -> list[Any]:
    """The same four times as fast."""
    return [(labels, [(T + (time - T) // 4, value) for time, value in samples]) for labels, samples in each_minute]


class TestWherePartitionsAreWhole:
    async def test_partial_results_come_instead_of_series(self, asked: Asked) -> None:
        await asked.world.write(counters(simple))
        expected = [
            {"metric": {"job": f"j{job}"}, "value": [INSTANT[0] / 1000, "0.27291666666666664"]} for job in range(5)
        ]
        for _, row in zip(expected, await asked.both("sum by (job) (rate(x[5m]))", INSTANT), strict=True):
            assert float(row["value"][1]) == pytest.approx(8 * 131 / 64 / 60)
        assert asked.parts == {"FoldedPart": 4, "HeadPart": 4}

    @pytest.mark.parametrize("grid", [INSTANT, RANGE])
    async def test_every_aggregation_of_every_function(self, asked: Asked, grid: Grid) -> None:
        await asked.world.write(counters(simple))
        for op in OPS:
            for function in FUNCTIONS:
                assert await asked.both(f"{op} by (job) ({function}(x[5m]))", grid)
            for operand in ("x", 'x{job!="j1"}', "x offset 2m", "x @ end()", '{job=~"j.+"}'):
                assert await asked.both(f"{op} without (pod) ({operand})", grid)
        assert asked.parts["FoldedPart"] == asked.parts["HeadPart"] > 0

    async def test_inside_other_expressions(self, asked: Asked) -> None:
        await asked.world.write(counters(simple))
        for text in (
            "max_over_time(sum(rate(x[2m]))[5m:1m])",
            'sum(rate(x{job="j1"}[5m])) / sum(rate(x{job!="j1"}[5m]))',
            "topk(2, sum by (job) (x))",
            "histogram_quantile(0.5, sum by (le) (rate(x[5m])))",
        ):
            await asked.both(text)
        assert asked.parts["FoldedPart"] == asked.parts["HeadPart"] > 0

    async def test_what_reads_series_gets_series(self, asked: Asked) -> None:
        await asked.world.write(counters(simple))
        for text in ("sum(x) / count(x)", "quantile(0.5, x)", "rate(x[5m])", "sum(quantile_over_time(0.5, x[5m]))"):
            await asked.both(text)
        assert "FoldedPart" not in asked.parts

    async def test_what_is_noted_is_noted(self, asked: Asked) -> None:
        await asked.world.write(counters(simple))
        _, _, infos = await asked.ask("sum(rate(x[5m]))")
        assert asked.parts == {"FoldedPart": 4}
        assert infos == (await asked.ask("sum(rate(x[5m]))", pushes_down=False))[2]
        assert "metric might not be a counter" in infos[0]

    @pytest.mark.parametrize("limits", [{"max_series": 39}, {"max_samples": 4}])
    async def test_limits_are_those_of_series(self, asked: Asked, limits: dict[str, int]) -> None:
        await asked.world.write(counters(simple))
        errors = []
        for pushes_down in (True, False):
            with pytest.raises(Exception, match=r"more than 39 series|too many samples") as caught:
                await asked.ask("sum(rate(x[5m]))", pushes_down=pushes_down, query=Query(**limits))
            errors.append(str(caught.value).partition(": ")[0])  # what follows is as far as it came
        assert errors[0] == errors[1]

    async def test_more_groups_than_samples_are_left_as_series(self, asked: Asked) -> None:
        await asked.world.write(counters(simple))
        await asked.both("sum by (pod) (rate(x[5m]))", (T + 6 * MINUTE_MS, 1000, 500))
        assert "FoldedPart" not in asked.parts

    async def test_an_aggregation_that_takes_longer_is_made_in_a_thread(
        self, asked: Asked, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await asked.world.write(counters(simple))
        quick = await asked.both("sum(rate(x[5m]))")
        monkeypatch.setattr(service, "DIRECT_SERIES", 0)
        assert await asked.both("sum(rate(x[5m]))") == quick


class TestWhereStepsNeedBlocks:
    async def test_series_come_from_partitions_that_have_let_go_and_results_from_others(self, asked: Asked) -> None:
        await asked.world.write(counters(simple, jobs=1))
        await asked.world.ingester.flush()
        await asked.world.write(counters(simple))
        await asked.both("sum by (job) (rate(x[5m]))")
        assert asked.parts == {"FoldedPart": 3, "HeadPart": 1 + 4}

    async def test_a_window_that_was_cut_is_no_hindrance_for_those_behind_it(self, asked: Asked) -> None:
        await asked.world.write(counters(simple))
        await asked.world.ingester.flush()
        later = [
            (labels, [(time + WINDOW_MS, value) for time, value in samples]) for labels, samples in counters(simple)
        ]
        await asked.world.write(later)
        assert await asked.both("sum(rate(x[5m]))", (INSTANT[0] + WINDOW_MS, 1, 1))
        assert asked.parts == {"FoldedPart": 4, "HeadPart": 4}
        assert await asked.both("sum(rate(x[2h]))", (INSTANT[0] + WINDOW_MS, 1, 1))
        assert asked.parts == {"FoldedPart": 4, "HeadPart": 12}

    async def test_an_ingester_that_does_not_say_where_it_is_complete_is_asked_for_series(
        self, asked: Asked, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One of the release before."""
        await asked.world.write(counters(simple))
        expected = await asked.ask("sum(rate(x[5m]))")
        select = asked.zones.client.select

        async def silent(*args: Any, **_: Any) -> Answers[HeadPart | FoldedPart]:
            answers = await select(*args[:6])
            return Answers([replace(answer, complete_from_ms=None) for answer in answers.given], {})

        monkeypatch.setattr(asked.zones.client, "select", silent)
        result = await asked.ask("sum(rate(x[5m]))")
        for mine, theirs in zip(result[0][0]["values"], expected[0][0]["values"], strict=True):
            assert float(mine[1]) == pytest.approx(float(theirs[1]))

    @pytest.mark.parametrize("seed", range(6))
    async def test_random_data_is_the_same_to_the_last_bit(self, asked: Asked, seed: int) -> None:
        """Of values that add exactly also the same as without any partition by itself."""
        chance = random.Random(seed)
        is_wild = seed % 2 == 1

        def value(_job: int, _minute: int) -> float:
            if is_wild:
                wild = struct.unpack("<d", chance.randbytes(8))[0]
                return chance.choice([wild, 1e100, -1e100, math.inf, chance.uniform(-1, 1), 1e-300])
            return chance.randrange(-6400, 6400) / 64

        pushed = 0
        for batch in range(6):
            jobs = chance.choice([1, 3, 60])
            first = chance.randrange(150)
            await asked.world.write(counters(value, jobs, range(first, first + 12)))
            if chance.random() < 0.3:
                await asked.world.ingester.flush()
            for _ in range(5):
                op, function = chance.choice(OPS), chance.choice(["", *FUNCTIONS])
                steps = chance.choice([1, 7])
                grid = (T + chance.randrange(first, first + 20) * MINUTE_MS, 45_000, steps)
                operand = f"{function}(x[{chance.choice([3, 30])}m])" if function else "x"
                text = f"{op} by (job) ({operand})"
                asked.parts.clear()
                result = await asked.both(text, grid)
                pushed += asked.parts["FoldedPart"]
                if not is_wild and function in ("", "sum_over_time", "max_over_time", "last_over_time") and op != "avg":
                    tenant = asked.world.tenant
                    asked.world.tenant = replace(tenant, has_grown=True)
                    together = await asked.ask(text, grid)
                    asked.world.tenant = tenant
                    assert sorted(map(str, together[0])) == sorted(map(str, result)), (batch, text)
        assert pushed > 0


HOUR = 60  # in minutes


class TestWhereSomeStepsNeedBlocks:
    """A window that was cut, and behind it one that was not."""

    GRID: Grid = (T + HOUR_MS, MINUTE_MS, 3 * HOUR)
    LATE = 2 * HOUR - 5  # the first late step is that at 2:05

    @pytest.fixture
    async def cut(self, asked: Asked) -> Asked:
        await asked.world.write(counters(noisy, 60, range(2 * HOUR)))
        await asked.world.ingester.flush()
        await asked.world.write(often(counters(noisy, 60, range(8 * HOUR, 16 * HOUR))))
        return asked

    async def test_the_others_are_folded_where_series_are_held(self, cut: Asked) -> None:
        for op in OPS:
            for function in FUNCTIONS:
                rows = await cut.both(f"{op} by (job) ({function}(x[5m]))", self.GRID)
                assert [len(row["values"]) for row in rows] == [3 * HOUR] * 5
            await cut.both(f"{op} without (pod) (x)", self.GRID)
        assert cut.steps == {self.LATE: 4 * len(OPS) * (len(FUNCTIONS) + 1)}
        assert "FoldedPart" not in cut.parts

    async def test_samples_that_only_they_need_do_not_travel(self, cut: Asked) -> None:
        sent = []
        for pushes_down in (True, False):
            cut.sent_bytes = 0
            await cut.ask("sum by (job) (rate(x[5m]))", self.GRID, pushes_down=pushes_down)
            sent.append(cut.sent_bytes)
        assert sent[0] < 0.5 * sent[1], sent

    async def test_it_is_what_all_series_together_come_to(self, cut: Asked) -> None:
        result = await cut.both("sum by (job) (max_over_time(x[5m]))", self.GRID)
        cut.world.tenant = replace(cut.world.tenant, has_grown=True)
        assert (await cut.ask("sum by (job) (max_over_time(x[5m]))", self.GRID))[0] == result

    async def test_it_can_be_explained(self, cut: Asked) -> None:
        plan = prepare("sum(rate(x[5m]))", self.GRID, is_range=True)
        [select] = plan.selects
        trace = Trace()
        reading = (await cut.world.storage.read(cut.world.tenant)).traced(trace)
        await reading.select(Query(), select.matchers, select.min_ms, select.max_ms, select.fold)
        heads = trace.shown()["sources"]["heads"]["partitions"]
        assert [(head["folded"], head["bytes"] > 0) for head in heads] == [(self.LATE, True)] * 4
        assert sum(head["series"] for head in heads) == 60

    @pytest.mark.parametrize(("limits", "is_enough"), [(59, False), (60, True)])
    async def test_a_series_counts_once(self, cut: Asked, limits: int, is_enough: bool) -> None:
        for pushes_down in (True, False):
            asking = cut.ask("sum(rate(x[5m]))", self.GRID, pushes_down=pushes_down, query=Query(max_series=limits))
            if is_enough:
                await asking
            else:
                with pytest.raises(Exception, match="more than 59 series"):
                    await asking

    @pytest.mark.parametrize("splits", [False, True])
    async def test_who_does_not_say_so_gets_series_of_all_steps(self, cut: Asked, splits: bool) -> None:
        """A querier of the release before."""
        start_ms, step_ms, steps = self.GRID
        fold = pb.Fold(
            op="sum", function="rate", start_ms=start_ms, step_ms=step_ms, steps=steps, range_ms=5 * MINUTE_MS
        )
        request = pb.SelectRequest(
            uid=cut.world.tenant.uid,
            partitions={0: 0},
            matchers=[pb.Matcher(name="__name__", op="=", value="x")],
            min_ms=start_ms - 5 * MINUTE_MS + 1,
            max_ms=T + 4 * HOUR_MS,
            limits=pb.Limits(),
            fold=fold,
            splits=splits,
        )

        async def no_flush() -> None:
            pass

        await cut.world.caught_up()
        answering = service.Service(cut.world.ingester.holdings, window_ms=WINDOW_MS, flush=no_flush)
        [head] = [frame.head async for frame in answering.select(request) if frame.HasField("head")]
        assert head.bytes > 0
        assert not head.is_folded
        assert (head.late_bytes > 0) == splits

    @pytest.mark.parametrize("seed", range(4))
    async def test_random_cuts_change_no_bit(self, asked: Asked, seed: int) -> None:
        chance = random.Random(seed)
        is_wild = seed % 2 == 1

        def value(_job: int, _minute: int) -> float:
            if is_wild:
                return chance.choice([1e100, -1e100, math.inf, chance.uniform(-1, 1), 1e-300])
            return chance.randrange(-6400, 6400) / 64

        newest = 60
        for round_ in range(8):
            first = max(newest - chance.choice([90, 90, 200]), 0)
            await asked.world.write(counters(value, chance.choice([7, 150]), range(first, newest)))
            if round_ == 1 or chance.random() < 0.1:
                await asked.world.ingester.flush()
            for _ in range(3):
                op, function = chance.choice(OPS), chance.choice(["", *FUNCTIONS])
                samples = f"x[{chance.choice([3, 10, 30])}m] offset 7m"
                grid = (T + (newest - chance.randrange(60, 200)) * MINUTE_MS, 301_000, 40)
                operand = f"{function}({samples})" if function else "x"
                text = f"{op} {chance.choice(['', 'by (job)'])} ({operand})"
                result = await asked.both(text, grid)
                if not is_wild and function in ("", "sum_over_time", "max_over_time", "last_over_time") and op != "avg":
                    tenant = asked.world.tenant
                    asked.world.tenant = replace(tenant, has_grown=True)
                    together = await asked.ask(text, grid)
                    asked.world.tenant = tenant
                    assert sorted(map(str, together[0])) == sorted(map(str, result)), text
            newest += chance.randrange(20, 90)
        assert asked.steps


RESTART_MINUTE = 7


def restarted(minutes: Sequence[int], jobs: int = 40) -> list[remote_write_v2.Series]:
    """Counters that began again in minute 7 and at once counted beyond what they were: only their starts tell."""
    return [
        remote_write_v2.Series(
            {"__name__": "x", "job": f"j{job % 5}", "pod": f"p{job}"},
            [(T + minute * MINUTE_MS, 10.0 * minute)],
            start_ms=T + (RESTART_MINUTE - 1) * MINUTE_MS + 1 if minute >= RESTART_MINUTE else T - MINUTE_MS,
        )
        for job in range(jobs)
        for minute in minutes
    ]


class TestStartTimestamps:
    async def test_heads_blocks_and_partial_results_tell_them_to_who_asks(self, asked: Asked) -> None:
        features = replace(DEFAULT_FEATURES, use_start_timestamps=True, experimental_functions=True)
        grid = (T + 11 * MINUTE_MS, 1, 1)

        async def value(text: str, *, is_wanted: bool, pushes_down: bool = True) -> float:
            query = Query(uses_starts=is_wanted)
            [row], _, _ = await asked.ask(
                text, grid, pushes_down=pushes_down, query=query, features=features if is_wanted else DEFAULT_FEATURES
            )
            return float(row["value"][1])

        await asked.world.write_v2(restarted(range(12)))
        for is_stored in (False, True):
            # What the counters were worth after the restart is added to what they had counted before.
            for pushes_down in (True, False):
                counted = {
                    wanted: await value("sum(resets(x[11m]))", is_wanted=wanted, pushes_down=pushes_down)
                    for wanted in (True, False)
                }
                assert counted == {True: 40, False: 0}
                increases = {
                    wanted: await value("sum(increase(x[5m]))", is_wanted=wanted, pushes_down=pushes_down)
                    for wanted in (True, False)
                }
                assert increases[True] > increases[False]
            assert await value("max(start_timestamp(x))", is_wanted=True) == (T + 6 * MINUTE_MS + 1) / 1000
            assert await value("max(start_timestamp(x offset 5m))", is_wanted=True) == (T - MINUTE_MS) / 1000
            if not is_stored:
                assert asked.parts["FoldedPart"] > 0
                await asked.world.ingester.flush()
                await asked.world.write_v2(restarted(range(5, 13)))


class TestPartitionsThatWereAdded:
    async def test_a_series_in_two_of_them_is_one(self, asked: Asked) -> None:
        world = asked.world
        grown = world.tenant
        world.tenant = replace(grown, shards=1)
        await world.write(counters(simple, minutes=range(8)))
        world.tenant = replace(grown, has_grown=True)
        await world.write(counters(simple, minutes=range(8, 15)))
        [row] = await asked.both("count(rate(x[5m]))", INSTANT)
        assert row["value"][1] == "40"
        assert "FoldedPart" not in asked.parts


class TestAClientThatGoes:
    async def test_ends_the_native_work_of_ingesters(self, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
        """20,000 windows of 2,000 samples of 200 series take half a minute, unless native code looks at the flag of its
        query."""
        began, ended = threading.Event(), threading.Event()
        outcomes: list[object] = []

        class Watched:
            def __init__(self, part: HeadPart) -> None:
                self._part = part

            def fold(self, fold: Fold) -> FoldedPart | None:
                began.set()
                try:
                    folded = self._part.fold(fold)
                    outcomes.append(folded)
                except Exception as error:
                    outcomes.append(error)
                    raise
                finally:
                    ended.set()
                return folded

        def watched_search(*arguments: Any) -> Any:
            search = HeadSearch(*arguments)
            return SimpleNamespace(parts=lambda heads: [part and Watched(part) for part in search.parts(heads)])

        times = range(T, T + 200_000, 100)
        await asked.world.write(
            [series("x", *((time, float(time % job)) for time in times), job=str(job)) for job in range(7, 207)]
        )
        monkeypatch.setattr(service, "HeadSearch", watched_search)
        asking = asyncio.create_task(asked.ask("sum(stddev_over_time(x[5m]))", (T + 200_000, 1, 20_000), query=Query()))
        assert await asyncio.to_thread(began.wait, 30)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await asyncio.to_thread(ended.wait, 30)
        assert [type(outcome) for outcome in outcomes] == [CanceledError]
