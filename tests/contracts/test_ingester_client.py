"""The contract of `shared.seams.ingester_client.IngesterClient`: by direct calls, and over gRPC."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pytest

from shared import native
from shared.errors import ExecutionError
from shared.native import (
    CanceledError,
    Files,
    HeadPart,
    Matcher,
    Names,
    NamesPart,
    Query,
    Selection,
    WriteLimits,
    json_exemplars,
    json_samples,
)
from shared.seams.ingester_client import Answers, IngesterClient
from tests.support import remote_write_v2 as v2
from tests.support.remote_write_v2 import Exemplar
from tests.support.world import FOREVER, HOUR_MS, PARTITIONS, World, instance, series
from tests.support.zones import zones

T = 1_700_000_000_000 // (2 * HOUR_MS) * (2 * HOUR_MS)
TOO_MUCH = (ExecutionError, native.ExecutionError)
ALL = dict.fromkeys(range(PARTITIONS), 0)
Part = TypeVar("Part", HeadPart, NamesPart)
STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]


@dataclass
class Served:
    world: World
    client: IngesterClient

    @property
    def uid(self) -> bytes:
        return self.world.tenant.uid

    async def select(self, *matchers: Matcher, query: Query | None = None, span: tuple[int, int] = FOREVER) -> str:
        """What `json_samples` prints of all heads together."""
        query = query or Query()
        chosen = matchers or (Matcher("__name__", "!=", ""),)
        selection = Selection(query, chosen, *span)
        answers = await self.client.select(query, self.uid, await self.ends(), chosen, *span)
        for part in parts(answers):
            selection.add_part(part)
        return json_samples(query, selection.finish(), *span, 0)[0].decode()

    async def names(self, *sets: Sequence[Matcher], span: tuple[int, int] = FOREVER) -> Names:
        query = Query()
        names = Names(query, sets, *span)
        for part in parts(await self.client.names(query, self.uid, await self.ends(), sets, *span)):
            names.add_part(part)
        return names

    async def ends(self) -> dict[int, int]:
        """What is in the log now, and applied."""
        ends = await self.world.log.end_offsets(range(PARTITIONS))
        assert await self.client.wait_applied(ends, timeout_s=10) == {}
        return ends


def parts(answers: Answers[Part]) -> list[Part]:
    assert [answer.partition for answer in answers.given] == list(range(PARTITIONS))
    assert answers.missing == {}
    return [answer.part for answer in answers.given if answer.part is not None]


@pytest.fixture(params=["local", "grpc", "grpc_three"])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    """`grpc_three`: the partitions are spread over three ingesters."""
    world = await World(Files.simulated(1)).start()
    if request.param == "local":
        yield Served(world, world.ingester.client())
    else:
        async with zones(world) as opened:
            for n, numbers in enumerate([[0, 1], [2], [3]] if request.param == "grpc_three" else [range(PARTITIONS)]):
                await opened.serve(f"a-{n}", world.ingester.holdings, numbers)
            yield Served(world, opened.client)
    await world.crash()


class TestSelect:
    async def test_series_of_all_partitions_and_their_samples(self, served: Served) -> None:
        values = [0.1, -0.0, 1e300, 5e-324, float("inf"), STALE, 2.0**60 + 256]
        await served.world.write(
            [series("m", *((T + k * 1000 + n, v + n) for k, v in enumerate(values)), job=f"j{n}") for n in range(300)]
        )
        for n in range(300):  # late ones, of another window, and for some series a second of the same time
            await served.world.write([series("m", (T - HOUR_MS, 1.0), (T + 500, float(n)), (T, 9.0), job=f"j{n}")])
        found = await served.select()
        near = Served(served.world, served.world.ingester.client())
        assert found == await near.select()
        assert found.count('"metric"') == 300
        span = (T + 1000, T + 2000)
        assert await served.select(span=span) == await near.select(span=span) != found

    async def test_every_kind_of_matcher(self, served: Served) -> None:
        await served.world.write([series("m", (T, 1.0), job=job, é="✓") for job in ("a", "b", "ab", 'q"\\')])
        for matchers, jobs in (
            ([Matcher("job", "=", "a")], {"a"}),
            ([Matcher("job", "!=", "a")], {"b", "ab", 'q"\\'}),
            ([Matcher("job", "=~", "a.*|b")], {"a", "ab", "b"}),
            ([Matcher("job", "!~", "a.*"), Matcher("é", "=", "✓")], {"b", 'q"\\'}),
            ([Matcher("none", "=", "x")], set()),
        ):
            found = json.loads(await served.select(*matchers))
            assert {row["metric"]["job"] for row in found} == jobs

    async def test_a_large_answer(self, served: Served) -> None:
        """More than one frame for a partition."""
        await served.world.write(
            [series("m", (T + n % 7, n / 7), (T + 9, 1.0), pod=f"pod-{n:0500}") for n in range(4000)]
        )
        found = await served.select(Matcher("__name__", "=", "m"))
        assert found.count('"metric"') == 4000
        assert found == await Served(served.world, served.world.ingester.client()).select(Matcher("__name__", "=", "m"))

    async def test_another_instance_has_nothing(self, served: Served) -> None:
        await served.world.write([series("m", (T, 1.0))])
        query = Query()
        uid = instance("other").uid
        answers = await served.client.select(query, uid, ALL, [Matcher("__name__", "=", "m")], *FOREVER)
        assert parts(answers) == []

    async def test_states_what_the_head_has_handed_over(self, served: Served) -> None:
        await served.world.write([series("m", (T, 1.0), job=f"j{n}") for n in range(20)])
        await served.world.ingester.flush()
        await served.world.write([series("m", (T + 1, 1.0), job=f"j{n}") for n in range(20)])
        query = Query()
        answers = await served.client.select(query, served.uid, await served.ends(), (), *FOREVER)
        assert len(parts(answers)) == PARTITIONS
        for answer in answers.given:
            directory = await served.world.store.directory(answer.partition)
            assert answer.generation == directory.generation > 0
            assert all(directory.through[window] >= offset for window, offset in answer.through.items())
        if type(served.client).__name__ == "RemoteClient":  # the store may be turned back
            assert all(answer.through.keys() == {T} for answer in answers.given)
            later = await served.client.select(query, served.uid, ALL, (), T + 2 * HOUR_MS, T + 4 * HOUR_MS)
            assert all(not answer.through for answer in later.given)

    async def test_a_budget_ends_it(self, served: Served) -> None:
        await served.world.write([series("m", (T, 1.0), job=f"j{n}") for n in range(2000)])
        with pytest.raises(TOO_MUCH, match="more than 20000 bytes"):
            await served.select(query=Query(max_bytes=20_000))
        with pytest.raises(TOO_MUCH, match="more than 100 series"):
            await served.select(query=Query(max_series=100))

    async def test_a_cancelled_query_is_not_answered(self, served: Served) -> None:
        await served.world.write([series("m", (T, 1.0), job=f"j{n}") for n in range(2000)])
        query = Query()
        query.cancel()
        with pytest.raises(CanceledError):
            await served.select(query=query)


class TestNames:
    async def test_pairs_sets_and_times(self, served: Served) -> None:
        await served.world.write(
            [series("m", (T, 1.0), job=f"j{n}", **({"zone": "z"} if n % 2 else {})) for n in range(40)]
        )
        await served.world.write([series("old", (T - 10 * HOUR_MS, 1.0))])
        everything = await served.names()
        assert everything.label_names() == ["__name__", "job", "zone"]
        assert everything.label_values("__name__") == ["m", "old"]
        assert (await served.names(span=(T, T))).label_values("__name__") == ["m"]
        some = await served.names([Matcher("zone", "=", "z")], [Matcher("job", "=", "j2")])
        assert some.label_values("job") == sorted([f"j{n}" for n in range(40) if n % 2] + ["j2"])
        assert json.loads(some.series_json(1)[0]) == [{"__name__": "m", "job": "j1", "zone": "z"}]


class TestMetadata:
    async def test_of_all_partitions(self, served: Served) -> None:
        families = [(1 + n % 2, f"m{n}", f"Help {n} ✓", "s") for n in range(30)]
        await served.world.write([series("m0", (T, 1.0))], families)
        await served.ends()
        described = await served.client.metadata(served.uid, ALL)
        assert described.missing == {}
        assert described.families == {name: (kind, text, unit) for kind, name, text, unit in families}


class TestExemplars:
    async def test_of_all_partitions(self, served: Served) -> None:
        world = served.world
        found = [Exemplar({"id": str(n)}, n / 2, T + n) for n in range(20)]
        body = v2.body(v2.Series({"__name__": "m", "job": f"j{n}"}, exemplars=[e]) for n, e in enumerate(found))
        limits = WriteLimits(max_future_ms=None)
        now_ms = world.clock.now_ms()
        tenant = world.tenant
        batch = world.splitter.split(
            body, uid=tenant.uid, shards=tenant.shards, limits=limits, now_ms=now_ms, version=2
        )
        await world.log.append(batch, now_ms=now_ms)
        await served.ends()
        sets = [[Matcher("job", "=~", "j1|j7")], [Matcher("__name__", "=", "m"), Matcher("job", "=", "j12")]]
        answer = await served.client.exemplars(served.uid, ALL, sets, T, T + 11)
        assert answer.missing == {}
        listed = json.loads(json_exemplars(answer.parts))
        assert [(row["seriesLabels"]["job"], row["exemplars"][0]["value"]) for row in listed] == [
            ("j1", "0.5"),
            ("j7", "3.5"),
        ]
        nothing = await served.client.exemplars(b"another uid 1234", ALL, sets, *FOREVER)
        assert json_exemplars(nothing.parts) == b"[]"
        everything = await served.client.exemplars(served.uid, ALL, [[Matcher("job", "=~", ".+")]], *FOREVER)
        assert len(json.loads(json_exemplars(everything.parts))) == 20


class TestWaitApplied:
    async def test_until_everything_is_applied(self, served: Served) -> None:
        await served.world.write([series("m", (T, 1.0), job=f"j{n}") for n in range(20)])
        ends = await served.ends()
        assert all(partition.applied >= ends[n] for n, partition in served.world.ingester.holdings.partitions.items())

    async def test_tells_the_lag(self, served: Served) -> None:
        ends = await served.ends()
        lag = await served.client.wait_applied({p: end + 7 for p, end in ends.items()}, timeout_s=0.05)
        assert lag == dict.fromkeys(range(PARTITIONS), 7)


class TestMissing:
    async def test_partitions_that_nobody_can_answer_for_are_named(self, served: Served) -> None:
        await served.world.write([series("m", (T, 1.0), job=f"j{n}") for n in range(20)])
        served.world.ingester.holdings.partitions[1].replaying = True
        wanted = ALL | {1000: 0}
        query = Query()
        selected = await served.client.select(query, served.uid, wanted, (), *FOREVER)
        assert [answer.partition for answer in selected.given] == [0, 2, 3]
        named = await served.client.names(query, served.uid, wanted, (), *FOREVER)
        described = await served.client.metadata(served.uid, wanted)
        exemplars = await served.client.exemplars(served.uid, wanted, (), *FOREVER)
        for missing in (selected.missing, named.missing, described.missing, exemplars.missing):
            assert missing.keys() == {1, 1000}
            assert "partition 1 is replaying the log" in missing[1]
            assert "partition 1000" in missing[1000]

    async def test_they_come_back(self, served: Served) -> None:
        served.world.ingester.holdings.partitions[1].replaying = True
        answers = await served.client.select(Query(), served.uid, ALL, (), *FOREVER)
        assert answers.missing.keys() == {1}
        served.world.ingester.holdings.partitions[1].replaying = False
        answers = await served.client.select(Query(), served.uid, ALL, (), *FOREVER)
        assert answers.missing == {}


class TestCancel:
    async def test_a_caller_that_ends_ends_its_call(self, served: Served) -> None:
        ends = {p: end + 1 for p, end in (await served.ends()).items()}
        task = asyncio.create_task(served.client.wait_applied(ends, timeout_s=60))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
