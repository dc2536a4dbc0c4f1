"""A whole cluster as processes: Kafka, Redis, and as many of each role as a test wants, behind one address.

Tests that leave it as they found it, restarts included, share the one of the session (the fixture `cluster`), each with
an instance of its own. Start it from the main thread: the kernel then ends its processes with the test session.
"""

import contextlib
import json
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.gateway import Gateway
from tests.support.kafka import Kafka, topic_name
from tests.support.processes import ADMIN_TOKEN, APP_ID, TOKEN, Answer, Api, Process, fetch, free_port, metric_of
from tests.support.redis import RedisCluster, RedisServer

SECRET = "cluster-secret-of-tests-0123456789"
KEY = "5e" * 32

UNREPLICATED = {
    "HEADRACE_KAFKA__REPLICATION": "1",
    "HEADRACE_KAFKA__MIN_ISR": "1",
    "HEADRACE_KAFKA__ALLOW_UNREPLICATED_LOG": "true",
}
"""What a Kafka of one broker takes."""

START_S = 60.0

CHANGE_S = 5.0
"""How long a change of an instance may take until it holds everywhere."""


@dataclass(frozen=True)
class Place:
    """Where processes run: the address that they listen on, and the command that runs a command there."""

    host: str = "127.0.0.1"
    inside: Callable[[Sequence[str]], list[str]] = list


