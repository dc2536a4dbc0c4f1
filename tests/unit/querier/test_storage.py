"""Selecting over heads and blocks while things move. What is read back is tested with the ingester."""

from collections.abc import AsyncIterator

import pytest

from querier import storage
from querier.roots import Roots
from shared.errors import InternalError, UnavailableError
from shared.native import BlockReader, Files
from tests.support.world import HOUR_MS, World, labels, series

T = 1_700_000_000_000 // (2 * HOUR_MS) * (2 * HOUR_MS)
SERIES = [series("m", (T, float(n)), job=f"j{n}") for n in range(20)]
EXPECTED = {labels("m", job=f"j{n}"): [(T, str(n))] for n in range(20)}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    opened = await World(Files.simulated(1)).start()
    await opened.write(SERIES)
    yield opened
    await opened.crash()


class TestSelect:
    async def test_heavy_work_in_worker_threads_gives_the_same(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await world.ingester.flush()
        await world.write([series("m", (T + 1000, 7.0), job="j3")])
        light = await world.read()
        monkeypatch.setattr(storage, "_DIRECT_S", -1.0)
        assert await world.read() == light
        assert light == EXPECTED | {labels("m", job="j3"): [(T, "3"), (T + 1000, "7")]}

    async def test_gives_up_when_blocks_never_rest(self, world: World) -> None:
        async def stated(*_: object, **__: object) -> int:
            return 1 << 40

        world.storage._client.add_head = stated  # type: ignore[method-assign]
        with pytest.raises(UnavailableError, match="moved 10 times"):
            await world.read()

    async def test_payload_that_is_gone_is_an_error_and_never_less_data(self, world: World) -> None:
        await world.ingester.flush()
        for pack in world.store._packs.names():
            world.store._packs.remove(pack)
        with pytest.raises(InternalError, match="payload that is gone"):
            await world.read()

    async def test_payload_that_was_replaced_meanwhile_is_looked_for_again(self, world: World) -> None:
        for n in range(8):
            await world.write([series("m", (T + n, 1.0), job=f"k{k}") for k in range(20)])
            await world.ingester.flush()
        before = await world.read()
        world.storage._roots = Roots(1 << 20)
        directory = world.store.directory
        merged = False

        async def directory_and_merge(partition: int, *, at_least: int = 0) -> object:
            nonlocal merged
            found = await directory(partition, at_least=at_least)
            if not merged:
                merged = True
                await world.ingester.maintain()
                world.clock.advance(10_000)
                await world.ingester.maintain()
            return found

        world.store.directory = directory_and_merge  # type: ignore[method-assign,assignment]
        assert await world.read() == before
        assert world.ingester.stats().counters.compactions > 0


class TestRoots:
    async def test_the_least_recently_used_go_first(self, world: World) -> None:
        await world.ingester.flush()
        manifests = [m for n in range(4) for m in (await world.store.directory(n)).manifests[world.tenant.uid]]
        readers = [BlockReader.open((await world.store.fetch([m.root_key]))[0]) for m in manifests]
        size = max(reader.memory_bytes for reader in readers)
        roots = Roots(2 * size)
        roots.add("a", readers[0])
        roots.add("b", readers[1])
        assert roots.get("a") is readers[0]
        roots.add("c", readers[2])
        assert roots.get("b") is None
        assert roots.get("a") is readers[0]
        assert roots.get("c") is readers[2]
        assert roots.held_bytes == readers[0].memory_bytes + readers[2].memory_bytes

    async def test_what_is_larger_than_the_budget_is_not_kept(self, world: World) -> None:
        await world.ingester.flush()
        await world.read()
        [reader, *_] = [reader for reader, _ in world.storage._roots._readers.values()]
        roots = Roots(reader.memory_bytes - 1)
        roots.add("a", reader)
        assert roots.get("a") is None
        assert roots.held_bytes == 0
