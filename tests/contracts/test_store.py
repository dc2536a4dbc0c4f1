"""The contract of `shared.seams.store.BlockStore`."""

import asyncio
from dataclasses import replace

import pytest

from shared import faults
from shared.errors import InternalError, NotFoundError, UnavailableError
from shared.seams.store import (
    ASIDE_BYTES,
    ASIDE_RECORDS,
    Aside,
    BlockStore,
    Manifest,
    Metadata,
    Payload,
    StoredGroups,
    payload_keys,
)
from tests.contracts.harness import StoreHarness
from tests.support.manifests import UID, WINDOW, block, generation, merged

P = 3
OTHER_UID = bytes(16)


async def committed(store: BlockStore, attempt: str, window: int, from_offset: int, to_offset: int) -> Manifest:
    manifest, payload = block(attempt, window, from_offset, to_offset)
    await store.put(P, payload)
    assert await store.commit(P, [generation(manifest)])
    return manifest


class TestPayload:
    async def test_is_read_back_as_written(self, stores: StoreHarness) -> None:
        store = stores.open()
        keys = payload_keys("a1", 3)
        await store.put(P, Payload(keys, (b"root", b"", b"x" * 100_000)))
        assert await store.fetch([keys[2], keys[0], keys[1]]) == [b"x" * 100_000, b"root", b""]
        assert await store.exists([keys[0], "a1/3", "b2/0"]) == [True, False, False]

    async def test_a_large_answer_is_the_same(self, stores: StoreHarness) -> None:
        store = stores.open()
        values = tuple(bytes([n]) * 400_000 for n in range(5))
        keys = payload_keys("a1", 5)
        await store.put(P, Payload(keys, values))
        assert await store.fetch(keys) == list(values)

    async def test_what_is_missing_is_named(self, stores: StoreHarness) -> None:
        store = stores.open()
        _, payload = block("a1", WINDOW, 0, 10)
        await store.put(P, payload)
        with pytest.raises(NotFoundError, match="b2/0"):
            await store.fetch(["a1/0", "b2/0"])

    async def test_a_changed_byte_is_noticed(self, stores: StoreHarness) -> None:
        store = stores.open()
        manifest = await committed(store, "a1", WINDOW, 0, 10)
        stores.damage(manifest.root_key)
        with pytest.raises(InternalError, match="a1/"):
            await store.fetch(manifest.keys)

    async def test_what_was_lost_can_be_put_again(self, stores: StoreHarness) -> None:
        store = stores.open()
        manifest, payload = block("a1", WINDOW, 0, 10)
        await store.put(P, payload)
        assert await store.commit(P, [generation(manifest)])
        stores.lose(manifest.root_key)
        assert not all(await store.exists(manifest.keys))
        await store.put(P, payload)
        assert all(await store.exists(manifest.keys))
        assert await store.fetch(manifest.keys) == [b"root", b"page"]

    async def test_deleted_payload_is_gone(self, stores: StoreHarness) -> None:
        store = stores.open()
        _, payload = block("a1", WINDOW, 0, 10)
        await store.put(P, payload)
        await store.delete(P, payload.keys[:1])
        assert await store.exists(payload.keys) == [False, True]
        await store.delete(P, payload.keys)
        assert await store.exists(payload.keys) == [False, False]
        with pytest.raises(NotFoundError):
            await store.fetch(payload.keys[1:])

    async def test_deleting_twice_is_no_error(self, stores: StoreHarness) -> None:
        store = stores.open()
        _, payload = block("a1", WINDOW, 0, 10)
        await store.put(P, payload)
        for _ in range(2):
            await store.delete(P, payload.keys)
            assert await store.exists(payload.keys) == [False, False]


