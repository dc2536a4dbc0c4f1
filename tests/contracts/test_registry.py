"""The contract of `shared.seams.registry.Registry`."""

from dataclasses import replace

from shared.model.features import Features
from shared.model.instance import Instance, Limits
from tests.contracts.harness import PARTITIONS, RegistryHarness

ALICE = Instance(
    "alice",
    bytes(16),
    b"a" * 32,
    b"sealed a",
    shards=2,
    created_ms=5,
    limits=Limits(max_series=7),
    features=Features(delayed_name_removal=True),
)
BOB = Instance("bob", bytes(range(16)), b"b" * 32, b"sealed b")


class TestCluster:
    async def test_facts_are_fixed_at_creation(self, registries: RegistryHarness) -> None:
        registry = await registries.open()
        cluster = await registry.cluster()
        assert cluster.partitions == PARTITIONS
        assert len(cluster.hash_secret) == 16
        await registry.close()
        assert await (await registries.open()).cluster() == cluster

    async def test_a_fact_stands_once_it_is_pinned(self, registries: RegistryHarness) -> None:
        registry = await registries.open()
        assert await registry.pinned("log") is None
        assert await registry.pin("log", "topic a") == "topic a"
        assert await registry.pinned("log") == "topic a"
        assert await registry.pin("log", "topic b") == "topic a"
        assert await registry.pin("other", "ü") == "ü"
        await registry.close()
        registry = await registries.open()
        assert await registry.pin("log", "topic b") == "topic a"


class TestInstances:
    async def test_are_found_by_name_and_by_token(self, registries: RegistryHarness) -> None:
        registry = await registries.open()
        assert await registry.create(BOB)
        assert await registry.create(ALICE)
        assert await registry.instances() == [ALICE, BOB]
        assert registry.size == 2
        assert await registry.by_app_id("alice") == ALICE
        assert await registry.by_token_sha256(b"b" * 32) == BOB
        assert await registry.by_app_id("carol") is None
        assert await registry.by_token_sha256(b"c" * 32) is None

    async def test_survive_a_restart(self, registries: RegistryHarness) -> None:
        registry = await registries.open()
        await registry.create(ALICE)
        await registry.close()
        registry = await registries.open()
        assert await registry.instances() == [ALICE]
        assert await registry.by_token_sha256(ALICE.token_sha256) == ALICE

    async def test_names_and_tokens_are_taken_once(self, registries: RegistryHarness) -> None:
        registry = await registries.open()
        assert await registry.create(ALICE)
        assert not await registry.create(replace(BOB, app_id="alice"))
        assert not await registry.create(replace(BOB, token_sha256=ALICE.token_sha256))
        assert await registry.instances() == [ALICE]

    async def test_of_two_updates_the_first_wins(self, registries: RegistryHarness) -> None:
        registry = await registries.open()
        await registry.create(ALICE)
        first = replace(ALICE, limits=Limits(max_series=8))
        assert await registry.update(ALICE, first)
        assert not await registry.update(ALICE, replace(ALICE, limits=Limits(max_series=9)))
        assert await registry.by_app_id("alice") == first

    async def test_a_new_token_replaces_the_old_one(self, registries: RegistryHarness) -> None:
        registry = await registries.open()
        await registry.create(ALICE)
        rotated = replace(ALICE, token_sha256=b"x" * 32)
        assert await registry.update(ALICE, rotated)
        assert await registry.by_token_sha256(ALICE.token_sha256) is None
        assert await registry.by_token_sha256(b"x" * 32) == rotated

    async def test_every_change_raises_the_version(self, registries: RegistryHarness) -> None:
        registry = await registries.open()
        versions = [registry.version]
        await registry.create(ALICE)
        versions.append(registry.version)
        await registry.update(ALICE, replace(ALICE, shards=4))
        versions.append(registry.version)
        assert versions == sorted(set(versions))


class TestDeletion:
    async def test_leaves_the_uid_until_it_is_purged(self, registries: RegistryHarness) -> None:
        registry = await registries.open()
        await registry.create(ALICE)
        assert await registry.delete(ALICE)
        assert await registry.by_app_id("alice") is None
        assert await registry.by_token_sha256(ALICE.token_sha256) is None
        assert await registry.deleted_uids() == [ALICE.uid]
        await registry.close()
        registry = await registries.open()
        assert await registry.deleted_uids() == [ALICE.uid]
        await registry.purged(ALICE.uid)
        assert await registry.deleted_uids() == []

    async def test_of_an_older_record_does_nothing(self, registries: RegistryHarness) -> None:
        registry = await registries.open()
        await registry.create(ALICE)
        changed = replace(ALICE, shards=4)
        await registry.update(ALICE, changed)
        assert not await registry.delete(ALICE)
        assert await registry.by_app_id("alice") == changed

    async def test_frees_the_name_for_another_uid(self, registries: RegistryHarness) -> None:
        registry = await registries.open()
        await registry.create(ALICE)
        await registry.delete(ALICE)
        again = replace(ALICE, uid=b"n" * 16)
        assert await registry.create(again)
        assert await registry.by_app_id("alice") == again
        assert await registry.deleted_uids() == [ALICE.uid]
