"""A zone that has fallen behind takes back nothing of what the other one has stored."""

import pytest

from ingester.service import Ingester
from shared.native import Files, WriteLimits
from shared.seams.store import Metadata
from tests.support import remote_write_v2 as v2
from tests.support.fleet import Fleet
from tests.support.world import HOUR_MS, PARTITIONS

T = 1_700_000_000_000 // (2 * HOUR_MS) * (2 * HOUR_MS)


async def write(fleet: Fleet, number: int) -> None:
    """A sample, an exemplar and a help text of one metric, which all say this number."""
    series = v2.Series(
        {"__name__": "lat"},
        [(T + number, 1.0)],
        metadata=(v2.GAUGE, f"help {number}", ""),
        exemplars=[v2.Exemplar({"trace_id": f"t{number}"}, 1.0, T + number)],
    )
    limits = WriteLimits(max_future_ms=None)
    tenant = fleet.tenant
    batch = fleet.splitter.split(
        v2.body([series]), uid=tenant.uid, shards=tenant.shards, limits=limits, now_ms=T, version=2
    )
    await fleet.log.append(batch, now_ms=T)


async def stored(fleet: Fleet) -> tuple[Metadata, dict[int, bytes]]:
    """Help texts of all partitions, and exemplars by partition."""
    described: Metadata = {}
    exemplars = {}
    for number in range(PARTITIONS):
        for metadata in (await fleet.store.metadata(number)).values():
            described |= metadata
        exemplars[number] = b"".join((await fleet.store.exemplars(number)).values())
    return described, exemplars


def known(ingester: Ingester, uid: bytes) -> int:
    """How many exemplars its heads have had."""
    return sum(partition.head.exemplar_version(uid) for partition in ingester.holdings.partitions.values())


@pytest.mark.parametrize("in_memory", [True, False])
async def test_what_it_stores_late_does_not_set_back_the_store(in_memory: bool) -> None:
    fleet = await Fleet(Files.simulated(1), in_memory=in_memory).start()
    try:
        await fleet.begin("a-0", "b-0")
        ahead, behind = fleet.members["a-0"], fleet.members["b-0"]
        await write(fleet, 1)
        await fleet.caught_up()
        for partition in behind.holdings.partitions.values():
            await behind.holdings.consumer.remove(partition)  # from here on it reads nothing
        await write(fleet, 2)
        await ahead.flush()
        before = await stored(fleet)
        assert before[0] == {"lat": (v2.GAUGE, "help 2", "")}
        cursors = [(await fleet.store.directory(number)).replay_from for number in range(PARTITIONS)]
        assert cursors == [*(await fleet.log.end_offsets(range(PARTITIONS))).values()]

        await behind._storing.store_all(at_once=True)
        assert known(behind, fleet.tenant.uid) == 1
        assert await stored(fleet) == before

        # Both die, and the log is trimmed below the cursors: the store alone knows.
        await fleet.kill("a-0")
        await fleet.kill("b-0")
        await fleet.pass_time(15)
        await fleet.join_as("a-0")
        await fleet.pass_time(10)
        assert known(fleet.members["a-0"], fleet.tenant.uid) == 2
    finally:
        await fleet.crash()