class TestOrphans:
    async def test_are_what_was_put_and_not_committed(self, stores: StoreHarness) -> None:
        store = stores.open()
        await committed(store, "a1", WINDOW, 0, 10)
        _, orphan = block("b2", WINDOW, 10, 20)
        await store.put(P, orphan)
        assert sorted(await store.orphans(P, age_s=0)) == list(orphan.keys)
        assert await store.orphans(P, age_s=3600) == []
        assert await store.orphans(P + 1, age_s=0) == []
        await store.delete(P, orphan.keys)
        assert await store.orphans(P, age_s=0) == []

    async def test_are_what_was_replaced(self, stores: StoreHarness) -> None:
        store = stores.open()
        a = await committed(store, "a1", WINDOW, 0, 10)
        b = await committed(store, "b2", WINDOW, 10, 20)
        new, payload = merged("c3", [a])
        await store.put(P, payload)
        assert await store.replace(P, [a], [new])
        assert sorted(await store.orphans(P, age_s=0)) == list(a.keys)
        assert await store.replace(P, [b], [])
        assert sorted(await store.orphans(P, age_s=0)) == [*a.keys, *b.keys]
        assert await store.orphans(P, age_s=3600) == []

    async def test_are_not_what_was_put_again(self, stores: StoreHarness) -> None:
        store = stores.open()
        manifest, payload = block("a1", WINDOW, 0, 10)
        await store.put(P, payload)
        assert await store.commit(P, [generation(manifest)])
        await store.put(P, payload)
        assert await store.orphans(P, age_s=0) == []

    async def test_are_not_what_a_replace_has_brought_back(self, stores: StoreHarness) -> None:
        store = stores.open()
        a = await committed(store, "a1", WINDOW, 0, 10)
        new, payload = merged("c3", [a])
        await store.put(P, payload)
        assert await store.replace(P, [a], [new])
        assert await store.replace(P, [new], [a])
        assert sorted(await store.orphans(P, age_s=0)) == list(new.keys)

    async def test_that_were_deleted_can_never_be_committed(self, stores: StoreHarness) -> None:
        store = stores.open()
        manifest, payload = block("a1", WINDOW, 0, 10)
        await store.put(P, payload)
        await store.delete(P, payload.keys)
        with pytest.raises(NotFoundError, match="a1"):
            await store.commit(P, [generation(manifest)])
        assert (await store.directory(P)).generation == 0
        await store.put(P, payload)
        assert await store.commit(P, [generation(manifest)])
        assert await store.fetch(manifest.keys) == [b"root", b"page"]

    async def test_are_found_or_removed_after_a_restart(self, stores: StoreHarness) -> None:
        store = stores.open()
        kept = await committed(store, "a1", WINDOW, 0, 10)
        replaced = await committed(store, "b2", WINDOW, 10, 20)
        assert await store.replace(P, [replaced], [])
        _, orphan = block("c3", WINDOW, 20, 30)
        await store.put(P, orphan)
        await store.close()
        store = stores.open()
        found = await store.orphans(P, age_s=0)
        keys = [*replaced.keys, *orphan.keys]
        assert sorted(found) == [key for key, held in zip(keys, await store.exists(keys), strict=True) if held]
        await store.delete(P, found)
        assert await store.exists([*kept.keys, *keys]) == [True, True, False, False, False, False]


