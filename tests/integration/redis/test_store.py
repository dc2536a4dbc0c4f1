"""What the store on Redis does beyond its contract: many processes, a store that was turned back, garbage."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from shared.errors import InternalError, NotFoundError, UnavailableError
from shared.local.store import LocalStore
from shared.native import Files
from shared.redis.client import Client
from shared.redis.keys import PartitionKeys, payload_key
from shared.redis.store import RedisStore
from shared.seams.store import BlockStore, Manifest, Payload, payload_keys
from tests.integration.redis.conftest import Connect
from tests.integration.redis.copies import dump, restore
from tests.support.manifests import UID, WINDOW, block, generation, holds_the_same, merged
from tests.support.redis import RedisServer

P = 3
KEYS = PartitionKeys(P)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """One of the test's own, to be killed."""
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def shared(redis_server: RedisServer) -> RedisServer:
    redis_server.flush()
    return redis_server


async def committed(store: BlockStore, attempt: str, window: int, from_offset: int, to_offset: int) -> Manifest:
    manifest, payload = block(attempt, window, from_offset, to_offset)
    await store.put(P, payload)
    assert await store.commit(P, [generation(manifest)])
    return manifest


class Counted:
    """How many commands a client sends within a block."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __enter__(self) -> Self:
        self._before = self._client.commands
        return self

    def __exit__(self, *_: object) -> None:
        self.commands = self._client.commands - self._before


class TestDirectory:
    async def test_that_has_not_changed_costs_one_command(self, shared: RedisServer, connect: Connect) -> None:
        client = connect(shared)
        store = RedisStore(client)
        for number in range(5):
            await committed(store, f"a{number}", WINDOW, 10 * number, 10 * number + 10)
        first = await store.directory(P)
        with Counted(client) as counted:
            for _ in range(10):
                assert await store.directory(P) is first
        assert counted.commands == 10

    async def test_tells_a_change_of_the_cursor_alone(self, shared: RedisServer, connect: Connect) -> None:
        here, there = RedisStore(connect(shared)), RedisStore(connect(shared))
        await committed(here, "a1", WINDOW, 0, 10)
        assert (await there.directory(P)).replay_from == 0
        await here.advance(P, 9)
        assert (await there.directory(P)).replay_from == 9

    async def test_costs_what_has_changed_and_not_what_there_is(self, shared: RedisServer, connect: Connect) -> None:
        client = connect(shared)
        here, there = RedisStore(connect(shared)), RedisStore(client)
        for number in range(300):
            manifest, payload = block(f"a{number}", WINDOW * number, 0, 10, uid=number.to_bytes(16))
            await here.put(P, payload)
            assert await here.commit(P, [generation(manifest)])
        assert len((await there.directory(P)).manifests) == 300
        more = [await committed(here, "b", WINDOW, 10, 20), await committed(here, "c", WINDOW, 20, 30)]
        with Counted(client) as counted:
            directory = await there.directory(P)
        assert counted.commands == 2
        assert directory.manifests[UID] == tuple(more)
        assert len(directory.manifests) == 301
        assert directory == await RedisStore(connect(shared)).directory(P)

    async def test_takes_many_changes_at_once(self, shared: RedisServer, connect: Connect) -> None:
        here, there = RedisStore(connect(shared)), RedisStore(connect(shared))
        await committed(here, "a", WINDOW, 0, 10)
        await there.directory(P)
        blocks = [block(f"b{n}", WINDOW, 10, 20, uid=n.to_bytes(16)) for n in range(500)]
        for _, payload in blocks:
            await here.put(P, payload)
        assert await here.commit(P, [generation(*(manifest for manifest, _ in blocks))])
        directory = await there.directory(P)
        assert directory == await RedisStore(connect(shared)).directory(P)
        assert len(directory.manifests) == 501
        assert await here.replace(P, [manifest for manifest, _ in blocks], [])
        assert len((await there.directory(P)).manifests) == 1

    async def test_is_read_once_by_those_who_ask_together(self, shared: RedisServer, connect: Connect) -> None:
        client = connect(shared)
        await committed(RedisStore(client), "a1", WINDOW, 0, 10)
        fresh = connect(shared)
        store = RedisStore(fresh)
        with Counted(fresh) as counted:
            async with asyncio.TaskGroup() as tasks:
                asked = [tasks.create_task(store.directory(P)) for _ in range(20)]
        assert {task.result().generation for task in asked} == {1}
        assert counted.commands < 20 * 3

    async def test_of_which_the_changes_are_forgotten_is_read_anew(self, shared: RedisServer, connect: Connect) -> None:
        here, there = RedisStore(connect(shared)), RedisStore(connect(shared))
        await committed(here, "a1", WINDOW, 0, 10)
        await there.directory(P)
        await committed(here, "b2", WINDOW, 10, 20)
        await committed(here, "c3", WINDOW, 20, 30)
        shared.command("ZREMRANGEBYSCORE", KEYS.changes, 2, 2)
        assert await there.directory(P) == await RedisStore(connect(shared)).directory(P)

    async def test_changes_are_kept_for_an_hour(self, shared: RedisServer, connect: Connect) -> None:
        here, there = RedisStore(connect(shared)), RedisStore(connect(shared))
        for number in range(4):
            await committed(here, f"a{number}", WINDOW, 10 * number, 10 * number + 10)
        await there.directory(P)
        for entry in shared.command("ZRANGE", KEYS.changes, 0, 2):
            generation_, mark, time, rest = entry.split(b" ", 3)
            shared.command("ZREM", KEYS.changes, entry)
            older = b"%s %s %d %s" % (generation_, mark, int(time) - 3_700_000, rest)
            shared.command("ZADD", KEYS.changes, generation_, older)
        await committed(here, "b", WINDOW, 40, 50)
        assert shared.command("ZCARD", KEYS.changes) == 2
        assert await there.directory(P) == await RedisStore(connect(shared)).directory(P)

    async def test_readers_see_whole_commits_while_they_are_made(self, shared: RedisServer, connect: Connect) -> None:
        here, there = RedisStore(connect(shared)), RedisStore(connect(shared))
        is_done = asyncio.Event()

        async def write() -> None:
            for number in range(60):
                pair = [block(f"a{number}-{w}", w * WINDOW, 10 * number, 10 * number + 10) for w in (1, 2)]
                for _, payload in pair:
                    await here.put(P, payload)
                assert await here.commit(P, [generation(manifest) for manifest, _ in pair])
            is_done.set()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write())
            while not is_done.is_set():
                directory = await there.directory(P)
                blocks = directory.manifests.get(UID, ())
                assert len(blocks) == 2 * directory.generation
                assert set(directory.through.values()) <= {10 * directory.generation}
        assert (await there.directory(P)).generation == 60


class TestCommitters:
    async def test_of_many_exactly_one_wins_each_generation(self, shared: RedisServer, connect: Connect) -> None:
        stores = [RedisStore(connect(shared)) for _ in range(4)]
        for number in range(10):
            prepared = [block(f"a{number}-{who}", WINDOW, 10 * number, 10 * number + 10) for who in range(4)]
            async with asyncio.TaskGroup() as tasks:
                for store, (_, payload) in zip(stores, prepared, strict=True):
                    tasks.create_task(store.put(P, payload))
            async with asyncio.TaskGroup() as tasks:
                racing = [
                    tasks.create_task(store.commit(P, [generation(manifest)]))
                    for store, (manifest, _) in zip(stores, prepared, strict=True)
                ]
            won = [task.result() for task in racing]
            assert sum(won) == 1
            assert (await stores[0].directory(P)).manifests[UID][-1] == prepared[won.index(True)][0]

    async def test_a_reply_that_is_lost_leaves_the_outcome_to_the_directory(
        self, server: RedisServer, connect: Connect
    ) -> None:
        store = RedisStore(connect(server, timeout_s=0.3))
        manifest, payload = block("a1", WINDOW, 0, 10)
        await store.put(P, payload)
        with server.paused(), pytest.raises(UnavailableError):
            await store.commit(P, [generation(manifest)])
        # The request lay in the server's buffer. Whoever comes first, it is done once.
        await store.commit(P, [generation(manifest)])
        directory = await store.directory(P)
        assert (directory.generation, directory.manifests) == (1, {UID: (manifest,)})


class TestTurnedBack:
    """The store comes back older than it was."""

    async def test_by_a_kill_nothing_is_lost(self, server: RedisServer, connect: Connect) -> None:
        store = RedisStore(connect(server, timeout_s=30))
        manifest = await committed(store, "a1", WINDOW, 0, 10)
        await store.advance(P, 5)
        before = await store.directory(P)
        server.kill()
        server.start()
        assert await store.directory(P) == before
        assert await store.fetch(manifest.keys) == [b"root", b"page"]
        await committed(store, "b2", WINDOW, 10, 20)

    async def test_by_a_restart_readers_follow_over_the_gap_in_the_numbers(
        self, server: RedisServer, connect: Connect
    ) -> None:
        here = RedisStore(connect(server, timeout_s=30))
        there_client = connect(server, timeout_s=30)
        there = RedisStore(there_client)
        for number in range(3):
            await committed(here, f"a{number}", WINDOW, 10 * number, 10 * number + 10)
        assert (await there.directory(P)).generation == 3
        server.kill()
        server.start()
        await committed(here, "b", WINDOW, 30, 40)
        await committed(here, "c", WINDOW, 40, 50)
        with Counted(there_client) as counted:
            directory = await there.directory(P)
        assert counted.commands < 5  # with what it takes to connect again; it did not read everything
        assert directory.generation > 1_000_000
        assert directory == await RedisStore(connect(server)).directory(P)

    async def test_to_an_older_copy_of_its_file(self, server: RedisServer, connect: Connect, tmp_path: Path) -> None:
        store = RedisStore(connect(server, timeout_s=30))
        await committed(store, "a1", WINDOW, 0, 10)
        before = await store.directory(P)
        server.stop()
        shutil.copytree(server.folder / "appendonlydir", tmp_path / "copy")
        server.start()
        lost, payload = block("b2", WINDOW, 10, 20)
        await store.put(P, payload)
        assert await store.commit(P, [generation(lost)])
        seen = await store.directory(P)
        server.stop()
        shutil.rmtree(server.folder / "appendonlydir")
        shutil.copytree(tmp_path / "copy", server.folder / "appendonlydir")
        server.start()
        assert await store.directory(P) == before
        with pytest.raises(UnavailableError, match=f"generation 1, {seen.generation} was seen"):
            await store.directory(P, at_least=seen.generation)
        await store.put(P, payload)
        assert await store.commit(P, [generation(lost)])
        # Its number is not that of the lost one: what readers keep of that may be something else.
        assert holds_the_same(await store.directory(P, at_least=seen.generation + 1), seen)
        assert await store.fetch(lost.keys) == [b"root", b"page"]

    async def test_and_counting_on_otherwise_it_is_noticed(self, shared: RedisServer, connect: Connect) -> None:
        here, there = RedisStore(connect(shared)), RedisStore(connect(shared))
        await committed(here, "a1", WINDOW, 0, 10)
        copy = dump(shared)
        await committed(here, "lost", WINDOW, 10, 20)
        assert (await there.directory(P)).through == {WINDOW: 20}
        restore(shared, copy)
        other = await committed(RedisStore(connect(shared)), "other", 2 * WINDOW, 0, 15)
        assert (await there.directory(P)).through == {WINDOW: 10, 2 * WINDOW: 15}
        more = await committed(RedisStore(connect(shared)), "more", WINDOW, 10, 30)
        directory = await there.directory(P)
        assert directory.manifests[UID][1:] == (other, more)
        assert await here.directory(P) == directory

    async def test_before_a_replacement_keeps_what_was_replaced(self, shared: RedisServer, connect: Connect) -> None:
        store = RedisStore(connect(shared))
        a, b = await committed(store, "a1", WINDOW, 0, 10), await committed(store, "b2", WINDOW, 10, 20)
        new, payload = merged("m", [a, b])
        await store.put(P, payload)
        copy = dump(shared)
        assert await store.replace(P, [a, b], [new])
        orphans = await store.orphans(P, age_s=0)
        assert sorted(orphans) == sorted([*a.keys, *b.keys])
        restore(shared, copy)
        await store.delete(P, orphans)
        assert (await store.directory(P)).manifests == {UID: (a, b)}
        assert await store.fetch([*a.keys, *b.keys]) == [b"root", b"page"] * 2
        assert sorted(await store.orphans(P, age_s=0)) == sorted(new.keys)

    async def test_before_the_payload_was_listed_the_commit_lists_it_again(
        self, shared: RedisServer, connect: Connect
    ) -> None:
        store = RedisStore(connect(shared))
        manifest, payload = block("a1", WINDOW, 0, 10)
        await store.put(P, payload)
        shared.command("DEL", KEYS.unnamed)  # the partition's node forgot a second, the payload's did not
        assert await store.commit(P, [generation(manifest)])
        assert await store.orphans(P, age_s=0) == []

    async def test_a_replica_is_promoted_that_lacks_the_last_commit(
        self, server: RedisServer, connect: Connect, tmp_path: Path
    ) -> None:
        replica = RedisServer(tmp_path / "replica")
        replica.start()
        try:
            store = RedisStore(connect(server))
            await committed(store, "a1", WINDOW, 0, 10)
            replica.follow(server)
            replica.promote()
            lost, payload = block("b2", WINDOW, 10, 20)
            await store.put(P, payload)
            assert await store.commit(P, [generation(lost)])
            seen = await store.directory(P)
            server.kill()
            promoted = RedisStore(connect(replica))
            with pytest.raises(UnavailableError, match="generation 1, 2 was seen"):
                await promoted.directory(P, at_least=seen.generation)
            assert await promoted.exists(lost.keys) == [False, False]
            await promoted.put(P, payload)
            assert await promoted.commit(P, [generation(lost)])
            assert holds_the_same(await promoted.directory(P, at_least=seen.generation + 1), seen)
        finally:
            replica.kill()


class TestDeleting:
    async def test_that_was_broken_off_is_finished_by_the_next_look(
        self, shared: RedisServer, connect: Connect
    ) -> None:
        client = connect(shared)
        store = RedisStore(client)
        manifest, payload = block("a1", WINDOW, 0, 10)
        await store.put(P, payload)
        # What a process leaves that dies behind the first step of a deletion.
        for key in payload.keys:
            since = shared.command("HGET", KEYS.unnamed, key)
            shared.command("HSET", KEYS.unnamed, key, b"-" + since)
        with pytest.raises(NotFoundError, match="a1/0 was deleted"):
            await store.commit(P, [generation(manifest)])
        with pytest.raises(UnavailableError, match="a1/0 is being deleted"):
            await store.put(P, payload)
        orphans = await store.orphans(P, age_s=0)
        assert sorted(orphans) == list(payload.keys)
        await store.delete(P, orphans)
        assert await store.exists(payload.keys) == [False, False]
        await store.put(P, payload)
        assert await store.commit(P, [generation(manifest)])

    async def test_of_many_keys(self, shared: RedisServer, connect: Connect) -> None:
        store = RedisStore(connect(shared))
        keys = payload_keys("a1", 6000)
        await store.put(P, Payload(keys, tuple(b"%d" % number for number in range(6000))))
        assert len(await store.orphans(P, age_s=0)) == 6000
        await store.delete(P, keys)
        assert not any(await store.exists(keys))
        assert shared.command("EXISTS", KEYS.unnamed) == 0


class TestGarbage:
    async def test_manifests_that_are_none(self, shared: RedisServer, connect: Connect) -> None:
        await committed(RedisStore(connect(shared)), "a1", WINDOW, 0, 10)
        [place] = shared.command("HKEYS", KEYS.blocks(UID))
        whole = shared.command("HGET", KEYS.blocks(UID), place)
        rng = random.Random(1)
        for stored in (b"", b"\x01\x00", whole[:-1], b"\x01" + rng.randbytes(200), whole[:60] + b"\xff" * 40):
            shared.command("HSET", KEYS.blocks(UID), place, stored)
            with pytest.raises(InternalError, match="blocks"):
                await RedisStore(connect(shared)).directory(P)

    @pytest.mark.parametrize("field", ["format", "generation", "replay_from"])
    async def test_cursors_that_are_none(self, shared: RedisServer, connect: Connect, field: str) -> None:
        await committed(RedisStore(connect(shared)), "a1", WINDOW, 0, 10)
        shared.command("HSET", KEYS.cursor, field, b"\xffx")
        with pytest.raises(InternalError, match="cursor"):
            await RedisStore(connect(shared)).directory(P)

    async def test_a_newer_format_names_the_remedy(self, shared: RedisServer, connect: Connect) -> None:
        await committed(RedisStore(connect(shared)), "a1", WINDOW, 0, 10)
        shared.command("HSET", KEYS.cursor, "format", 2)
        with pytest.raises(InternalError, match="format 2, this build reads 1: start the release that wrote it"):
            await RedisStore(connect(shared)).directory(P)

    async def test_keys_of_another_type(self, shared: RedisServer, connect: Connect) -> None:
        shared.command("SET", KEYS.cursor, "x")
        with pytest.raises(InternalError, match="WRONGTYPE"):
            await RedisStore(connect(shared)).directory(P)

    async def test_payload_that_was_cut_off(self, shared: RedisServer, connect: Connect) -> None:
        store = RedisStore(connect(shared))
        manifest = await committed(store, "a1", WINDOW, 0, 10)
        for stored in (b"", b"abc", b"root"):
            shared.command("SET", payload_key(manifest.root_key), stored)
            with pytest.raises(InternalError, match="a1/0 is damaged"):
                await store.fetch(manifest.keys)

    async def test_keys_that_are_none(self, shared: RedisServer, connect: Connect) -> None:
        for key in ("", "a1", "a1/x", "a1/-1"):
            with pytest.raises(InternalError, match="is no payload key"):
                await RedisStore(connect(shared)).fetch([key])


class TestWindow:
    async def test_is_fixed_by_the_first_start(self, shared: RedisServer, connect: Connect) -> None:
        for _ in range(2):
            await RedisStore(connect(shared)).fix_window(7_200_000)
        with pytest.raises(InternalError, match="windows of 7200 s, not of 3600 s"):
            await RedisStore(connect(shared)).fix_window(3_600_000)


@pytest.mark.parametrize("seed", range(4))
async def test_agrees_with_the_local_store_whatever_happens(shared: RedisServer, connect: Connect, seed: int) -> None:
    """Random changes by two processes on Redis and by one on files: equal answers and equal directories."""
    rng = random.Random(seed)
    redis = [RedisStore(connect(shared)) for _ in range(2)]
    local = LocalStore.open(Files.simulated(seed), "store")
    uids = [bytes([number]) * 16 for number in range(3)]

    async def both(change: str, *args: object) -> object:
        ours = await getattr(rng.choice(redis), change)(*args)
        theirs = await getattr(local, change)(*args)
        assert ours == theirs
        return ours

    for step in range(80):
        directory = await local.directory(P)
        standing = [manifest for group in directory.manifests.values() for manifest in group]
        match rng.randrange(6):
            case 0 | 1 | 2:
                prepared = []
                for window in rng.sample(range(4), rng.randrange(1, 3)):
                    start = directory.through.get(window, 0) if rng.random() < 0.9 else 7
                    own = [
                        block(f"s{step}w{window}u{uid[0]}", window, start, start + rng.randrange(1, 9), uid=uid)
                        for uid in rng.sample(uids, 2)
                    ]
                    own = [own[0], *(pair for pair in own[1:] if pair[0].to_offset == own[0][0].to_offset)]
                    for _, payload in own:
                        await both("put", P, payload)
                    prepared.append(generation(*(manifest for manifest, _ in own)))
                await both("commit", P, prepared)
            case 3 if standing:
                uid = rng.choice(sorted(directory.manifests))
                window = rng.choice(directory.manifests[uid]).window
                same = [manifest for manifest in directory.manifests[uid] if manifest.window == window]
                going = sorted(rng.sample(same, rng.randrange(1, len(same) + 1)), key=same.index)
                new, payload = merged(f"m{step}", going)
                new = replace(new, samples=1)  # what is chosen here need not lie in one piece of the log
                await both("put", P, payload)
                if await both("replace", P, going, [new]) and rng.random() < 0.5:
                    await both("replace", P, [new], going)
            case 4 if standing:
                await both("replace", P, rng.sample(standing, 1), [])
            case 5 if rng.random() < 0.5:
                await both("forget_windows", P, rng.randrange(5))
            case _:
                await both("advance", P, rng.randrange(100))
        for store in rng.sample(redis, rng.randrange(3)):
            assert await store.directory(P) == await local.directory(P)
    assert sorted(await redis[0].orphans(P, age_s=0)) == sorted(await local.orphans(P, age_s=0))
    assert await RedisStore(connect(shared)).directory(P) == await local.directory(P)
