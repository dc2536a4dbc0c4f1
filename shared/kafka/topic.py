"""The topic: made if it is missing, looked at when a process starts.

Every wish comes with the command that fulfils it. kafka-python's calls block, so all of this runs in a thread.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog
from kafka.admin import ConfigFilterType, ConfigResource, ConfigResourceType
from kafka.errors import (
    InvalidReplicationFactorError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from shared.errors import InternalError
from shared.kafka import clients
from shared.kafka.failures import reason, unavailable
from shared.kafka.settings import KafkaSettings
from shared.seams.registry import Registry

log = structlog.get_logger(__name__)

_COPIES = 3
_IN_SYNC = 2
_MESSAGE_BYTES = 1 << 20
"""Room for a batch of `clients.BATCH_BYTES` with its headers."""

DAY_S = 86400

LOG = "log"
"""The fact of a cluster that holds its topic's identity."""


@dataclass(frozen=True, slots=True)
class Topic:
    """`identity` tells this topic of this Kafka from every other one, also from one of its name that is made later.

    `refusals` are reasons not to start, each with what mends it; `notes` what an operator should know.
    """

    identity: str
    partitions: int
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def prepare(settings: KafkaSettings, *, partitions: int, needed_s: int = DAY_S) -> Topic:
    """Makes the topic with so many partitions if it is not there, and looks at it. Blocks.

    `needed_s` is how long records are needed at least: a window, what it waits to be stored, and the longest outage.
    UnavailableError: no broker answers. InternalError: the topic cannot be made.
    """
    admin = clients.admin(settings)
    try:
        with _translated():
            cluster_id = admin.describe_cluster()["cluster_id"]
            described = _describe(admin, settings.topic) or _make(admin, settings, partitions)
            configs = _configs(admin, settings.topic)
    finally:
        admin.close()
    look = _Look(settings, described["partitions"], configs, partitions, needed_s)
    return replace(_topic(cluster_id, described), refusals=tuple(look.refusals()), notes=tuple(look.notes()))


def _topic(cluster_id: str, described: dict[str, Any]) -> Topic:
    return Topic(f"{cluster_id}/{described['topic_id']}", len(described["partitions"]))


def find(settings: KafkaSettings) -> Topic | None:
    """The topic as it is, without a look at what it should be; None: there is none of that name. Blocks. Errors as of
    `prepare`.
    """
    admin = clients.admin(settings)
    try:
        with _translated():
            cluster_id = admin.describe_cluster()["cluster_id"]
            described = _describe(admin, settings.topic)
    finally:
        admin.close()
    return None if described is None else _topic(cluster_id, described)


async def check_identity(registry: Registry, topic: Topic, settings: KafkaSettings) -> str | None:
    """None, or why this is not the log that the store's cursors speak of. The first topic that comes is pinned."""
    return stranger(await registry.pin(LOG, topic.identity), topic, settings)


def stranger(pinned: str, topic: Topic, settings: KafkaSettings) -> str | None:
    """None, or why `topic` is not the one that was pinned."""
    if pinned == topic.identity:
        return None
    kafka, _, topic_id = pinned.partition("/")
    here, _, _ = topic.identity.partition("/")
    if kafka != here:
        return (
            f"kafka.brokers lead to the Kafka {here}, and the log of this cluster lies on the Kafka {kafka}: give its "
            "brokers, or a Redis that is empty"
        )
    return (
        f"the topic {settings.topic} is not the one that was the log of this cluster (its id was {topic_id}): it was "
        "deleted and made anew, or kafka.topic was changed. What the old one held and was not yet stored is lost; to "
        "go on, begin with an empty Redis, or give the topic that it belongs to"
    )


def _describe(admin: Any, topic: str) -> dict[str, Any] | None:
    [described] = admin.describe_topics([topic])
    if described["error_code"] == UnknownTopicOrPartitionError.errno:
        return None
    if described["error_code"] == TopicAuthorizationFailedError.errno:
        raise InternalError(f"Kafka does not let this user describe the topic {topic}: grant it Describe, Read, Write")
    found: dict[str, Any] = described
    return found


def _make(admin: Any, settings: KafkaSettings, partitions: int) -> dict[str, Any]:
    configs = {
        "cleanup.policy": "delete",
        "max.message.bytes": str(_MESSAGE_BYTES + 512),
        "min.insync.replicas": str(settings.min_isr),
        "retention.bytes": "-1",
        "retention.ms": str(settings.retention_s * 1000),
        "unclean.leader.election.enable": "false",
    }
    wanted = {"num_partitions": partitions, "replication_factor": settings.replication, "configs": configs}
    try:
        with contextlib.suppress(TopicAlreadyExistsError):  # another process was quicker
            admin.create_topics({settings.topic: wanted})
            log.info("topic_made", topic=settings.topic, partitions=partitions, replication=settings.replication)
    except InvalidReplicationFactorError as error:
        raise InternalError(
            f"Kafka cannot make the topic {settings.topic} with {settings.replication} replicas, it has fewer brokers: "
            "start more, or for a trial set kafka.replication and kafka.min_isr to 1 and kafka.allow_unreplicated_log"
        ) from error
    admin.wait_for_topics([settings.topic], timeout_ms=settings.connect_s * 1000)
    described = _describe(admin, settings.topic)
    if described is None:
        raise InternalError(f"the topic {settings.topic} was made and is gone again")
    return described