class TestCommit:
    async def test_a_new_partition_is_empty(self, stores: StoreHarness) -> None:
        directory = await stores.open().directory(P)
        assert (directory.generation, directory.replay_from, directory.through, directory.manifests) == (0, 0, {}, {})

    async def test_adds_the_generation_and_survives_a_restart(self, stores: StoreHarness) -> None:
        store = stores.open()
        manifest = await committed(store, "a1", WINDOW, 0, 10)
        before = await store.directory(P)
        assert (before.generation, before.through, before.manifests) == (1, {WINDOW: 10}, {UID: (manifest,)})
        await store.close()
        assert await stores.open().directory(P) == before

    async def test_a_snapshot_does_not_change(self, stores: StoreHarness) -> None:
        store = stores.open()
        first = await committed(store, "a1", WINDOW, 0, 10)
        snapshot = await store.directory(P)
        await committed(store, "b2", WINDOW, 10, 20)
        assert snapshot.manifests == {UID: (first,)}
        assert snapshot.through == {WINDOW: 10}

    async def test_of_two_committers_the_first_wins(self, stores: StoreHarness) -> None:
        store = stores.open()
        first = await committed(store, "a1", WINDOW, 0, 10)
        before = await store.directory(P)
        second, payload = block("b2", WINDOW, 0, 10)
        await store.put(P, payload)
        assert not await store.commit(P, [generation(second)])
        assert await store.directory(P) == before
        await store.delete(P, payload.keys)
        assert await store.fetch(first.keys) == [b"root", b"page"]

    async def test_partitions_and_windows_do_not_touch(self, stores: StoreHarness) -> None:
        store = stores.open()
        await committed(store, "a1", WINDOW, 0, 10)
        manifest, payload = block("b2", 2 * WINDOW, 0, 10)
        await store.put(P, payload)
        assert await store.commit(P, [generation(manifest)])
        other, payload = block("c3", WINDOW, 0, 10)
        await store.put(P + 1, payload)
        assert await store.commit(P + 1, [generation(other)])
        assert (await store.directory(P)).through == {WINDOW: 10, 2 * WINDOW: 10}
        assert (await store.directory(P + 1)).manifests == {UID: (other,)}

    async def test_several_windows_are_all_or_nothing(self, stores: StoreHarness) -> None:
        store = stores.open()
        await committed(store, "a1", WINDOW, 0, 10)
        stale, stale_payload = block("b2", WINDOW, 0, 20)
        fresh, fresh_payload = block("c3", 2 * WINDOW, 0, 20)
        await store.put(P, stale_payload)
        await store.put(P, fresh_payload)
        before = await store.directory(P)
        assert not await store.commit(P, [generation(fresh), generation(stale)])
        assert await store.directory(P) == before
        follower, payload = block("d4", WINDOW, 10, 20)
        await store.put(P, payload)
        assert await store.commit(P, [generation(fresh), generation(follower)])
        after = await store.directory(P)
        assert (after.generation, after.through) == (2, {WINDOW: 20, 2 * WINDOW: 20})

    async def test_blocks_of_many_instances_in_one_payload(self, stores: StoreHarness) -> None:
        store = stores.open()
        mine, _ = block("a1", WINDOW, 0, 10, values=(b"r1", b"p1"))
        theirs, _ = block("a1", WINDOW, 0, 10, uid=OTHER_UID, values=(b"xx", b"xx", b"r2"))
        keys = payload_keys("a1", 3)
        theirs = Manifest(
            **{f: getattr(theirs, f) for f in Manifest.__slots__} | {"root_key": keys[2], "page_keys": ()}
        )
        theirs = Manifest(
            **{f: getattr(theirs, f) for f in Manifest.__slots__} | {"lengths": (2,), "checksums": theirs.checksums[2:]}
        )
        await store.put(P, Payload(keys, (b"r1", b"p1", b"r2")))
        assert await store.commit(P, [generation(mine, theirs)])
        await store.close()
        store = stores.open()
        assert (await store.directory(P)).manifests == {UID: (mine,), OTHER_UID: (theirs,)}
        assert await store.fetch(theirs.keys) == [b"r2"]

    async def test_a_generation_without_blocks_moves_through(self, stores: StoreHarness) -> None:
        store = stores.open()
        manifest, _ = block("a1", WINDOW, 0, 10)
        empty = generation(manifest)
        assert await store.commit(P, [type(empty)(WINDOW, 0, 10, ())])
        directory = await store.directory(P)
        assert (directory.through, directory.manifests) == ({WINDOW: 10}, {})

    @pytest.mark.parametrize("patience", range(12))
    async def test_a_cancelled_committer_leaves_all_or_nothing(self, stores: StoreHarness, patience: int) -> None:
        store = stores.open()
        manifest, payload = block("a1", WINDOW, 0, 10)
        await store.put(P, payload)
        committing = asyncio.create_task(store.commit(P, [generation(manifest)]))
        for _ in range(patience):
            await asyncio.sleep(0)
        committing.cancel()
        await asyncio.wait([committing])
        await store.commit(P, [generation(manifest)])
        before = await store.directory(P)
        assert before.manifests == {UID: (manifest,)}
        assert before.generation == 1
        await committed(store, "b2", WINDOW, 10, 20)
        after = await store.directory(P)
        await store.close()
        assert await stores.open().directory(P) == after

    async def test_payload_comes_first(self, stores: StoreHarness) -> None:
        store = stores.open()
        manifest, _ = block("a1", WINDOW, 0, 10)
        with pytest.raises(NotFoundError, match="a1/0"):
            await store.commit(P, [generation(manifest)])
        assert (await store.directory(P)).generation == 0

    async def test_a_lost_reply_is_settled_by_asking(self, stores: StoreHarness) -> None:
        store = stores.open()
        manifest, payload = block("a1", WINDOW, 0, 10)
        await store.put(P, payload)
        faults.arm("commit.done:fail:1")
        with pytest.raises(UnavailableError):
            await store.commit(P, [generation(manifest)])
        assert (await store.directory(P)).manifests == {UID: (manifest,)}
        assert not await store.commit(P, [generation(manifest)])  # a repetition finds the work done
        assert (await store.directory(P)).generation == 1

    async def test_a_lost_request_can_be_repeated(self, stores: StoreHarness) -> None:
        store = stores.open()
        manifest, payload = block("a1", WINDOW, 0, 10)
        await store.put(P, payload)
        faults.arm("commit.before:fail:1")
        with pytest.raises(UnavailableError):
            await store.commit(P, [generation(manifest)])
        assert (await store.directory(P)).manifests == {}
        assert await store.commit(P, [generation(manifest)])

    async def test_a_store_rolled_back_by_one_commit_is_noticed_and_takes_it_again(self, stores: StoreHarness) -> None:
        store = stores.open()
        await committed(store, "a1", WINDOW, 0, 10)
        await store.close()
        copy = stores.copy()
        store = stores.open()
        lost, payload = block("b2", WINDOW, 10, 20)
        await store.put(P, payload)
        assert await store.commit(P, [generation(lost)])
        seen = await store.directory(P)
        await store.close()
        stores.restore(copy)

        store = stores.open()
        with pytest.raises(UnavailableError, match="generation"):
            await store.directory(P, at_least=seen.generation)
        await store.put(P, payload)
        assert await store.commit(P, [generation(lost)])
        assert await store.directory(P, at_least=seen.generation) == seen


