"""Where the log of a cluster begins and ends, for a check of the cursors."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headrace.fsck.report import Report
from headrace.fsck.store import Ends
from shared.kafka.lookups import Lookups
from shared.kafka.settings import KafkaSettings
from shared.kafka.topic import LOG, find, stranger
from shared.seams.registry import Registry


@asynccontextmanager
async def log_ends(settings: KafkaSettings, registry: Registry, report: Report) -> AsyncIterator[Ends | None]:
    """None, with a problem in the report, if this is not the log that the store speaks of. UnavailableError: no broker
    answers. InternalError: Kafka refuses.
    """
    partitions = range((await registry.cluster()).partitions)
    if (problem := await _problem(settings, registry, len(partitions))) is not None:
        report.problems.append(f"log: {problem}; cursors were not compared with it")
        yield None
        return
    lookups = Lookups(settings)
    lookups.start()
    try:
        # A log that is in use loses its oldest records meanwhile, and cursors go on: what was gone before is gone.
        firsts = await lookups.offsets("first", partitions)
        ends = await lookups.offsets("end", partitions)
        held = sum(ends.values()) - sum(firsts.values())
        report.facts.append(f"log: topic {settings.topic} of {len(partitions)} partitions, {held} offsets held")

        async def of(partition: int) -> tuple[int, int]:
            return firsts[partition], (await lookups.offsets("end", [partition]))[partition]

        yield of
    finally:
        await asyncio.to_thread(lookups.close)


async def _problem(settings: KafkaSettings, registry: Registry, partitions: int) -> str | None:
    topic = await asyncio.to_thread(find, settings)
    pinned = await registry.pinned(LOG)
    if topic is None:
        if pinned is None:
            return f"there is no topic {settings.topic} yet, and the store knows of none"
        return (
            f"there is no topic {settings.topic}: what it held and was not yet stored is lost, or kafka.topic is wrong"
        )
    if pinned is None:
        return "the store does not know yet which topic is its log: no role has ever found both"
    if (why := stranger(pinned, topic, settings)) is not None:
        return why
    if topic.partitions != partitions:
        return f"the topic {settings.topic} has {topic.partitions} partitions, the cluster {partitions}"
    return None