def _configs(admin: Any, topic: str) -> dict[str, str]:
    """Empty if this user may not see them."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    described = admin.describe_configs([resource], config_filter=ConfigFilterType.ALL)
    configs: Mapping[str, Any] = described.get("topic", {}).get(topic, {})
    return {name: str(config["value"]) for name, config in configs.items()}


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except KafkaError as error:
        if error.retriable:
            raise unavailable(error) from error
        raise InternalError(f"Kafka refuses: {reason(error)}") from error


@dataclass(frozen=True, slots=True)
class _Look:
    settings: KafkaSettings
    described: list[dict[str, Any]]
    configs: Mapping[str, str]
    partitions: int
    needed_s: int

    def refusals(self) -> Iterator[str]:
        yield from self._partition_count()
        if not self.settings.allow_unreplicated_log:
            for refusal in self._replication():
                yield f"{refusal}. Or accept that with kafka.allow_unreplicated_log"
        if 0 < self.copies < self._number("min.insync.replicas", 1):
            yield (
                f"{self._name} has {self.copies} replicas and wants {self.configs['min.insync.replicas']} of them in "
                f"sync, so that nothing can be written. {self._mended_by(f'min.insync.replicas={self.copies}')}"
            )
        if self.configs.get("unclean.leader.election.enable") == "true":
            yield (
                f"{self._name} allows unclean elections, which take acknowledged records away. "
                f"{self._mended_by('unclean.leader.election.enable=false')}"
            )
        policy = self.configs.get("cleanup.policy", "delete")
        if policy != "delete":
            yield (
                f"{self._name} has the cleanup.policy {policy}, which removes records that were not stored yet. "
                f"{self._mended_by('cleanup.policy=delete')}"
            )
        kept_ms = self._number("retention.ms", -1)
        if 0 <= kept_ms < self.needed_s * 1000:
            yield (
                f"{self._name} keeps records for {kept_ms // 1000} s, and they are needed for {self.needed_s} s: what "
                f"is not stored by then would be lost. {self._mended_by(f'retention.ms={self.needed_s * 1000}')}"
            )
        if self._number("max.message.bytes", _MESSAGE_BYTES) < _MESSAGE_BYTES:
            yield (
                f"{self._name} takes {self.configs['max.message.bytes']} bytes at once, and a full batch has up to "
                f"{_MESSAGE_BYTES}. {self._mended_by(f'max.message.bytes={_MESSAGE_BYTES}')}"
            )

    def notes(self) -> Iterator[str]:
        if self.settings.allow_unreplicated_log:
            for refusal in self._replication():
                yield f"{refusal} (kafka.allow_unreplicated_log accepts it)"
        if not self.configs:
            yield (
                f"{self._name}: this user may not see its configuration (DescribeConfigs), so this could not be "
                "checked: min.insync.replicas, unclean.leader.election.enable, cleanup.policy, retention.ms"
            )
        if self._number("retention.bytes", -1) >= 0:
            yield (
                f"{self._name} removes records above {self.configs['retention.bytes']} bytes a partition, however "
                f"young they are. {self._mended_by('retention.bytes=-1')}"
            )

    @property
    def copies(self) -> int:
        """Of the partition that has the fewest."""
        return min((len(partition["replica_nodes"]) for partition in self.described), default=0)

    def _partition_count(self) -> Iterator[str]:
        found = len(self.described)
        if found < self.partitions:
            yield (
                f"{self._name} has {found} partitions, this cluster was made with {self.partitions}. Mend it with "
                f"`kafka-topics.sh {self._bootstrap} --alter --topic {self.settings.topic} "
                f"--partitions {self.partitions}`"
            )
        if found > self.partitions:
            yield (
                f"{self._name} has {found} partitions, this cluster was made with {self.partitions}: they cannot be "
                "taken away, so give another topic (kafka.topic)"
            )

    def _replication(self) -> Iterator[str]:
        if self.copies < _COPIES:
            yield (
                f"{self._name} has {self.copies} {'replica' if self.copies == 1 else 'replicas'}, and needs {_COPIES} "
                "so that no dead disk loses acknowledged samples. Mend it with `kafka-reassign-partitions.sh "
                f"{self._bootstrap}`, or delete the topic while it is empty and let it be made with kafka.replication"
            )
        if self._number("min.insync.replicas", _IN_SYNC) < _IN_SYNC:
            yield (
                f"{self._name} acknowledges what only {self.configs['min.insync.replicas']} replica has. "
                f"{self._mended_by(f'min.insync.replicas={_IN_SYNC}')}"
            )

    @property
    def _name(self) -> str:
        return f"the topic {self.settings.topic}"

    @property
    def _bootstrap(self) -> str:
        return f"--bootstrap-server {','.join(self.settings.brokers)}"

    def _mended_by(self, config: str) -> str:
        return (
            f"Mend it with `kafka-configs.sh {self._bootstrap} --alter --entity-type topics "
            f"--entity-name {self.settings.topic} --add-config {config}`"
        )

    def _number(self, config: str, default: int) -> int:
        try:
            return int(self.configs[config])
        except (KeyError, ValueError):
            return default