class TestCursor:
    async def test_is_raised_and_never_lowered(self, stores: StoreHarness) -> None:
        store = stores.open()
        await committed(store, "a1", WINDOW, 0, 10)
        await store.advance(P, 7)
        await store.advance(P, 5)
        before = await store.directory(P)
        assert (before.replay_from, before.generation) == (7, 1)
        await store.close()
        assert await stores.open().directory(P) == before


class TestForgetWindows:
    async def test_drops_those_that_are_old_passed_and_empty(self, stores: StoreHarness) -> None:
        store = stores.open()
        a, b, c, d = [await committed(store, f"a{n}", n * WINDOW, 0, 10 * n + 10) for n in range(4)]
        assert await store.forget_windows(P, 100 * WINDOW) == 0  # the cursor has passed none
        await store.advance(P, 30)
        assert await store.forget_windows(P, 100 * WINDOW) == 0  # each has a block
        assert await store.replace(P, [a, b, d], [])
        before = await store.directory(P)
        assert await store.forget_windows(P, WINDOW) == 1
        assert await store.forget_windows(P, 100 * WINDOW) == 1
        after = await store.directory(P)
        assert after.through == {2 * WINDOW: 30, 3 * WINDOW: 40}
        assert (after.generation, after.replay_from, after.manifests) == (before.generation + 2, 30, {UID: (c,)})
        assert await store.forget_windows(P, 100 * WINDOW) == 0
        assert await store.directory(P) == after
        await store.close()
        assert await stores.open().directory(P) == after

    async def test_keeps_those_into_which_a_merged_block_reaches(self, stores: StoreHarness) -> None:
        store = stores.open()
        old = [await committed(store, f"a{n}", n * WINDOW, 0, 10) for n in range(3)]
        new, payload = merged("m", old)
        new = replace(new, max_time=2 * WINDOW - 1)  # of the first two; the third held nothing
        await store.put(P, payload)
        assert await store.replace(P, old, [new])
        await store.advance(P, 10)
        assert await store.forget_windows(P, 100 * WINDOW) == 1
        assert (await store.directory(P)).through == {0: 10, WINDOW: 10}

    async def test_that_were_forgotten_begin_anew(self, stores: StoreHarness) -> None:
        store = stores.open()
        old = await committed(store, "a1", WINDOW, 0, 10)
        await store.advance(P, 20)
        assert await store.replace(P, [old], [])
        assert await store.forget_windows(P, 2 * WINDOW) == 1
        late, payload = block("b2", WINDOW, 10, 30)
        await store.put(P, payload)
        assert not await store.commit(P, [generation(late)])
        late, payload = block("c3", WINDOW, 0, 30)
        await store.put(P, payload)
        assert await store.commit(P, [generation(late)])
        assert (await store.directory(P)).through == {WINDOW: 30}