class Role(Process):
    """One process of the cluster."""

    def __init__(
        self, role: str, name: str, folder: Path, env: Mapping[str, str], *arguments: str, place: Place | None = None
    ) -> None:
        self.role = role
        self.name = name
        self.port = free_port()
        self.place = place or Place()
        argv = [sys.executable, "-m", "headrace", role, "--listen", f"{self.place.host}:{self.port}", "--name", name]
        super().__init__(self.place.inside([*argv, *arguments]), folder / name, env)

    @property
    def base(self) -> str:
        return f"http://{self.place.host}:{self.port}"

    @property
    def is_running(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def metric(self, name: str) -> float:
        """The sum of its points."""
        return metric_of(self.base, name)

    def missing(self) -> str | None:
        """What `/ready` says it lacks."""
        try:
            answer = fetch(self.base + "/ready", timeout=5)
        except OSError as error:
            return str(error)
        return None if answer.status == 200 else str(answer.json()["missing"])

    def wait_ready(self, *, timeout: float = START_S) -> None:
        self.wait_until(self.base + "/ready", timeout=timeout)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """SIGSTOP: connections stay, nothing answers. SIGCONT at the end."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)


class Cluster(Api):
    """`env` are settings of every process. Kafka and Redis are the caller's, to stop and to start."""

    def __init__(
        self,
        folder: Path,
        kafka: Kafka,
        redis: RedisServer | RedisCluster,
        *,
        distributors: int = 1,
        queriers: int = 1,
        zones: Sequence[str] = ("a", "b"),
        ingesters: int = 1,
        places: Mapping[str, Place] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """`ingesters` are those of each zone; `places` are of zones."""
        self.folder = folder
        self._places = dict(places or {})
        self.topic = topic_name()
        self.env = {
            "HEADRACE_KAFKA__BROKERS": kafka.bootstrap,
            "HEADRACE_KAFKA__TOPIC": self.topic,
            "HEADRACE_REDIS__URL": redis.url,
            "HEADRACE_CLUSTER_SECRET": SECRET,
            "HEADRACE_KEY": KEY,
            "HEADRACE_ADMIN_TOKEN": ADMIN_TOKEN,
            "HEADRACE_BOOTSTRAP_APP_ID": APP_ID,
            "HEADRACE_BOOTSTRAP_TOKEN": TOKEN,
            "HEADRACE_LOGGING__FORMAT": "json",
            **(UNREPLICATED if len(kafka.brokers) < 3 else {}),
            **(env or {}),
        }
        self.distributors = [self.new("distributor", f"distributor-{n}") for n in range(distributors)]
        self.queriers = [self.new("querier", f"querier-{n}") for n in range(queriers)]
        self.ingesters = [self.new_ingester(zone, n) for zone in zones for n in range(ingesters)]
        self._gateway = Gateway(
            folder / "gateway",
            distributors=[f"127.0.0.1:{role.port}" for role in self.distributors],
            queriers=[f"127.0.0.1:{role.port}" for role in self.queriers],
        )
        self.base = self._gateway.base
        self._tenants: list[Tenant] = []
        """Those that may have pushed groups."""

    @property
    def roles(self) -> list[Role]:
        return [*self.ingesters, *self.distributors, *self.queriers]

    def new(self, role: str, name: str, *arguments: str, place: Place | None = None) -> Role:
        """A process that is not started."""
        return Role(role, name, self.folder, self.env, *arguments, place=place)

    def new_ingester(self, zone: str, number: int) -> Role:
        place = self._places.get(zone, Place())
        address = f"{place.host}:{free_port()}"
        return self.new("ingester", f"ingester-{zone}-{number}", "--zone", zone, "--grpc-listen", address, place=place)

    def address_of(self, path: str) -> tuple[str, int]:
        """Of a process that serves the path, for who wants to do without the gateway."""
        role = self.distributors[0] if path.endswith("/write") else self.queriers[0]
        return role.place.host, role.port

    def of_zone(self, zone: str) -> list[Role]:
        return [role for role in self.ingesters if role.name.startswith(f"ingester-{zone}-")]

    @contextlib.contextmanager
    def running(self, redis: RedisServer) -> Iterator[Self]:
        """With a Redis of its own: a cluster is all that one holds."""
        try:
            redis.start()
            self.start()
            self.wait_ready()
            yield self
        finally:
            self.close()
            redis.kill()

    def start(self) -> None:
        """Every process that does not run, all at once: the order does not matter."""
        if self._gateway.child is None:
            self._gateway.start()
        for role in self.roles:
            if not role.is_running:
                role.start()

    def wait_ready(self, *, timeout: float = START_S) -> None:
        end = time.monotonic() + timeout
        for role in self.roles:
            role.wait_ready(timeout=max(end - time.monotonic(), 1))
        self._gateway.wait_until(self.base + "/ready", timeout=max(end - time.monotonic(), 1))

    def stop(self, *, timeout: float = 90) -> int:
        """SIGTERM to all at once; the highest exit code."""
        for role in self.roles:
            if role.is_running:
                role.signal(signal.SIGTERM)
        return max(role.stop(timeout=timeout) for role in self.roles)

    def kill(self) -> None:
        """SIGKILL to every process, and gone when it returns."""
        for role in self.roles:
            if role.child is not None:
                role.child.kill()
        for role in self.roles:
            role.kill()

    def close(self) -> None:
        self.kill()
        self._gateway.kill()

    def metric(self, name: str, role: str = "ingester") -> float:
        """The sum of its points over the processes of one role."""
        return sum(process.metric(name) for process in self.roles if process.role == role)

    def output(self) -> str:
        """The end of what each process said, for the message of a failure."""
        return "\n".join(f"--- {role.name}\n{role.output()[-3000:]}" for role in self.roles if role.child is not None)

    def fresh(self) -> "Tenant":
        """A new, empty instance, once every process knows it."""
        return self.create(f"test-{secrets.token_hex(6)}")

    def create(self, app_id: str, **limits: float | None) -> "Tenant":
        answer = self.administer("POST", "/instances", {"app_id": app_id, "limits": limits})
        assert answer.status == 200, answer.body
        made = json.loads(answer.body)["data"]
        tenant = Tenant(self, made["app_id"], made["token"])
        self._tenants.append(tenant)
        for role in [*self.distributors, *self.queriers]:
            path = "/api/v1/status/rejections" if role.role == "distributor" else "/api/v1/query?query=1"
            within_change(lambda url=role.base + path: fetch(url, headers=tenant.bearer), 200)
        return tenant

    def wipe_pushes(self) -> None:
        """Ends all groups that tests have pushed: from then on nobody writes who is not told to."""
        pushing = [tenant for tenant in self._tenants if tenant.has_groups()]
        self._tenants.clear()
        for tenant in pushing:
            assert fetch(self.base + "/api/v1/push/wipe", method="PUT", headers=tenant.bearer).status == 202
        end = time.monotonic() + CHANGE_S
        while any(tenant.has_groups() for tenant in pushing):
            assert time.monotonic() < end
            time.sleep(0.05)


class Tenant(Api):
    """A cluster, seen with the credentials of one instance."""

    def __init__(self, cluster: Cluster, app_id: str, token: str) -> None:
        self.cluster = cluster
        self.base = cluster.base
        self.app_id = app_id
        self.token = token

    def has_groups(self) -> bool:
        """Whether pushed groups are left; not so of an instance that is gone or has another token by now."""
        answer = fetch(self.base + "/api/v1/push/groups", headers=self.bearer)
        assert answer.status in (200, 401), answer.body
        return answer.status == 200 and bool(json.loads(answer.body)["data"])

    def set_limits(self, **limits: float | None) -> None:
        answer = self.administer("PATCH", f"/instances/{self.app_id}/limits", limits)
        assert answer.status == 200, answer.body


def within_change(ask: Callable[[], Answer], status: int) -> Answer:
    """The answer, once it has this status."""
    end = time.monotonic() + CHANGE_S
    answer = ask()
    while answer.status != status and time.monotonic() < end:
        time.sleep(0.05)
        answer = ask()
    assert answer.status == status, answer.body
    return answer
