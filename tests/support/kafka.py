"""Kafka brokers as processes: one or three, each broker and controller in one, on free ports with a folder of its own.

A start costs two seconds. Tests that do nothing worse to a broker than to stop it with SIGSTOP for a while share the
one of the session (the fixture `kafka`), each with topics of its own; those that kill start their own cluster.
"""

import base64
import contextlib
import itertools
import os
import secrets
import shutil
import signal
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.processes import Process, free_port
from tests.support.tools import ROOT

JARS = ROOT / ".tools" / "kafka" / "jars"
USER, PASSWORD = "headrace", "kafka-password-of-tests"

_STARTED = "Kafka Server started"
_START_S = 60.0

# The first compiler only: a broker of a test does not live long enough for the second to pay.
_JVM = ["-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
_LOGGING = [
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server=info",  # among it, that it has started
]

_numbers = itertools.count()


def java() -> str:
    """The path of a Java that can run the broker; without broker or Java the test is skipped, in CI it fails."""
    found = shutil.which("java")
    if found is not None and JARS.is_dir():
        return found
    message = "no Kafka broker here: run scripts/kafka.sh"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def topic_name() -> str:
    """One that no other test uses, nor an earlier run on the same cluster."""
    return f"headrace-{next(_numbers)}-{secrets.token_hex(4)}"


def _id() -> str:
    """As Kafka spells uuids."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


class Broker(Process):
    """Node `number` of a cluster, from 1."""

    def __init__(self, number: int, folder: Path, host: str) -> None:
        super().__init__([], folder)
        self.number = number
        self.host = host
        self.port = free_port()
        self.secure_port = free_port()
        self.controller_port = free_port()
        self._started = 0  # how often

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def secure_address(self) -> str:
        """TLS with the certificates of the cluster, then SASL PLAIN with `USER` and `PASSWORD`."""
        return f"localhost:{self.secure_port}"

    @property
    def controller_address(self) -> str:
        return f"{self.number}@127.0.0.1:{self.controller_port}"

    def prepare(self, cluster_id: str, settings: Mapping[str, str]) -> None:
        """Formats the data folder as kafka-storage.sh would, without the second that a Java of its own takes."""
        data = self.folder / "data"
        data.mkdir(parents=True)
        identity = {"version": "1", "cluster.id": cluster_id, "node.id": str(self.number), "directory.id": _id()}
        (data / "meta.properties").write_text(_properties(identity))
        (self.folder / "server.properties").write_text(
            _properties({"node.id": str(self.number), "log.dirs": str(data), **settings})
        )
        self.argv = [
            java(),
            *_JVM,
            *_LOGGING,
            "-cp",
            f"{JARS}/*",
            "kafka.Kafka",
            str(self.folder / "server.properties"),
        ]

    def start(self) -> None:
        super().start()
        self._started += 1

    def wait_started(self, *, timeout: float = _START_S) -> None:
        assert self.child is not None
        end = time.monotonic() + timeout
        while self.output().count(_STARTED) < self._started:
            assert self.child.poll() is None, f"the broker ended:\n{self.output()[-4000:]}"
            assert time.monotonic() < end, f"the broker did not start in {timeout} s:\n{self.output()[-4000:]}"
            time.sleep(0.03)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """SIGSTOP: connections stay, nothing answers. SIGCONT at the end."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)


class Kafka:
    """A cluster. `settings` are added to those of every broker; `host` is what it listens on for clients."""

    def __init__(
        self, folder: Path, *, brokers: int = 1, settings: Mapping[str, str] | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.cluster_id = _id()
        self.brokers = [Broker(number + 1, folder / f"broker-{number + 1}", host) for number in range(brokers)]
        self.certificates = Certificates(folder / "certificates")
        for broker in self.brokers:
            broker.prepare(self.cluster_id, {**self._settings(broker), **(settings or {})})

    @property
    def bootstrap(self) -> str:
        """Addresses as clients and our settings take them."""
        return ",".join(broker.address for broker in self.brokers)

    @property
    def secure_bootstrap(self) -> str:
        return ",".join(broker.secure_address for broker in self.brokers)

    def start(self) -> None:
        """Returns when every broker has started."""
        for broker in self.brokers:
            broker.start()
        for broker in self.brokers:
            broker.wait_started()

    def close(self) -> None:
        """Brokers of tests hold nothing worth a clean end."""
        for broker in self.brokers:
            broker.kill()

    @contextlib.contextmanager
    def admin(self) -> Iterator[Any]:
        """A `kafka.KafkaAdminClient`."""
        from kafka import KafkaAdminClient  # half a second, which only those who use it pay

        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            yield admin
        finally:
            admin.close()

    def create_topic(
        self, name: str, *, partitions: int = 1, replicas: int = 1, configs: Mapping[str, str] | None = None
    ) -> None:
        topic: dict[str, Any] = {"num_partitions": partitions, "replication_factor": replicas}
        with self.admin() as admin:
            admin.create_topics({name: {**topic, "configs": dict(configs or {})}})
            admin.wait_for_topics([name])

    def delete_topics(self, *names: str) -> None:
        with self.admin() as admin:
            admin.delete_topics(list(names))

    def _settings(self, broker: Broker) -> dict[str, str]:
        replicas = str(min(len(self.brokers), 3))
        return {
            "process.roles": "broker,controller",
            "controller.quorum.voters": ",".join(other.controller_address for other in self.brokers),
            "controller.listener.names": "CONTROLLER",
            "listeners": ",".join(
                [
                    f"PLAINTEXT://{broker.address}",
                    f"SECURE://{broker.secure_address}",
                    f"CONTROLLER://127.0.0.1:{broker.controller_port}",
                ]
            ),
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.certificates.bundle),
            "listener.name.secure.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.secure.plain.sasl.jaas.config": (
                "org.apache.kafka.common.security.plain.PlainLoginModule required "
                f'username="{USER}" password="{PASSWORD}" user_{USER}="{PASSWORD}";'
            ),
            "auto.create.topics.enable": "false",
            "offsets.topic.num.partitions": "1",
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.num.partitions": "1",
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "num.network.threads": "2",
            "num.io.threads": "2",
            "num.recovery.threads.per.data.dir": "1",
            "log.cleaner.dedupe.buffer.size": str(4 << 20),
            # A broker that is gone is noticed in seconds, one that a busy machine holds up is not.
            "broker.heartbeat.interval.ms": "1000",
            "broker.session.timeout.ms": "6000",
            "replica.lag.time.max.ms": "10000",
        }


def _properties(values: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())


def tail_of(brokers: Sequence[Broker], *, chars: int = 2000) -> str:
    """The ends of what the brokers said, for the message of a failure."""
    return "\n".join(f"broker {broker.number}:\n{broker.output()[-chars:]}" for broker in brokers)