class TestReplace:
    async def test_the_merged_block_takes_the_first_ones_place(self, stores: StoreHarness) -> None:
        store = stores.open()
        a = await committed(store, "a1", WINDOW, 0, 10)
        b = await committed(store, "b2", WINDOW, 10, 20)
        c = await committed(store, "c3", WINDOW, 20, 30)
        new, payload = merged("d4", [a, b])
        await store.put(P, payload)
        assert await store.replace(P, [a, b], [new])
        directory = await store.directory(P)
        assert directory.manifests == {UID: (new, c)}
        assert (directory.generation, directory.through) == (4, {WINDOW: 30})
        await store.delete(P, [*a.keys, *b.keys])
        await store.close()
        store = stores.open()
        assert await store.directory(P) == directory
        assert await store.exists([*a.keys, *new.keys]) == [False, False, True, True]

    async def test_does_nothing_if_one_no_longer_stands(self, stores: StoreHarness) -> None:
        store = stores.open()
        a = await committed(store, "a1", WINDOW, 0, 10)
        b = await committed(store, "b2", WINDOW, 10, 20)
        assert await store.replace(P, [a], [])
        before = await store.directory(P)
        new, payload = merged("d4", [a, b])
        await store.put(P, payload)
        assert not await store.replace(P, [a, b], [new])
        assert await store.directory(P) == before

    async def test_readers_of_the_old_directory_still_find_its_payload(self, stores: StoreHarness) -> None:
        store = stores.open()
        a = await committed(store, "a1", WINDOW, 0, 10)
        assert await store.replace(P, [a], [])
        assert await store.fetch(a.keys) == [b"root", b"page"]


class TestDirectory:
    async def test_a_stale_one_is_refused(self, stores: StoreHarness) -> None:
        store = stores.open()
        await committed(store, "a1", WINDOW, 0, 10)
        assert (await store.directory(P, at_least=1)).generation == 1
        with pytest.raises(UnavailableError, match="generation 1, 2"):
            await store.directory(P, at_least=2)


class TestMetadata:
    async def test_survives_a_restart(self, stores: StoreHarness) -> None:
        store = stores.open()
        entries = {UID: {"http_requests_total": (1, "Requests.", "")}, OTHER_UID: {"up": (2, "Ünïcode", "s")}}
        assert await store.put_metadata(P, 7, entries) == set()
        await store.put_metadata(P + 1, 9, {UID: {"x": (0, "", "")}})
        await store.close()
        store = stores.open()
        assert await store.metadata(P) == entries

    async def test_is_replaced_and_removed_by_uid(self, stores: StoreHarness) -> None:
        store = stores.open()
        await store.put_metadata(P, 7, {UID: {"a": (1, "A", ""), "b": (1, "B", "")}, OTHER_UID: {"c": (1, "C", "")}})
        await store.put_metadata(P, 7, {UID: {"a": (2, "A2", "")}})
        assert await store.metadata(P) == {UID: {"a": (2, "A2", "")}, OTHER_UID: {"c": (1, "C", "")}}
        await store.put_metadata(P, 7, {UID: {}})
        assert await store.metadata(P) == {OTHER_UID: {"c": (1, "C", "")}}

    async def test_is_not_set_back_by_one_that_lags(self, stores: StoreHarness) -> None:
        """Another zone may be behind, also after a restart; of two instances each has an offset of its own."""
        store = stores.open()
        old: Metadata = {"a": (1, "old", "")}
        new: Metadata = {"a": (1, "new", ""), "b": (1, "", "")}
        assert await store.put_metadata(P, 20, {UID: new}) == set()
        await store.close()
        store = stores.open()
        assert await store.put_metadata(P, 19, {UID: old, OTHER_UID: old}) == {UID}
        assert await store.put_metadata(P + 1, 5, {UID: old}) == set()
        assert await store.metadata(P) == {UID: new, OTHER_UID: old}
        assert await store.put_metadata(P, 20, {UID: old}) == set()
        assert (await store.metadata(P))[UID] == old

    async def test_that_was_removed_leaves_no_offset(self, stores: StoreHarness) -> None:
        store = stores.open()
        await store.put_metadata(P, 20, {UID: {"a": (1, "", "")}})
        assert await store.put_metadata(P, 3, {UID: {}}) == set()
        assert await store.put_metadata(P, 3, {UID: {"b": (1, "", "")}}) == set()
        assert await store.metadata(P) == {UID: {"b": (1, "", "")}}


