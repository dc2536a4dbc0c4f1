"""The registry on a journal, and what can be done with instances."""

import asyncio
from dataclasses import replace

import pytest

from headrace.instances import Instances
from shared.auth.tokens import TokenVault, token_sha256
from shared.clock import SystemClock
from shared.errors import BadDataError, ConflictError, NotFoundError
from shared.local.registry import LocalRegistry
from shared.model.features import Features
from shared.model.instance import Instance, Limits, changed_limits, shards_for
from shared.native import Files

TOKEN = "a-token-that-is-long-enough"
PATH = "/data/registry.journal"


@pytest.fixture
def files() -> Files:
    return Files.simulated(1)


def registry(files: Files, partitions: int = 4) -> LocalRegistry:
    return LocalRegistry.open(files, PATH, partitions=partitions)


def instances(held: LocalRegistry) -> Instances:
    return Instances(held, TokenVault([bytes(32)]), SystemClock(), Limits(), Features())


async def test_an_instance_is_found_by_name_and_token_and_survives_a_power_cut(files: Files) -> None:
    held = registry(files)
    made, token = await instances(held).create("a", TOKEN, {"max_series": "5"})
    assert token == TOKEN
    assert made.limits.max_series == 5
    again = registry(files.power_cut())
    assert await again.by_app_id("a") == made
    assert await again.by_token_sha256(token_sha256(TOKEN)) == made
    assert await again.instances() == [made]
    assert instances(again).token_of(made) == TOKEN
    assert (await again.cluster()).hash_secret == (await held.cluster()).hash_secret


async def test_features_are_switched_by_name(files: Files) -> None:
    service = instances(registry(files))
    made, _ = await service.create("a", features={"experimental_functions": True})
    assert made.features == Features(experimental_functions=True)
    changed = await service.set_features("a", {"experimental_functions": "off", "type_and_unit_labels": "ON"})
    assert changed.features == Features(type_and_unit_labels=True)
    assert await registry(files.power_cut()).by_app_id("a") == changed
    with pytest.raises(BadDataError, match="there is no feature speed; the features are experimental_functions, "):
        await service.set_features("a", {"speed": "on"})
    with pytest.raises(BadDataError, match="type_and_unit_labels must be on or off, not 'perhaps'"):
        await service.set_features("a", {"type_and_unit_labels": "perhaps"})


async def test_partitions_are_fixed_at_creation(files: Files) -> None:
    await registry(files, 4).close()
    assert (await registry(files, 16).cluster()).partitions == 4


async def test_names_and_tokens_are_unique(files: Files) -> None:
    service = instances(registry(files))
    await service.create("a", TOKEN)
    with pytest.raises(ConflictError):
        await service.create("a")
    with pytest.raises(ConflictError):
        await service.create("b", TOKEN)
    await service.create("b")
    with pytest.raises(ConflictError):
        await service.rotate_token("b", TOKEN)


async def test_a_rotated_token_replaces_the_old_one(files: Files) -> None:
    held = registry(files)
    service = instances(held)
    await service.create("a", TOKEN)
    version = held.version
    token = await service.rotate_token("a")
    assert held.version > version
    assert await held.by_token_sha256(token_sha256(TOKEN)) is None
    found = await held.by_token_sha256(token_sha256(token))
    assert found is not None
    assert service.token_of(found) == token
    await service.create("b", TOKEN)  # the old token is free again


async def test_many_may_ask_at_once_that_an_instance_is_there(files: Files) -> None:
    held = registry(files)

    async def process() -> tuple[Instance, bool]:
        return await instances(held).ensure("a", TOKEN)

    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(process()) for _ in range(4)]
    results = [task.result() for task in asked]
    assert len({instance.uid for instance, _ in results}) == 1
    assert [created for _, created in results].count(True) == 1


async def test_what_is_ensured_has_the_token_that_was_given(files: Files) -> None:
    service = instances(registry(files))
    await service.ensure("a", TOKEN)
    kept, created = await service.ensure("a", None)
    assert (service.token_of(kept), created) == (TOKEN, False)
    changed, _ = await service.ensure("a", TOKEN + "2")
    assert service.token_of(changed) == TOKEN + "2"
    with pytest.raises(ConflictError, match="its token is another instance's"):
        await service.ensure("b", TOKEN + "2")


async def test_limits_change_and_partitions_are_only_added(files: Files) -> None:
    service = instances(registry(files))
    await service.create("a")
    grown = await service.set_limits("a", {"max_series": 50_000_000, "max_age_s": "3600"})
    assert (grown.shards, grown.limits.max_age_s) == (4, 3600)
    shrunk = await service.set_limits("a", {"max_series": 10, "max_age_s": None})
    assert (shrunk.shards, shrunk.limits.max_series, shrunk.limits.max_age_s) == (4, 10, None)


async def test_a_deleted_name_comes_back_as_another_uid(files: Files) -> None:
    held = registry(files)
    service = instances(held)
    first, _ = await service.create("a")
    await service.delete("a")
    with pytest.raises(NotFoundError):
        await service.named("a")
    second, _ = await service.create("a")
    assert second.uid != first.uid
    again = registry(files)
    assert await again.deleted_uids() == [first.uid]
    await again.purged(first.uid)
    assert await registry(files).deleted_uids() == []


async def test_of_two_changes_of_one_record_the_second_is_refused(files: Files) -> None:
    held = registry(files)
    made, _ = await instances(held).create("a")
    assert await held.update(made, replace(made, shards=2))
    assert not await held.update(made, replace(made, shards=4))
    assert not await held.delete(made)
    with pytest.raises(ValueError, match="keeps an instance's name"):
        await held.update(made, replace(made, app_id="b"))


@pytest.mark.parametrize("app_id", ["", "with space", "a:b", "a/b", "-a", "x" * 65, "ä"])
async def test_names_that_do_not_fit_in_a_path_or_a_credential(app_id: str, files: Files) -> None:
    with pytest.raises(BadDataError, match="APPID"):
        await instances(registry(files)).create(app_id)


async def test_a_name_is_made_up_if_none_is_given(files: Files) -> None:
    made, token = await instances(registry(files)).create()
    assert made.app_id.isdigit()
    assert len(token) == 43


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nothing": 1}, "there is no limit nothing"),
        ({"max_series": 0}, "max_series must be a whole number above 0"),
        ({"max_series": -1}, "max_series"),
        ({"max_series": 1.5}, "max_series"),
        ({"max_series": True}, "max_series"),
        ({"max_series": "1e3"}, "max_series"),
        ({"max_series": None}, "it cannot be none"),
        ({"max_query_seconds": "nan"}, "max_query_seconds must be a number above 0"),
        ({"max_query_seconds": float("inf")}, "max_query_seconds"),
        ({"max_labels": [1]}, "max_labels"),
    ],
)
def test_limits_are_checked(changes: dict[str, object], message: str) -> None:
    with pytest.raises(BadDataError, match=message):
        changed_limits(Limits(), changes)


def test_shards_are_a_power_of_two_within_the_partitions() -> None:
    assert [shards_for(Limits(max_series=n), 4) for n in (1, 5_000_000, 5_000_001, 15_000_000, 10**9)] == [
        1,
        1,
        2,
        4,
        4,
    ]
    assert shards_for(Limits(max_series=10**9), 3) == 2
