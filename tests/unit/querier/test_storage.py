"""Selecting over heads and blocks while things move. What is read back is tested with the ingester."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from ingester import client
from querier import reading
from querier.cache import ENTRY_BYTES, BlockCache
from querier.directories import Directories, covers
from querier.storage import Consistency
from shared.errors import InternalError, UnavailableError
from shared.native import (
    BlockReader,
    CanceledError,
    ExecutionError,
    Files,
    Head,
    HeadPart,
    HeadSearch,
    Query,
    json_vector,
    number,
)
from shared.seams.ingester_client import Answer
from shared.seams.store import Directory
from tests.support.remote_write import Series
from tests.support.world import FOREVER, HOUR_MS, World, labels, series

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
        monkeypatch.setattr(reading, "DIRECT_S", -1.0)
        monkeypatch.setattr(client, "DIRECT_S", 0.0)
        assert await world.read() == light
        assert light == EXPECTED | {labels("m", job="j3"): [(T, "3"), (T + 1000, "7")]}

    async def test_a_budget_that_is_used_up_fails_the_query(self, world: World) -> None:
        opened = await world.storage.read(world.tenant)
        with pytest.raises(ExecutionError, match="more than 1000 bytes"):
            await opened.select(Query(max_bytes=1000), (), *FOREVER)
        with pytest.raises(ExecutionError, match="more than 19 series"):
            await opened.select(Query(max_series=19), (), *FOREVER)
        with pytest.raises(ExecutionError, match="more than 100 bytes"):
            await opened.names(Query(max_bytes=100), [()], *FOREVER)
        assert len(await opened.select(Query(max_series=20), (), *FOREVER)) == 20

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
        remembering = Directories(world.store)
        world.storage._sources = replace(world.storage._sources, directories=remembering)
        before = await world.read()
        world.storage._sources = replace(world.storage._sources, cache=BlockCache(1 << 20))
        # The directories that are remembered are now one behind.
        await world.ingester.maintain()
        world.clock.advance(10_000)
        await world.ingester.maintain()
        assert world.ingester.stats().counters.compactions > 0
        assert await world.read() == before

    async def test_gives_up_when_blocks_never_rest(self, world: World) -> None:
        await world.ingester.flush()
        directory = world.store.directory
        looks = 0

        async def another(partition: int, *, at_least: int = 0) -> Directory:
            nonlocal looks
            looks += 1
            found = await directory(partition, at_least=at_least)
            [manifest] = found.manifests[world.tenant.uid]
            moved = replace(manifest, root_key=f"gone/{looks}")
            return replace(found, manifests={world.tenant.uid: (moved,)})

        world.store.directory = another  # type: ignore[method-assign]
        world.storage._sources = replace(world.storage._sources, directories=Directories(world.store))
        with pytest.raises(UnavailableError, match="moved 10 times"):
            await world.read()


class TestACallerThatEnds:
    async def test_ends_a_fetch_of_the_store(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        await world.ingester.flush()
        began, ended = asyncio.Event(), asyncio.Event()

        async def fetch(_keys: Sequence[str]) -> list[bytes]:
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return []

        monkeypatch.setattr(world.store, "fetch", fetch)
        opened, query = await world.storage.read(world.tenant), Query()
        reading_ = asyncio.create_task(opened.select(query, (), *FOREVER))
        await began.wait()
        reading_.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading_
        assert ended.is_set()
        with pytest.raises(CanceledError):
            json_vector(query, number(1.0, 1), (0, 1, 1), 0)

    async def test_ends_a_search_of_heads_in_native_code(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A search in a worker thread, again and again until it is refused."""
        began, ended = threading.Event(), threading.Event()

        def endless(*arguments: Any) -> Any:
            search = HeadSearch(*arguments)

            def parts(heads: Sequence[Head], patience_s: float | None = None) -> list[HeadPart | None]:
                if patience_s is not None:
                    return []
                began.set()
                try:
                    while True:
                        search.parts(heads)
                finally:
                    ended.set()

            return SimpleNamespace(parts=parts)

        monkeypatch.setattr(client, "HeadSearch", endless)
        opened = await world.storage.read(world.tenant)
        reading_ = asyncio.create_task(opened.select(Query(), (), *FOREVER))
        assert await asyncio.to_thread(began.wait, 30)
        reading_.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading_
        assert await asyncio.to_thread(ended.wait, 30)


class TestMissingPartitions:
    async def test_are_named(self, world: World) -> None:
        world.ingester.holdings.partitions[2].replaying = True
        for read in (world.read(), (await world.storage.read(world.tenant)).metadata()):
            with pytest.raises(UnavailableError, match="cannot be read: partition 2 is replaying"):
                await read

    async def test_may_be_left_out_but_for_their_blocks(self, world: World) -> None:
        await world.ingester.flush()
        await world.write([series("m", (T + 1000, 1.0), job=f"j{n}") for n in range(20)])
        complete = await world.read()
        world.ingester.holdings.partitions[2].replaying = True
        opened = await world.storage.read(world.tenant, Consistency.DEFAULT, is_partial=True)
        found = await opened.select(Query(), (), T, T)
        assert len(found) == len(EXPECTED)
        [warning] = opened.warnings
        assert warning.startswith("partial response, recent samples are missing: partition 2 is ")
        found = await opened.select(Query(), (), T + 1000, T + 1000)
        assert 0 < len(found) < len(complete)
        assert opened.warnings == [warning]
        assert await opened.metadata() == {}