class TestGroups:
    async def test_are_as_of_an_offset_and_survive_a_restart(self, stores: StoreHarness) -> None:
        store = stores.open()
        assert await store.groups(P) == StoredGroups()
        entries = [(b"k" * 16, b"one"), (b"\xff" * 20, b"two"), (b"l" * 16, b"three")]
        assert await store.put_groups(P, 0, 10, entries) == 10
        assert await store.put_groups(P + 1, 0, 99, [(b"k" * 16, b"elsewhere")]) == 99
        await store.close()
        store = stores.open()
        found = await store.groups(P)
        assert (found.offset, dict(found.entries)) == (10, dict(entries))

    async def test_are_replaced_and_removed_by_later_ones_only(self, stores: StoreHarness) -> None:
        store = stores.open()
        assert await store.put_groups(P, 0, 10, [(b"k" * 16, b"one"), (b"l" * 16, b"two")]) == 10
        assert await store.put_groups(P, 5, 9, [(b"k" * 16, None), (b"m" * 16, b"late")]) == 10
        assert await store.put_groups(P, 11, 20, [(b"k" * 16, None), (b"m" * 16, b"ahead")]) == 10
        assert await store.put_groups(P, 10, 10, [(b"k" * 16, None)]) == 10
        assert await store.put_groups(P, 4, 12, [(b"l" * 16, b"new"), (b"n" * 16, None)]) == 12
        found = await store.groups(P)
        assert (found.offset, dict(found.entries)) == (12, {b"l" * 16: b"new"})


class TestExemplars:
    async def test_snapshots_survive_a_restart_and_are_removed_by_uid(self, stores: StoreHarness) -> None:
        store = stores.open()
        await store.put_exemplars(P, 3, {UID: b"\x00one", OTHER_UID: b"two"})
        await store.put_exemplars(P, 4, {UID: b"newer"})
        await store.put_exemplars(P + 1, 9, {UID: b"elsewhere"})
        await store.close()
        store = stores.open()
        assert await store.exemplars(P) == {UID: b"newer", OTHER_UID: b"two"}
        await store.put_exemplars(P, 4, {UID: b"", OTHER_UID: b"two"})
        assert await store.exemplars(P) == {OTHER_UID: b"two"}
        assert await store.exemplars(P + 2) == {}

    async def test_are_not_set_back_by_one_that_lags(self, stores: StoreHarness) -> None:
        store = stores.open()
        assert await store.put_exemplars(P, 20, {UID: b"new"}) == set()
        assert await store.put_exemplars(P, 19, {UID: b"old", OTHER_UID: b"old"}) == {UID}
        assert await store.exemplars(P) == {UID: b"new", OTHER_UID: b"old"}
        assert await store.put_metadata(P, 1, {UID: {"a": (1, "", "")}}) == set()  # those have offsets of their own
        assert await store.put_exemplars(P, 21, {UID: b"newest"}) == set()
        assert (await store.exemplars(P))[UID] == b"newest"


class TestAside:
    async def test_is_kept_whole_and_survives_a_restart(self, stores: StoreHarness) -> None:
        store = stores.open()
        assert await store.keep_aside(P, 70, b"\x00garbage\xff", "no frame")
        assert await store.keep_aside(P, 9, b"", "empty")
        assert await store.keep_aside(P + 1, 9, b"x", "another partition's")
        await store.close()
        store = stores.open()
        assert await store.aside(P) == [Aside(9, "empty", b""), Aside(70, "no frame", b"\x00garbage\xff")]
        assert await store.aside(P + 2) == []

    async def test_of_one_offset_is_kept_once(self, stores: StoreHarness) -> None:
        store = stores.open()
        assert await store.keep_aside(P, 7, b"first", "zone a")
        assert await store.keep_aside(P, 7, b"first", "zone b")
        assert await store.aside(P) == [Aside(7, "zone a", b"first")]

    async def test_is_bounded_in_bytes(self, stores: StoreHarness) -> None:
        store = stores.open()
        half = bytes(ASIDE_BYTES // 2)
        assert [await store.keep_aside(P, offset, half, "") for offset in range(3)] == [True, True, False]
        assert await store.keep_aside(P, 0, half, "")  # it is kept already
        assert [aside.offset for aside in await store.aside(P)] == [0, 1]

    async def test_is_bounded_in_number(self, stores: StoreHarness) -> None:
        store = stores.open()
        kept = [await store.keep_aside(P, offset, b"x", "") for offset in range(ASIDE_RECORDS + 2)]
        assert kept == [True] * ASIDE_RECORDS + [False] * 2

    async def test_leaves_the_directory_as_it_is(self, stores: StoreHarness) -> None:
        store = stores.open()
        manifest = await committed(store, "a1", WINDOW, 0, 10)
        before = await store.directory(P)
        assert await store.keep_aside(P, 7, b"x", "")
        assert await store.directory(P) == before
        assert await store.fetch(manifest.keys) == [b"root", b"page"]
