"""The topic that is the log: made, looked at, and told from every other one. On a real broker."""

import re

import pytest

from shared.errors import InternalError
from shared.kafka.settings import KafkaSettings
from shared.kafka.topic import check_identity, prepare
from shared.local.registry import LocalRegistry
from shared.native import Files
from tests.integration.test_kafka_log import until_made
from tests.support.kafka import Kafka, topic_name
from tests.support.kafka_log import Topic

WEEK_MS = 7 * 86400 * 1000


def settings(kafka: Kafka, name: str, *, allowed: bool = True) -> KafkaSettings:
    return KafkaSettings(
        brokers=(kafka.bootstrap,), topic=name, replication=1, min_isr=1, allow_unreplicated_log=allowed
    )


class TestMaking:
    def test_a_topic_that_is_missing_is_made_and_found_good(self, kafka: Kafka) -> None:
        name = topic_name()
        made = prepare(settings(kafka, name), partitions=4)
        assert (made.partitions, made.refusals) == (4, ())
        assert made.identity.startswith(f"{kafka.cluster_id}/")
        # What is less than a log should have is told, with what would mend it.
        assert len(made.notes) == 2
        assert all("kafka.allow_unreplicated_log accepts it" in note for note in made.notes)
        assert prepare(settings(kafka, name), partitions=4) == made

    def test_less_than_three_copies_are_refused_unless_they_are_allowed(self, kafka: Kafka) -> None:
        strict = prepare(settings(kafka, topic_name(), allowed=False), partitions=1)
        replication, in_sync = strict.refusals
        assert "has 1 replica, and needs 3" in replication
        assert "kafka-reassign-partitions.sh --bootstrap-server " in replication
        assert re.search(r"kafka-configs\.sh .* --add-config min\.insync\.replicas=2`", in_sync)
        assert strict.notes == ()

    def test_more_copies_than_brokers_cannot_be_made(self, kafka: Kafka) -> None:
        wanted = KafkaSettings(brokers=(kafka.bootstrap,), topic=topic_name())
        with pytest.raises(InternalError, match=r"with 3 replicas, it has fewer brokers: .*kafka\.replication"):
            prepare(wanted, partitions=1)


class TestLooking:
    @pytest.mark.parametrize(
        ("config", "value", "why"),
        [
            (
                "unclean.leader.election.enable",
                "true",
                "unclean elections.*--add-config unclean.leader.election.enable=false`",
            ),
            ("cleanup.policy", "compact", "cleanup.policy compact.*--add-config cleanup.policy=delete`"),
            ("cleanup.policy", "compact,delete", "cleanup.policy compact,delete"),
            ("retention.ms", "3600000", "for 3600 s, and they are needed for 86400 s.*retention.ms=86400000`"),
            ("max.message.bytes", "100000", "takes 100000 bytes at once.*max.message.bytes=1048576`"),
            ("min.insync.replicas", "2", "has 1 replicas and wants 2.*min.insync.replicas=1`"),
        ],
    )
    def test_what_is_set_wrong_is_named_with_the_command_that_mends_it(
        self, kafka: Kafka, config: str, value: str, why: str
    ) -> None:
        topic = Topic(kafka, partitions=1, configs={"min.insync.replicas": "1", config: value})
        [refusal] = prepare(settings(kafka, topic.name), partitions=1).refusals
        assert f"the topic {topic.name} " in refusal
        assert re.search(why, refusal), refusal

    def test_retention_without_end_and_by_size(self, kafka: Kafka) -> None:
        topic = Topic(kafka, partitions=1, configs={"retention.ms": "-1", "retention.bytes": "1000000"})
        found = prepare(settings(kafka, topic.name), partitions=1)
        assert found.refusals == ()
        assert "removes records above 1000000 bytes a partition" in found.notes[-1]

    def test_the_number_of_partitions_is_the_clusters(self, kafka: Kafka) -> None:
        topic = Topic(kafka, partitions=2)
        [few] = prepare(settings(kafka, topic.name), partitions=4).refusals
        assert f"--alter --topic {topic.name} --partitions 4`" in few
        [many] = prepare(settings(kafka, topic.name), partitions=1).refusals
        assert "has 2 partitions, this cluster was made with 1" in many
        assert "kafka.topic" in many

    def test_how_long_records_are_needed_is_the_callers_to_say(self, kafka: Kafka) -> None:
        topic = Topic(kafka, partitions=1, configs={"retention.ms": "7200000"})
        assert prepare(settings(kafka, topic.name), partitions=1, needed_s=7200).refusals == ()
        assert prepare(settings(kafka, topic.name), partitions=1, needed_s=7201).refusals != ()


class TestIdentity:
    async def test_the_first_topic_is_pinned_and_another_one_is_noticed(self, kafka: Kafka) -> None:
        registry = LocalRegistry.open(Files.simulated(1), "/data/registry.journal", partitions=1)
        topic = Topic(kafka, partitions=1)
        wanted = settings(kafka, topic.name)
        first = prepare(wanted, partitions=1)
        assert await check_identity(registry, first, wanted) is None
        assert await check_identity(registry, first, wanted) is None

        kafka.delete_topics(topic.name)
        await until_made(topic)
        again = prepare(wanted, partitions=1)
        why = await check_identity(registry, again, wanted)
        assert why is not None
        assert "was deleted and made anew" in why
        assert await check_identity(registry, first, wanted) is None, "the pin still stands"

    async def test_another_kafka_is_noticed(self, kafka: Kafka) -> None:
        registry = LocalRegistry.open(Files.simulated(1), "/data/registry.journal", partitions=1)
        await registry.pin("log", "another-kafka/a-topic")
        wanted = settings(kafka, Topic(kafka, partitions=1).name)
        why = await check_identity(registry, prepare(wanted, partitions=1), wanted)
        assert why is not None
        assert (
            f"lead to the Kafka {kafka.cluster_id}, and the log of this cluster lies on the Kafka another-kafka" in why
        )