class TestDirectories:
    def test_a_directory_covers_what_the_head_has_let_go_of(self) -> None:
        directory = Directory(0, 7, 0, through={T: 40, T + HOUR_MS: 50})

        def answer(generation: int, through: dict[int, int]) -> Answer[HeadPart]:
            return Answer(0, generation, through, None)

        assert covers(directory, answer(7, {}))
        assert covers(directory, answer(3, {T: 40, T + HOUR_MS: 12}))
        assert not covers(directory, answer(8, {}))
        # A store that was turned back has reached the number again with another window.
        assert not covers(directory, answer(7, {T: 41}))
        assert not covers(directory, answer(7, {T - HOUR_MS: 1}))

    async def test_are_read_again_only_if_they_must(self, world: World) -> None:
        directories = Directories(world.store)
        empty: Answer[HeadPart] = Answer(0, 0, {}, None)
        assert directories.known(empty) is None
        first = await directories.covering(empty)
        assert directories.known(empty) is first
        await world.ingester.flush()
        assert directories.known(empty) is first
        later: Answer[HeadPart] = Answer(0, world.ingester.holdings.partitions[0].generation, {}, None)
        assert directories.known(later) is None
        assert (await directories.covering(later)).generation == later.generation

    async def test_a_store_that_lost_a_commit_is_not_believed(self, world: World) -> None:
        lost: Answer[HeadPart] = Answer(0, 0, {T: 1}, None)
        with pytest.raises(UnavailableError, match="has lost what it contained"):
            await Directories(world.store).covering(lost)


def noise() -> list[Series]:
    """Values that cannot be compressed, so that blocks have pages."""
    chance = random.Random(1)
    return [series("m", *((T + t * 1000, chance.random()) for t in range(400)), job=f"j{n}") for n in range(100)]


class TestBlockCache:
    async def test_pages_are_fetched_once(self, world: World) -> None:
        await world.write(noise())
        await world.ingester.flush()
        cache = BlockCache(64 << 20)
        fetched: list[str] = []
        fetch = world.store.fetch

        async def counted(keys: Sequence[str]) -> list[bytes]:
            fetched.extend(keys)
            return await fetch(keys)

        world.store.fetch = counted  # type: ignore[method-assign]
        world.storage._sources = replace(world.storage._sources, cache=cache)
        first = await world.read()
        assert len(fetched) == len(set(fetched)) == cache.misses["root"] + cache.misses["page"]
        assert cache.misses["page"] > 0
        assert not cache.hits
        fetched.clear()
        assert await world.read() == first
        assert fetched == []
        assert cache.hits == cache.misses

    async def test_pages_that_do_not_fit_their_block_are_not_kept(self, world: World) -> None:
        await world.write(noise())
        await world.ingester.flush()
        cache = BlockCache(64 << 20)
        world.storage._sources = replace(world.storage._sources, cache=cache)
        fetch = world.store.fetch

        async def broken(keys: Sequence[str]) -> list[bytes]:
            pages = await fetch(keys)
            return [page[:-1] + bytes([page[-1] ^ 1]) if cache.misses["page"] else page for page in pages]

        world.store.fetch = broken  # type: ignore[method-assign]
        with pytest.raises(InternalError, match="checksum"):
            await world.read()
        world.store.fetch = fetch  # type: ignore[method-assign]
        assert len(await world.read()) == 100

    def test_the_least_recently_used_go_first(self) -> None:
        cache = BlockCache(3 * (100 + ENTRY_BYTES))
        cache.add_pages((key, bytes(100)) for key in "abc")
        assert cache.pages("ab") == [bytes(100)] * 2
        cache.add_pages([("d", bytes(100))])
        assert cache.pages("abcd") == [bytes(100), bytes(100), None, bytes(100)]
        assert cache.held_bytes == 3 * (100 + ENTRY_BYTES)
        cache.add_pages([("d", bytes(100)), ("large", bytes(2000))])
        assert cache.held_bytes == 3 * (100 + ENTRY_BYTES)
        assert cache.pages(["large"]) == [None]

    async def test_roots_and_pages_share_the_budget(self, world: World) -> None:
        await world.ingester.flush()
        [manifest, *_] = (await world.store.directory(0)).manifests[world.tenant.uid]
        reader = BlockReader.open((await world.store.fetch([manifest.root_key]))[0])
        cache = BlockCache(reader.memory_bytes + 2 * ENTRY_BYTES + 10)
        cache.add_root("root", reader)
        assert cache.root("root") is reader
        cache.add_pages([("page", bytes(10))])
        assert cache.root("root") is reader
        cache.add_pages([("another", bytes(10))])
        assert cache.pages(["page", "another"]) == [None, bytes(10)]
        cache.add_pages([("third", bytes(11))])
        assert cache.root("root") is None
        assert cache.pages(["another", "third"]) == [bytes(10), bytes(11)]

    def test_pages_may_have_a_share_of_their_own(self) -> None:
        cache = BlockCache(10_000, max_page_bytes=2 * (100 + ENTRY_BYTES))
        cache.add_pages((key, bytes(100)) for key in "ab")
        assert cache.pages("a") == [bytes(100)]
        cache.add_pages([("c", bytes(100)), ("large", bytes(1000))])
        assert cache.pages(["a", "b", "c", "large"]) == [bytes(100), None, bytes(100), None]
        assert cache.held_bytes == 2 * (100 + ENTRY_BYTES)
