"""The cluster that is hurt: three brokers, a Redis with a replica, two zones, and a load that goes on all the while."""

import asyncio
import contextlib
import json
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.load.run import Delivery, Load, Reading, Servers, Verified
from headrace.load.traffic import Tenant, Traffic
from tests.chaos.cluster.network import HOST, ZONE, ZoneNetwork
from tests.support.cluster import Cluster, Place, Role
from tests.support.kafka import Broker, Kafka
from tests.support.redis import RedisServer

if TYPE_CHECKING:
    from concurrent.futures import Future

PARTITIONS = 16
INSTANCES = 2
RECOVERY_S = 180.0
"""Nothing may need longer to be well again. Far more than it takes: the machine is busy."""

SETTINGS = {
    "HEADRACE_PARTITIONS": str(PARTITIONS),
    # Windows of a minute, so that sealing, cutting, comparing and merging happen all the time.
    "HEADRACE_INGESTER__WINDOW_S": "60",
    "HEADRACE_INGESTER__GRACE_S": "5",
    "HEADRACE_KAFKA__DELIVERY_S": "10",
    "HEADRACE_QUERY__TIMEOUT_S": "20",
}


class World:
    """`far` puts zone b behind a network that can be cut. Everything blocks; the load runs in a thread beside."""

    def __init__(self, folder: Path, *, seed: int, far: bool, brokers: int = 3, series: int = 2000) -> None:
        self.dice = random.Random(seed)
        self.network = ZoneNetwork() if far else None
        self._host = HOST if far else "127.0.0.1"
        self.kafka = Kafka(folder / "kafka", brokers=brokers, host=self._host)
        self.redis = RedisServer(folder / "redis-0", host=self._host)
        self.replica = RedisServer(folder / "redis-1")
        self._generation = 1  # of the replicas
        self._folder = folder
        self._traffic = Traffic(
            series=series,
            interval_s=1.0,
            batch=100,
            jitter_ms=3,
            churn=2.0,
            late=0.05,
            twice=0.02,
            altered=0.02,
            seed=seed,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="load", daemon=True)

    def open(self) -> None:
        if self.network is not None:
            self.network.open()
        self.kafka.start()
        self.redis.start()
        self.replica.start()
        self.replica.follow(self.redis)
        places = {} if self.network is None else {"b": Place(ZONE, self.network.inside)}
        self.cluster = Cluster(
            self._folder / "roles",
            self.kafka,
            self.redis,
            distributors=2,
            queriers=2,
            ingesters=2,
            places=places,
            env={
                **SETTINGS,
                "HEADRACE_KAFKA__REPLICATION": str(len(self.kafka.brokers)),
                "HEADRACE_KAFKA__MIN_ISR": str(min(2, len(self.kafka.brokers))),
            },
        )
        self.cluster.start()
        self.cluster.wait_ready(timeout=RECOVERY_S)
        self._thread.start()
        self.load = self._new_load()
        self._running = self._begin()

    def close(self) -> None:
        with contextlib.suppress(AttributeError):
            self.cluster.close()
        self.redis.kill()
        self.replica.kill()
        self.kafka.close()
        if self._thread.is_alive():
            self._running.cancel()
            self._loop.call_soon_threadsafe(self._loop.call_later, 0.5, self._loop.stop)
            self._thread.join()
        self._loop.close()
        if self.network is not None:
            self.network.close()

    # ---- the load ----

    def _new_load(self) -> Load:
        """Two instances with the same names at once: neither may ever see the other's samples."""
        tenants = [self.cluster.fresh() for _ in range(INSTANCES)]
        return Load(
            Servers.parse(
                ",".join(role.base for role in self.cluster.distributors),
                ",".join(role.base for role in self.cluster.queriers),
            ),
            [Tenant(tenant.app_id, tenant.token) for tenant in tenants],
            self._traffic,
            Delivery(senders=8, timeout_s=20.0, drain_s=RECOVERY_S),
            Reading(checks_per_s=6.0, timeout_s=30.0),
        )

    def _begin(self) -> "Future[None]":
        return asyncio.run_coroutine_threadsafe(self.load.run(), self._loop)

    def end(self) -> Verified:
        """Stops writing and reads everything back."""
        self._loop.call_soon_threadsafe(self.load.stop)
        self._running.result(RECOVERY_S * 2)
        verifying = asyncio.run_coroutine_threadsafe(self.load.verify(patience_s=RECOVERY_S), self._loop)
        return verifying.result()

    def seen(self) -> str:
        """What the load has met with, for the message of a failure."""
        load, now_s = self.load, time.monotonic()
        return json.dumps(
            {
                "acknowledged": load.writes.requests,
                "write_failures": load.writes.failures.summary(),
                "checks": load.checks.summary(now_s),
            },
            indent=1,
        )

    # ---- waiting ----

    def pause(self, shortest: float, longest: float) -> None:
        """Lets the load go on for a while."""
        time.sleep(self.dice.uniform(shortest, longest))

    def until(self, holds: Callable[[], bool], what: str, *, timeout: float = RECOVERY_S) -> None:
        end = time.monotonic() + timeout
        while not holds():
            assert not self._running.done(), f"the load has ended: {self._running.exception()}"
            assert time.monotonic() < end, f"not in {timeout:.0f} s: {what}\n{self.cluster.output()}\n{self.seen()}"
            time.sleep(0.1)

    def until_answered(self, answers: int = 5) -> None:
        """Questions are answered: right ones, since wrong ones are counted by the judge."""
        target = self.load.checks.answers + answers
        self.until(lambda: self.load.checks.answers >= target, "questions are answered")

    def until_written(self, requests: int = 20) -> None:
        target = self.load.writes.requests + requests
        self.until(lambda: self.load.writes.requests >= target, "writes are acknowledged")

    def until_well(self) -> None:
        """Every process is ready, writes are acknowledged and questions answered, without anybody's help."""
        self.cluster.wait_ready(timeout=RECOVERY_S)
        self.until_written()
        self.until_answered()

    # ---- whom to hurt ----

    def any(self, role: str) -> Role:
        return self.dice.choice([process for process in self.cluster.roles if process.role == role])

    def leader(self) -> Broker:
        """The broker that leads a partition, any one."""
        with self.kafka.admin() as admin:
            [topic] = admin.describe_topics([self.cluster.topic])
        number = self.dice.choice(topic["partitions"])["leader_id"]
        return next(broker for broker in self.kafka.brokers if broker.number == number)

    @contextlib.contextmanager
    def stopped(self, process: Role | Broker | RedisServer) -> Iterator[None]:
        process.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.signal(signal.SIGCONT)

    def fail_over(self) -> None:
        """The replica, as it is, takes the leader's place and address; a new replica follows it."""
        self.redis.kill()
        self.replica.stop()
        self.redis = RedisServer(self.replica.folder, port=self.redis.port, host=self._host)
        self.redis.start()
        self._generation += 1
        self.replica = RedisServer(self._folder / f"redis-{self._generation}")
        self.replica.start()
        self.replica.follow(self.redis)
