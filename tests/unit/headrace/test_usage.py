"""What instances use, counted over heads and directories."""

from collections.abc import Sequence

import pytest
import pytest_asyncio

from headrace.cli import usage_table
from headrace.usage import MAX_SHOWN, InstanceFigures, Usages, counted_in
from shared.errors import UnavailableError
from shared.model.counts import Counted, Counts
from shared.native import Files
from shared.telemetry.catalogue import Catalogue
from tests.support.world import PARTITIONS, World, instance, series


@pytest_asyncio.fixture
async def world() -> World:
    return await World(Files.simulated(1), running=True).start()


def usages_of(world: World) -> Usages:
    return Usages(counted_in(world.ingester.holdings), world.store, world.splitter.partitions_of, world.clock)


async def test_series_and_rates_are_of_the_heads_and_bytes_of_the_store(world: World) -> None:
    usages, other = usages_of(world), instance("other")
    assert [
        (u.active_series, u.samples_per_second, u.stored_bytes) for u in await usages.of([world.tenant, other])
    ] == [
        (0, 0, 0),
        (0, 0, 0),
    ]
    now_ms = world.clock.now_ms()
    await world.write([series("m", *((now_ms + t, 1.0) for t in range(6)), job=f"j{n}") for n in range(100)])
    await world.caught_up()
    [used] = await usages.of([world.tenant])
    assert (used.active_series, used.stored_bytes) == (100, 0)
    assert 600 / 66 < used.samples_per_second <= 10
    await world.ingester.flush()
    [nothing, used] = await usages.of([other, world.tenant])
    assert (nothing.active_series, nothing.samples_per_second, nothing.stored_bytes) == (0, 0, 0)
    assert used.active_series == 0
    blocks = [m for n in range(PARTITIONS) for m in (await world.store.directory(n)).manifests[world.tenant.uid]]
    assert used.stored_bytes == sum(sum(block.lengths) for block in blocks)
    world.clock.advance(120)
    [used] = await usages.of([world.tenant])
    assert used.samples_per_second == 0
    await world.crash()


async def test_a_partition_that_nobody_answers_for_is_named(world: World) -> None:
    async def count(uids: Sequence[bytes], _: int) -> Counts:
        return Counts(dict.fromkeys(uids, Counted()), {0, 1, 3})

    usages = Usages(count, world.store, world.splitter.partitions_of, world.clock)
    with pytest.raises(UnavailableError, match="no ingester answers for partition 2, so its series"):
        await usages.of([world.tenant])
    await world.crash()


async def test_metrics_are_of_the_largest_instances(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_SHOWN == 100
    monkeypatch.setattr("headrace.usage.MAX_SHOWN", 2)
    tenants = [instance(f"t{n}") for n in range(4)]
    for tenant in tenants:
        await world.registry.create(tenant)
    metrics = Catalogue()
    figures = InstanceFigures(world.ingester, world.registry, world.clock)
    figures.observed_by(metrics)
    assert list(metrics.instance_series.points()) == []
    now_ms = world.clock.now_ms()
    for count, tenant in enumerate(tenants):
        world.tenant = tenant
        await world.write([series("m", (now_ms, 1.0), job=f"j{n}") for n in range(count * 10)])
    await world.caught_up()
    await figures.look()
    points = {labels[0][1]: value for _, labels, value in metrics.instance_series.points()}
    assert points == {"t3": 30, "t2": 20}
    assert {labels[0][1] for _, labels, value in metrics.instance_rate.points() if value > 0} == {"t3", "t2"}
    await world.ingester.flush()
    await world.ingester.maintain()
    await figures.look()
    stored = {labels[0][1]: value for _, labels, value in metrics.instance_stored_bytes.points()}
    assert stored["t3"] > 0
    await world.crash()


def test_the_table_is_aligned() -> None:
    rows = [
        {"app_id": "a", "active_series": 5, "samples_per_second": 0.25, "stored_bytes": 10},
        {"app_id": "longer", "active_series": 123456, "samples_per_second": 1000, "stored_bytes": 1},
    ]
    assert usage_table(rows).splitlines() == [
        "APPID   SERIES  SAMPLES/S  STORED BYTES",
        "a            5        0.2            10",
        "longer  123456     1000.0             1",
    ]
