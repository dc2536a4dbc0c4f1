"""Checks what a cluster keeps in Redis, while it runs or not. Nothing is changed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headrace.core import vault_of
from headrace.fsck.report import DAMAGE, CheckError, Report
from headrace.fsck.store import Ends, check_store
from headrace.settings import Settings
from shared.errors import HeadraceError, InternalError
from shared.redis.client import Client, Command
from shared.redis.keys import CLUSTER
from shared.redis.registry import RedisRegistry
from shared.redis.store import RedisStore

_MOST_SHOWN = 20
_OLD_S = 24 * 3600.0  # payload without a name that maintenance should have removed long ago


def check_cluster(settings: Settings) -> Report:
    try:
        return asyncio.run(_check(settings))
    except HeadraceError as error:
        raise CheckError(str(error)) from None


async def _check(settings: Settings) -> Report:
    client = Client(settings.redis.connection())
    try:
        if await client.call(Command.of("GET", CLUSTER)) is None:
            raise CheckError(f"{settings.redis.url} holds no cluster of Headrace: name another Redis with --redis")
        registry = await RedisRegistry.open(client, partitions=0)
        try:
            report = Report()
            await check_registry(registry, settings, report)
            partitions = range((await registry.cluster()).partitions)
            known = {instance.uid for instance in await registry.instances()} | set(await registry.deleted_uids())
            store = RedisStore(client)
            async with _log_ends(settings, registry, report) as ends:
                await check_store(store, partitions, known=known, ends=ends, report=report)
            try:
                await check_strays(store, partitions, report)
            except InternalError as error:  # a directory that cannot be read, which was told above
                report.facts.append(f"payload without a name was not looked for: {error}")
        finally:
            await registry.close()
        return report
    finally:
        await client.close()


@asynccontextmanager
async def _log_ends(settings: Settings, registry: RedisRegistry, report: Report) -> AsyncIterator[Ends | None]:
    if not settings.kafka.brokers:
        report.facts.append("log: cursors were not compared with it, for want of kafka.brokers (--kafka-brokers)")
        yield None
        return
    from headrace.fsck.kafka import log_ends  # a store alone needs no client of Kafka

    async with log_ends(settings.kafka.connection(), registry, report) as ends:
        yield ends


async def check_registry(registry: RedisRegistry, settings: Settings, report: Report) -> None:
    """With a key, whether it opens every token."""
    instances = await registry.instances()
    cluster = await registry.cluster()
    report.facts.append(
        f"registry: cluster {cluster.cluster_id} of {cluster.partitions} partitions, {len(instances)} instances"
    )
    vault = vault_of(settings)
    if vault is None:
        report.facts.append("registry: tokens were not opened, for want of the setting key")
        return
    for instance in instances:
        try:
            vault.unseal(instance.uid, instance.token_sealed)
        except DAMAGE as error:
            report.problems.append(f"registry: instance {instance.app_id}: {error}")


async def check_strays(store: RedisStore, partitions: range, report: Report) -> None:
    """Payload without a name: listed and waiting for maintenance, or found by nobody but us."""
    for partition in partitions:
        waiting = len(await store.orphans(partition, age_s=0))
        if waiting:
            report.facts.append(f"partition {partition}: {waiting} values of payload wait to be removed")
        old = len(await store.orphans(partition, age_s=_OLD_S))
        if old:
            report.problems.append(
                f"partition {partition}: {old} values of payload have had no name for a day: does an ingester own it?"
            )
    strays = await store.strays(partitions)
    report.problems += [f"payload {key}: no manifest names it, and no list" for key in strays[:_MOST_SHOWN]]
    if len(strays) > _MOST_SHOWN:
        report.problems.append(f"payload: {len(strays) - _MOST_SHOWN} more values that no manifest names, and no list")
