"""What every role of a cluster stands on: Redis, with the registry in it, and Kafka. Waited for in this order."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TypeVar

import structlog

from headrace.core import Core, vault_of
from headrace.front import Front
from headrace.instances import Instances
from headrace.observe import observe_redis
from headrace.roles.distributor import splitter_of
from headrace.roles.place import Place
from headrace.roles.running import OpenError
from headrace.settings import CLUSTER_PARTITIONS, Settings
from headrace.waiting import Waiting
from shared.auth.tokens import TokenVault, open_vault
from shared.errors import HeadraceError
from shared.kafka.log import KafkaLog
from shared.kafka.topic import DAY_S, LOG, Topic, check_identity, prepare
from shared.native import Splitter
from shared.redis.checks import check_servers
from shared.redis.client import Client
from shared.redis.registry import RedisRegistry

T = TypeVar("T")

_REDIS, _KAFKA = "Redis", "Kafka"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ground:
    place: Place
    front: Front
    core: Core
    waiting: Waiting
    redis: Client
    splitter: Splitter
    log: KafkaLog

    @classmethod
    async def open(cls, place: Place, front: Front, opened: AsyncExitStack) -> "Ground":
        """Closed with `opened`. Raises OpenError for what waiting does not mend."""
        settings = front.settings
        waiting = Waiting(front.readiness)
        vault = _vault(settings) if place.role.administers else None
        connection = settings.redis.connection()
        redis = Client(connection)
        opened.push_async_callback(redis.close)
        observe_redis(front.metrics, redis)
        await _mending(waiting, _REDIS, lambda: _check_redis(front, redis))
        registry = await _mending(
            waiting, _REDIS, lambda: RedisRegistry.open(redis, partitions=settings.partitions or CLUSTER_PARTITIONS)
        )
        opened.push_async_callback(registry.close)
        core = await Core.of(front, registry, vault)
        if core.cluster.partitions != (settings.partitions or core.cluster.partitions):
            log.warning("partitions_are_fixed", in_force=core.cluster.partitions, setting=settings.partitions)
        if front.instances is not None:
            await _mending(waiting, _REDIS, lambda: _bootstrap(front.known_instances(), settings))
        splitter = splitter_of(settings, core.cluster)
        kafka = settings.kafka.connection()
        topic = await _mending(waiting, _KAFKA, lambda: _check_topic(front, core))
        kafka_log = await _mending(waiting, _KAFKA, lambda: asyncio.to_thread(KafkaLog, kafka, splitter))
        opened.push_async_callback(kafka_log.close)
        await _mending(waiting, _KAFKA, lambda: _check_identity(core, topic, kafka_log))
        return cls(place, front, core, waiting, redis, splitter, kafka_log)

    async def until_redis(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` returns once Redis is there. Raises OpenError."""
        return await _mending(self.waiting, _REDIS, attempt)


async def _check_redis(front: Front, redis: Client) -> None:
    settings = front.settings.redis
    findings = await check_servers(redis, settings.connection(), allow_unpersisted=settings.allow_unpersisted_store)
    if findings.refusals:
        raise OpenError("\n".join(findings.refusals))
    for note in findings.notes:
        front.readiness.note(note)
        log.warning("redis", note=note)


async def _check_topic(front: Front, core: Core) -> Topic:
    """Makes the topic if it is not there, and looks whether it may be a log."""
    settings = front.settings.kafka.connection()
    needed_s = front.settings.ingester.window_s + front.settings.ingester.grace_s + DAY_S
    topic = await asyncio.to_thread(prepare, settings, partitions=core.cluster.partitions, needed_s=needed_s)
    if topic.refusals:
        raise OpenError("\n".join(topic.refusals))
    for note in topic.notes:
        front.readiness.note(note)
        log.warning("kafka", note=note)
    return topic


async def _check_identity(core: Core, topic: Topic, kafka_log: KafkaLog) -> None:
    """Whether log and store belong together. A store that knows no log yet takes an empty one only: what others have
    written names instances that are not known here.
    """
    registry, settings = core.registry, core.settings.kafka.connection()
    if await registry.pinned(LOG) is None:
        ends = await kafka_log.end_offsets(range(core.cluster.partitions))
        if any(ends.values()) and await registry.pinned(LOG) is None:  # no process of ours was quicker
            raise OpenError(
                f"the topic {settings.topic} holds records, and Redis knows of none: it is the log of another cluster, "
                "or Redis was emptied. Give the Redis that belongs to it, or restore that; for a new cluster name "
                "another topic with kafka.topic"
            )
    if (stranger := await check_identity(registry, topic, settings)) is not None:
        raise OpenError(stranger)


async def _bootstrap(instances: Instances, settings: Settings) -> None:
    if settings.bootstrap_app_id is None:
        return
    token = settings.bootstrap_token.get_secret_value() if settings.bootstrap_token else None
    _, created = await instances.ensure(settings.bootstrap_app_id, token)
    if created:
        log.info("instance_created", app_id=settings.bootstrap_app_id)


def _vault(settings: Settings) -> TokenVault | None:
    """Raises OpenError."""
    if settings.key_file is None:
        return vault_of(settings)
    try:
        return vault_of(settings) or open_vault(settings.key_file, sealed=None)
    except ValueError as error:
        raise OpenError(str(error)) from None


async def _mending(waiting: Waiting, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
    """What `attempt` returns in the end; OpenError for a failure that waiting does not mend."""
    try:
        return await waiting.until(what, attempt)
    except OpenError:
        raise
    except HeadraceError as error:
        raise OpenError(str(error)) from error
