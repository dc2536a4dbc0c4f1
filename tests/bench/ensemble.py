"""A cluster to measure, with its broker and its Redis, and what each group of processes has used."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.usage import Usage, usage
from tests.support.cluster import Cluster
from tests.support.kafka import Kafka
from tests.support.processes import APP_ID, TOKEN, Headrace, Process, metric_of
from tests.support.redis import RedisServer

APPLIED_S = 300.0


@dataclass(frozen=True)
class Ensemble:
    cluster: Cluster
    kafka: Kafka
    redis: RedisServer

    def used(self) -> dict[str, Usage]:
        """By process: those of Headrace under their names, and `kafka` and `redis`."""
        processes: dict[str, Process] = {role.name: role for role in self.cluster.roles}
        processes |= {"kafka": self.kafka.brokers[0], "redis": self.redis}
        return {name: usage(process.child.pid) for name, process in processes.items() if process.child is not None}

    def wait_applied(self) -> None:
        """Returns when every ingester holds all that is durable."""
        wait_applied([role.base for role in self.cluster.ingesters])

    @property
    def redis_bytes(self) -> int:
        return int(self.redis.info("memory")["used_memory"])


def wait_applied(bases: Sequence[str]) -> None:
    end = time.monotonic() + APPLIED_S
    quiet = 0
    while quiet < 3:  # offsets are looked up now and then: one zero may be of before the last write
        lag = sum(metric_of(base, "headrace_ingester_lag_records") for base in bases)
        quiet = quiet + 1 if lag == 0 else 0
        assert time.monotonic() < end, f"{lag} records are not applied"
        time.sleep(0.5)


@contextmanager
def ensemble(env: Mapping[str, str] | None = None, **shape: Any) -> Iterator[Ensemble]:
    """`shape` is that of `Cluster`; one broker, and a Redis that syncs once a second."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kafka = Kafka(folder / "kafka")
        server = RedisServer(folder / "redis", options={"appendfsync": "everysec"})
        cluster: Cluster | None = None
        try:
            kafka.start()
            server.start()
            cluster = Cluster(folder / "cluster", kafka, server, env=env, **shape)
            cluster.start()
            cluster.wait_ready(timeout=120)
            yield Ensemble(cluster, kafka, server)
        finally:
            if cluster is not None:
                cluster.close()
            server.kill()
            kafka.close()


@contextmanager
def standalone(env: Mapping[str, str] | None = None) -> Iterator[Headrace]:
    with tempfile.TemporaryDirectory() as folder:
        server = Headrace(Path(folder), env=env)
        try:
            server.start()
            server.wait_ready()
            yield server
        finally:
            server.kill()


def cpu_between(before: Mapping[str, Usage], after: Mapping[str, Usage], *prefixes: str) -> float:
    """CPU seconds of the processes whose names begin so."""
    return sum(after[name].cpu_s - before[name].cpu_s for name in before if name.startswith(prefixes))


def headrace_load(write: Sequence[str], query: str, *options: str) -> dict[str, Any]:
    """The report of a run of the load generator, in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "instances").write_text(f"{APP_ID}:{TOKEN}\n")
        argv = [sys.executable, "-m", "headrace", "load", ",".join(write), "--query-url", query]
        argv += ["--instances", "instances", "--report", "report.json", "--progress", "60s", *options]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
        done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        report: dict[str, Any] = json.loads((folder / "report.json").read_text())
        return report
