"""The ingester on simulated files: what is written is read back, wherever it lies and whatever failed on the way."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.fsck.store import cursor_problems
from ingester.settings import IngesterSettings
from querier.storage import Consistency
from shared import faults
from shared.errors import ConflictError, InternalError, UnavailableError
from shared.local.membership import LocalMembership
from shared.model.instance import Limits
from shared.native import Files, Matcher, Query
from shared.seams.store import Generation
from tests.support.world import HOUR_MS, World, instance, labels, series

T = 1_700_000_000_000 // (2 * HOUR_MS) * (2 * HOUR_MS)
MANY = [series("m", *((T + i * 1000, float(i)) for i in range(20)), job=f"j{n}") for n in range(25)]
EXPECTED = {labels("m", job=f"j{n}"): [(T + i * 1000, str(i)) for i in range(20)] for n in range(25)}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    opened = await World(Files.simulated(1)).start()
    yield opened
    faults.install(None)


class TestReading:
    async def test_what_was_acknowledged_is_visible_at_once(self, world: World) -> None:
        await world.write(MANY)
        assert await world.read() == EXPECTED
        await world.crash()

    async def test_by_matchers_and_time(self, world: World) -> None:
        await world.write(MANY)
        found = await world.read(Matcher("job", "=", "j7"), min_ms=T + 3000, max_ms=T + 4000)
        assert found == {labels("m", job="j7"): [(T + 3000, "3"), (T + 4000, "4")]}
        await world.crash()

    async def test_names(self, world: World) -> None:
        await world.write(MANY)
        await world.ingester.flush()
        await world.write([series("other", (T, 1.0), job="x")])
        names = await (await world.storage.read(world.tenant)).names(Query(), [], T, T + HOUR_MS)
        assert names.label_names() == ["__name__", "job"]
        assert names.label_values("__name__") == ["m", "other"]
        await world.crash()

    async def test_nothing_older_than_the_retention(self, world: World) -> None:
        old, young = T - 5 * HOUR_MS, T
        world.clock.advance((T + HOUR_MS - world.clock.now_ms()) / 1000)
        await world.write([series("m", (old, 1.0), (young, 2.0)), series("gone", (old, 3.0))])
        kept, everything = {labels("m"): [(young, "2")]}, {labels("m"): [(old, "1"), (young, "2")]}
        everything[labels("gone")] = [(old, "3")]
        for _ in ("from the head", "from blocks that wait for their removal"):
            world.tenant = replace(world.tenant, limits=Limits(retention_s=2 * 3600))
            assert await world.read() == kept
            assert await world.read(max_ms=old) == {}
            names = await (await world.storage.read(world.tenant)).names(Query(), [], old, young)
            assert names.label_values("__name__") == ["m"]
            world.tenant = replace(world.tenant, limits=Limits())
            assert await world.read() == everything
            world.storage._retention_s = 2 * 3600  # the server's, for those who have none of their own
            assert await world.read() == kept
            world.storage._retention_s = None
            await world.ingester.flush()
        await world.crash()

    async def test_another_instance_sees_nothing(self, world: World) -> None:
        await world.write(MANY)
        await world.ingester.flush()
        await world.write([series("other", (T, 1.0))])
        world.tenant = instance("other")
        assert await world.read() == {}
        await world.crash()

    async def test_a_lagging_ingester_is_told(self, world: World) -> None:
        world.storage._wait_s = 0.01
        await world.ingester.holdings.consumer.stop()
        await world.write(MANY)
        [warning] = (await world.storage.read(world.tenant)).warnings
        assert "after 0.01 s" in warning
        assert "partition 0 by 1" in warning
        with pytest.raises(UnavailableError, match="partition 0 by "):
            await world.storage.read(world.tenant, Consistency.STRONG)
        assert (await world.storage.read(world.tenant, Consistency.EVENTUAL)).warnings == []
        again = await world.restarted()
        assert await again.read() == EXPECTED
        await again.crash()


class TestFlush:
    async def test_moves_everything_into_the_store(self, world: World) -> None:
        await world.write(MANY)
        await world.ingester.flush()
        assert (world.held_samples, world.log_records) == (0, 0)
        assert await world.read() == EXPECTED
        await world.crash()

    async def test_of_nothing_is_nothing(self, world: World) -> None:
        await world.ingester.flush()
        await world.ingester.flush()
        assert world.ingester.stats().counters.commits == 0
        await world.crash()

    async def test_and_what_comes_after_it_are_merged(self, world: World) -> None:
        first = [series("m", (T, 1.0), (T + 2000, 3.0), job="a")]
        await world.write(first)
        await world.ingester.flush()
        await world.write([series("m", (T, 1.0), (T + 1000, 2.0), job="a")])
        expected = {labels("m", job="a"): [(T, "1"), (T + 1000, "2"), (T + 2000, "3")]}
        assert await world.read() == expected
        await world.ingester.flush()
        assert await world.read() == expected
        await world.crash()

    async def test_of_two_values_at_one_time_the_first_stays(self, world: World) -> None:
        await world.write([series("m", (T, 1.0))])
        await world.ingester.flush()
        await world.write([series("m", (T, 2.0))])
        assert await world.read() == {labels("m"): [(T, "1")]}
        await world.ingester.flush()
        assert await world.read() == {labels("m"): [(T, "1")]}
        await world.crash()

    async def test_spreads_over_windows_far_apart(self, world: World) -> None:
        times = [T - 5 * 365 * 24 * HOUR_MS, T, T + 2 * HOUR_MS, T + 300_000 * HOUR_MS, -HOUR_MS]
        await world.write(
            [series("m", *((time, float(n)) for n, time in sorted(enumerate(times), key=lambda e: e[1])))]
        )
        await world.ingester.flush()
        assert world.held_samples == 0
        assert await world.read() == {labels("m"): sorted((time, str(n)) for n, time in enumerate(times))}
        await world.crash()


class TestRestart:
    async def test_after_a_crash_replays_what_the_store_lacks(self, world: World) -> None:
        await world.write(MANY[:10])
        await world.ingester.flush()
        await world.write(MANY[10:])
        again = await world.restarted()
        assert again.held_samples == 15 * 20
        assert await again.read() == EXPECTED
        await again.crash()

    async def test_after_a_drain_replays_nothing(self, world: World) -> None:
        await world.write(MANY)
        await world.ingester.drain()
        again = await world.restarted()
        replay = again.ingester.stats().replay
        assert replay.begin == replay.end
        assert await again.read() == EXPECTED
        await again.crash()

    async def test_between_seal_and_commit_cuts_the_sealed_generation(self, world: World) -> None:
        await world.write(MANY)
        await world.caught_up()
        for partition in world.ingester.holdings.partitions.values():
            await world.ingester._sealing.seal(partition, [info.window for info in partition.head.windows()])
        again = await world.restarted()
        await again.ingester._storing.store_all()
        assert again.held_samples == 0
        assert await again.read() == EXPECTED
        await again.crash()

    async def test_keeps_types_and_helps(self, world: World) -> None:
        await world.write(MANY, [(1, "m", "Things.", "s"), (2, "n", "Others.", "")])
        await world.ingester.flush()
        await world.write([], [(2, "m", "Newer.", "s")])
        again = await world.restarted()
        reading = await again.storage.read(again.tenant)
        assert await reading.metadata() == {"m": (2, "Newer.", "s"), "n": (2, "Others.", "")}
        await again.crash()

    async def test_with_another_log_is_refused(self, world: World) -> None:
        await world.write(MANY)
        await world.ingester.flush()
        await world.crash()
        other = World(Files.simulated(2))
        other.folder = world.folder
        fresh = await other.start()
        world.log = fresh.log
        ingester = world.join(world.settings)
        ingester.holdings._store = world.store
        with pytest.raises(InternalError, match="the log ends at offset"):
            await ingester.start()
        await fresh.crash()

    async def test_of_a_second_process_is_refused(self, world: World) -> None:
        members = LocalMembership(world.clock)
        first, second = world.join(world.settings, members), world.join(world.settings, members)
        await first.start()
        with pytest.raises(ConflictError, match="held by standalone"):
            await second.start()
        await first.stop()
        await world.crash()


class TestSealing:
    async def test_by_time(self, world: World) -> None:
        world.clock.advance((T + HOUR_MS - world.clock.now_ms()) / 1000)
        await world.write(MANY)
        await world.step()
        assert world.held_samples == 500
        world.clock.advance(3 * 3600)
        await world.step()
        assert world.held_samples == 0
        assert await world.read() == EXPECTED
        assert world.ingester.stats().counters.seals == 4
        await world.crash()

    async def test_age_outlives_a_restart(self, world: World) -> None:
        await world.write([series("old", (T - 1000 * HOUR_MS, 1.0))])
        world.clock.advance(2 * 3600)
        again = await world.restarted()
        await again.step()
        assert again.held_samples == 1
        again.clock.advance(1200)
        await again.step()
        assert again.held_samples == 0
        await again.crash()

    async def test_when_memory_runs_short(self) -> None:
        settings = IngesterSettings(read_timeout_ms=20, memory_bytes=1)
        world = await World(Files.simulated(1), settings=settings).start()
        await world.write(MANY)
        await world.read()
        await world.step()
        assert world.held_samples == 0
        assert await world.read() == EXPECTED
        await world.crash()

    async def test_early_but_not_every_second(self) -> None:
        settings = IngesterSettings(read_timeout_ms=20, memory_bytes=1)
        world = await World(Files.simulated(1), settings=settings).start()
        await world.write(MANY)
        await world.step()
        await world.write([series("m", (T, 1.0), job=f"k{n}") for n in range(25)])
        await world.step()
        assert world.held_samples == 25
        world.clock.advance(15)
        await world.step()
        assert world.held_samples == 0
        await world.crash()

    async def test_consumption_waits_while_memory_is_full_and_the_store_refuses(self) -> None:
        settings = IngesterSettings(read_timeout_ms=20, memory_bytes=1)
        world = await World(Files.simulated(1), settings=settings).start()
        await world.write(MANY)
        await world.caught_up()
        world.ingester._watch_memory()
        assert not world.ingester.stats().paused
        world.ingester._failed(UnavailableError("disk full"))
        world.ingester._watch_memory()
        assert world.ingester.stats().paused
        await world.ingester._storing.store_all()
        world.ingester._watch_memory()
        assert not world.ingester.stats().paused
        await world.crash()


class TestFailures:
    @pytest.mark.parametrize("point", ["cut.begin", "cut.encoded", "cut.put", "commit.before", "commit.done"])
    async def test_of_a_cut_is_tried_again_and_leaves_nothing_behind(self, world: World, point: str) -> None:
        await world.write(MANY)
        faults.arm(f"{point}:fail:1")
        await world.ingester.flush()
        assert world.held_samples == 0
        assert await world.read() == EXPECTED
        directories = [await world.store.directory(number) for number in range(4)]
        named = {
            key.split("/")[0] for d in directories for blocks in d.manifests.values() for m in blocks for key in m.keys
        }
        assert set(world.store._packs.names()) == named
        assert world.ingester.stats().counters.failures == 1
        await world.crash()

    async def test_the_next_success_clears_the_alarm(self, world: World) -> None:
        await world.write(MANY)
        world.ingester._failed(UnavailableError("disk full"))
        assert world.ingester.stats().alarms == {"store": "disk full"}
        await world.ingester.flush()
        assert world.ingester.stats().alarms == {}
        await world.crash()

    async def test_payload_that_went_missing_is_written_again(self, world: World) -> None:
        await world.write(MANY)
        world.clock.advance(24 * 3600)
        await world.step()
        [pack, *_] = world.store._packs.names()
        world.store._packs.remove(pack)
        assert world.log_records > 0  # not verified, so the log still has it
        world.clock.advance(61)
        await world.step()
        counters = world.ingester.stats().counters
        assert (counters.rewritten, counters.verified) == (1, 3)
        assert world.log_records > 0  # it is looked for once more
        world.clock.advance(61)
        await world.step()
        assert (counters.rewritten, counters.verified) == (1, 4)
        assert world.log_records == 0
        assert await world.read() == EXPECTED
        await world.crash()

    async def test_the_second_committer_finds_the_work_done(self, world: World) -> None:
        await world.write(MANY)
        await world.read()
        for partition in world.ingester.holdings.partitions.values():
            await world.ingester._sealing.seal(partition, [info.window for info in partition.head.windows()])
        other = world.join(world.settings)
        await other.start()
        await other.ready()

        await other._storing.store_all()
        await world.caught_up()
        await world.ingester._storing.store_all(at_once=True)
        assert world.held_samples == 0
        assert world.ingester.stats().counters.commits == 0
        assert other.stats().counters.commits == 4
        await other.stop()
        await world.crash()


class TestDivergence:
    async def test_a_generation_the_store_ends_in_is_kept_and_none_overtakes_it(self, world: World) -> None:
        await world.write([series("m", (T, 1.0))])
        await world.write([series("m", (T + 1, 1.0))])
        await world.caught_up()
        [number] = [n for n, head in enumerate(world.heads()) if head.samples]
        window = world.heads()[number].windows()[0]
        assert await world.store.commit(number, [Generation(window.window, 0, window.first_offset + 1, ())])
        for later in (2, 3):
            await world.ingester._sealing.seal(world.ingester.holdings.partitions[number], [window.window])
            await world.write([series("m", (T + later, 1.0))])
            await world.caught_up()
        await world.ingester._storing.store_all(at_once=True)
        stats = world.ingester.stats()
        assert "the store ends inside it" in stats.alarms[f"generation/{number}"]
        assert stats.counters.commits == 0
        assert stats.partitions[number].replay_from == window.first_offset
        assert await world.read() == {labels("m"): [(T + n, "1") for n in range(4)]}
        await world.crash()


class TestFullDisk:
    async def test_refuses_writes_until_there_is_room(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shared.local.log._RESUME_AFTER_S", 0)
        await world.write(MANY[:5])
        world.files.set_room(100)
        async with asyncio.TaskGroup() as writing:
            refused = [writing.create_task(outcome(world.write([entry]))) for entry in MANY[5:10]]
        assert all("make room" in (task.result() or "") for task in refused)
        assert world.log.failure is None  # no restart is needed
        assert "os error 28" in (world.log.refusal or "")
        assert len(await world.read()) == 5  # queries go on
        world.files.set_room(None)
        while await outcome(world.write(MANY[5:])) is not None:
            await a_turn()
        assert world.log.refusal is None
        assert await world.read() == EXPECTED
        again = await world.restarted(world.files.power_cut())
        assert await again.read() == EXPECTED
        await again.ingester.flush()
        assert (again.held_samples, again.log_records) == (0, 0)
        await again.crash()

    @pytest.mark.parametrize("room", [0, 50, 300, 1000, 3000])
    async def test_a_flush_ends_once_there_is_room(
        self, world: World, room: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("shared.local.log._RESUME_AFTER_S", 0)
        monkeypatch.setattr("ingester.service._FIRST_RETRY_S", 0)
        await world.write(MANY)
        world.files.set_room(room)
        flushing = asyncio.create_task(world.ingester.flush())
        while world.ingester.stats().counters.failures == 0 and not flushing.done():
            await a_turn()
        assert not flushing.done()
        assert await world.read() == EXPECTED
        world.files.set_room(None)
        await flushing
        assert (world.held_samples, world.log_records) == (0, 0)
        again = await world.restarted(world.files.power_cut())
        assert await again.read() == EXPECTED
        await again.crash()


async def a_turn() -> None:
    """Lets the loop look at its threads and timers."""
    await asyncio.sleep(0)


async def outcome(write: Awaitable[object]) -> str | None:
    """What a write was refused with."""
    try:
        await write
    except UnavailableError as error:
        return str(error)
    return None


class TestRollback:
    """A store that lost its last commit, as one restored from a copy has."""

    async def lose_last_commit(self, folder: Path) -> World:
        world = await World(Files.real(), folder=str(folder / "data")).start()
        await world.write(MANY[:5])
        await world.ingester.flush()
        await world.write(MANY[5:])
        shutil.copytree(folder / "data" / "store", folder / "copy")
        world.clock.advance(24 * 3600)
        await world.step()
        assert world.held_samples == 0
        await world.store.close()
        shutil.rmtree(folder / "data" / "store")
        shutil.copytree(folder / "copy", folder / "data" / "store")
        world.store = type(world.store).open(world.files, f"{world.folder}/store")
        parts = world.ingester
        for user in (
            parts.holdings,
            parts._storing,
            parts._purge,
            parts._cutter,
            parts._verifier,
            parts._maintenance,
        ):
            user._store = world.store  # type: ignore[attr-defined]
        world.storage = world.new_storage()
        return world

    async def test_is_committed_again_while_the_payload_is_kept(self, tmp_path: Path) -> None:
        world = await self.lose_last_commit(tmp_path)
        with pytest.raises(UnavailableError, match="generation"):
            await world.read()
        await world.ingester._storing.store_all()
        world.clock.advance(61)
        await world.ingester._storing.store_all()
        assert world.ingester.stats().counters.recommits == 4
        assert await world.read() == EXPECTED
        await world.crash()

    async def test_is_rebuilt_from_the_log_otherwise(self, tmp_path: Path) -> None:
        world = await self.lose_last_commit(tmp_path)
        for partition in world.ingester.holdings.partitions.values():
            partition.retained.clear()
        await world.write([series("later", (T, 1.0))])
        await world.ingester.flush()
        assert world.ingester.stats().counters.rebuilds == 4
        await world.ingester.holdings.settled()
        assert await world.read() == EXPECTED | {labels("later"): [(T, "1")]}
        await world.crash()

    async def test_that_the_log_cannot_make_up_for_is_told(self, tmp_path: Path) -> None:
        world = await self.lose_last_commit(tmp_path)
        for partition in world.ingester.holdings.partitions.values():
            partition.retained.clear()
        await world.log.trim(dict.fromkeys(range(4), world.log.committed))
        with pytest.raises(UnavailableError, match="restore a newer copy of the store"):
            await world.ingester._storing.store_all()
        assert "rolled back/0" in world.ingester.stats().alarms
        with pytest.raises(UnavailableError):
            await world.read()
        await world.crash()


class TestHandOver:
    @pytest.mark.parametrize("point", ["cut.put", "commit.done", "cut.committed", "cut.released", "trim.done"])
    async def test_every_sample_is_seen_once_at_any_moment(self, world: World, point: str) -> None:
        loop = asyncio.get_running_loop()
        seen: list[asyncio.Task[object]] = []

        def look(passed: str) -> None:
            if passed == point:
                seen.append(loop.create_task(world.read()))

        await world.write(MANY)
        await world.read()
        faults.install(look)
        await world.ingester.flush()
        faults.install(None)
        assert seen
        for task in seen:
            assert await task == EXPECTED
        await world.crash()

    async def test_a_head_that_lets_go_after_its_answer_has_said_so_or_given_all(self, world: World) -> None:
        await world.write(MANY)
        await world.read()
        client = world.storage._sources.client
        select = client.select
        asked = 0

        async def select_and_flush(*args: Any, **kwargs: Any) -> Any:
            nonlocal asked
            asked += 1
            answers = await select(*args, **kwargs)
            await world.ingester.flush()
            return answers

        client.select = select_and_flush  # type: ignore[method-assign]
        query_result = await world.read()
        assert asked == 1
        assert world.held_samples == 0
        assert query_result == EXPECTED
        await world.crash()


class TestDeletedInstance:
    async def test_nothing_of_it_stays(self, world: World) -> None:
        await world.write(MANY, [(1, "m", "Things.", "")])
        await world.ingester.flush()
        await world.write([series("later", (T, 1.0))])
        await world.read()
        await world.registry.delete(world.tenant)
        await world.ingester.maintain()
        assert world.held_samples == 0
        assert await world.read() == {}
        await world.ingester.flush()
        await world.ingester.maintain()
        assert await world.registry.deleted_uids() == []
        assert [await world.store.metadata(number) for number in range(4)] == [{}, {}, {}, {}]
        world.clock.advance(901)
        await world.ingester.maintain()
        assert world.store._packs.names() == []
        await world.crash()


class TestMaintenance:
    async def look_often(self, world: World) -> None:
        for _ in range(3):
            await world.ingester.maintain()
            world.clock.advance(1000)

    async def test_merging_changes_no_answer(self, world: World) -> None:
        day = T // (24 * HOUR_MS) * 24 * HOUR_MS
        expected: dict[frozenset[tuple[str, str]], list[tuple[int, str]]] = {}
        for round_ in range(5):
            written = []
            for job in range(10):
                times = [day + (round_ * 5 + job + k) * HOUR_MS % (24 * HOUR_MS) for k in range(4)]
                written.append(series("m", *((t, float(round_)) for t in sorted(times)), job=f"j{job}"))
                held = dict(expected.get(labels("m", job=f"j{job}"), []))
                expected[labels("m", job=f"j{job}")] = sorted(({t: str(round_) for t in times} | held).items())
            await world.write(written)
            await world.ingester.flush()
        assert await world.read() == expected
        world.clock.advance(3 * 24 * 3600)
        await world.ingester.maintain()
        assert world.ingester.stats().counters.compactions == 0  # what was merged is looked for again first
        world.clock.advance(61)
        await world.ingester.maintain()
        assert world.ingester.stats().counters.compactions == 4
        blocks = [m for n in range(4) for m in (await world.store.directory(n)).manifests[world.tenant.uid]]
        assert world.ingester.stored_bytes == sum(sum(block.lengths) for block in blocks)
        assert [m.level for m in blocks] == [1, 1, 1, 1]
        assert [p for n in range(4) for p in cursor_problems(await world.store.directory(n), None)] == []
        assert await world.read() == expected
        world.clock.advance(901)
        await world.ingester.maintain()
        assert len(world.store._packs.names()) == 4
        again = await world.restarted()
        assert await again.read() == expected
        await again.crash()

    @pytest.mark.parametrize("point", ["compact.merged", "compact.put", "compact.replaced", "compact.unlinked"])
    async def test_a_failure_is_made_up_for_by_the_next_look(self, world: World, point: str) -> None:
        for n in range(8):
            await world.write([series("m", (T + n, float(n)), (T + 100, float(n)), job="a")])
            await world.ingester.flush()
        before = await world.read()
        assert before == {labels("m", job="a"): [*((T + n, str(n)) for n in range(8)), (T + 100, "0")]}
        faults.arm(f"{point}:fail:1")
        world.clock.advance(1000)
        with pytest.raises(UnavailableError, match=point):
            await self.look_often(world)
        assert await world.read() == before
        await self.look_often(world)
        assert world.ingester.stats().counters.compactions == 1
        assert await world.read() == before
        again = await world.restarted()  # sweeps what a failure left behind
        assert len(again.store._packs.names()) == 1
        assert await again.read() == before
        await again.crash()

    async def test_a_merge_whose_payload_is_gone_is_made_again(self, world: World) -> None:
        for n in range(8):
            await world.write([series("m", (T + n, float(n)), job="a")])
            await world.ingester.flush()
        before = await world.read()
        packs = set(world.store._packs.names())
        await world.ingester.maintain()
        [merged] = set(world.store._packs.names()) - packs
        world.store._packs.remove(merged)
        for lost_merges, compactions in ((1, 0), (1, 1)):
            world.clock.advance(61)
            await world.ingester.maintain()
            counters = world.ingester.stats().counters
            assert (counters.lost_merges, counters.compactions) == (lost_merges, compactions)
            assert await world.read() == before
        world.clock.advance(901)
        await world.ingester.maintain()
        assert len(world.store._packs.names()) == 1
        assert await world.read() == before
        await world.crash()

    async def test_old_blocks_are_dropped(self, world: World) -> None:
        await world.write(MANY)
        await world.ingester.flush()
        world.clock.advance(29 * 24 * 3600)
        await world.ingester.maintain()
        assert await world.read() == EXPECTED
        world.clock.advance(2 * 24 * 3600)
        await world.ingester.maintain()
        assert await world.read() == {}
        await world.crash()


class TestRunning:
    async def test_the_loops_end_when_cancelled(self) -> None:
        world = await World(Files.simulated(1), running=True).start()
        await world.write(MANY)
        assert await world.read() == EXPECTED
        await world.crash()
