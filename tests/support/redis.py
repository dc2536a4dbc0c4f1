"""Redis servers as processes: single, as a replica, or a cluster of three, on free ports with a folder each.

A start takes some 50 ms, a cluster two seconds. Tests that leave a server as they found it share those of the session
(the fixtures `redis_server` and `redis_cluster`) and begin with `flush`; those that kill, fill or reconfigure one start
their own.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import redis
from redis.exceptions import RedisError

from tests.support.certificates import Certificates
from tests.support.processes import Process, free_port
from tests.support.tools import LIBRARIES, tool

_START_S = 60.0
_POLL_S = 0.01
_SLOTS = 16384

_ENVIRONMENT = {"LD_LIBRARY_PATH": f"{LIBRARIES}:{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(":")}


class RedisServer(Process):
    """A server with an append-only file that is synced before each reply, so that a kill loses nothing acknowledged.

    `options` are lines of redis.conf and win over what is set here. `url` is what a client is given.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        host: str = "127.0.0.1",
        options: Mapping[str, str | int] | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        self.host = host
        self.port = port or free_port()
        self._certificates = certificates
        self._options = {
            "bind": "127.0.0.1" if host == "127.0.0.1" else f"127.0.0.1 {host}",
            "protected-mode": "no",
            "dir": str(folder),
            "save": '""',
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "repl-diskless-sync-delay": 0,
            "repl-ping-replica-period": 1,  # a cluster lists a replica once it has heard something
            "enable-debug-command": "local",
            **(
                {"port": self.port}
                if certificates is None
                else {
                    "port": 0,
                    "tls-port": self.port,
                    "tls-cert-file": str(certificates.certificate),
                    "tls-key-file": str(certificates.key),
                    "tls-ca-cert-file": str(certificates.authority),
                    "tls-auth-clients": "no",
                }
            ),
            **(options or {}),
        }
        super().__init__([tool("redis-server"), "redis.conf"], folder, _ENVIRONMENT)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def cluster_port(self) -> int:
        """The default, port + 10,000, may lie above the last port; so it is always set."""
        return int(self._options["cluster-port"])

    @property
    def cluster_address(self) -> str:
        return f"{self.address}@{self.cluster_port}"

    @property
    def url(self) -> str:
        return f"{'redis' if self._certificates is None else 'rediss'}://{self.address}"

    def start(self) -> None:
        """Returns when it has loaded its data and answers."""
        assert not self.is_running, f"redis-server on port {self.port} runs: a second one would hide it from its end"
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = (f"{name} {value}" for name, value in self._options.items())
        (self.folder / "redis.conf").write_text("\n".join(lines) + "\n")
        super().start()
        wait_until(self._answers, f"redis-server on port {self.port} answers", self)

    is_cluster = False

    @property
    def is_running(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def command(self, *args: str | bytes | int) -> Any:
        """Sends one command on a connection of its own and returns the reply, bytes as they came."""
        with self._client() as client:
            client.response_callbacks.clear()
            return client.execute_command(*args)

    def info(self, section: str) -> dict[str, Any]:
        with self._client() as client:
            found: dict[str, Any] = client.info(section)
        return found

    def flush(self) -> None:
        self.command("FLUSHALL", "SYNC")

    def stop(self, *, timeout: float = 60) -> int:
        """SIGTERM: what the append-only file lacks is written."""
        self.signal(signal.SIGCONT)
        return super().stop(timeout=timeout)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """SIGSTOP: connections stay, nothing answers. SIGCONT at the end."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def limit_memory(self, *, free_bytes: int) -> None:
        """Leaves so much room; 0 or less fills it. `maxmemory 0` of `CONFIG SET` lifts the limit."""
        self.command("CONFIG", "SET", "maxmemory", max(int(self.info("memory")["used_memory"]) + free_bytes, 1))

    def follow(self, leader: "RedisServer") -> None:
        """Becomes its replica; returns when it has all that the leader has."""
        self.command("REPLICAOF", "127.0.0.1", leader.port)
        self.wait_replicated(leader)

    def wait_replicated(self, leader: "RedisServer") -> None:
        def is_level() -> bool:
            own, theirs = self.info("replication"), leader.info("replication")
            level = own.get("slave_repl_offset") == theirs["master_repl_offset"]
            return own.get("master_link_status") == "up" and level

        wait_until(is_level, f"the replica on port {self.port} is level with {leader.address}", self)

    def promote(self) -> None:
        """Replica no longer: it keeps what it has got so far."""
        self.command("REPLICAOF", "NO", "ONE")

    def _answers(self) -> bool:
        with contextlib.suppress(RedisError):
            return bool(self.command("PING"))
        return False

    def _client(self) -> "redis.Redis":
        options: dict[str, Any] = {"socket_timeout": 10, "socket_connect_timeout": 10, "retry": None, "protocol": 2}
        if password := self._options.get("requirepass"):
            options["password"] = password
        if self._certificates is not None:
            options |= {"ssl": True, "ssl_ca_certs": str(self._certificates.authority)}
        return redis.Redis("127.0.0.1", self.port, **options)


class RedisCluster:
    """Three leaders, which share the slots evenly, and `replicas` of them, the first ones', with a replica."""

    is_cluster = True

    def __init__(self, folder: Path, *, replicas: int = 0, options: Mapping[str, str | int] | None = None) -> None:
        self._replicas = replicas
        self.nodes = [
            RedisServer(
                folder / f"node-{number}",
                options={
                    "cluster-enabled": "yes",
                    "cluster-port": free_port(),
                    "cluster-node-timeout": 5000,  # on a busy machine a node is slow, not dead
                    "cluster-replica-validity-factor": 0,
                    **(options or {}),
                },
            )
            for number in range(3 + replicas)
        ]

    @property
    def url(self) -> str:
        """Of all nodes; a client is told that it is a cluster's."""
        return "redis://" + ",".join(node.address for node in self.nodes)

    def start(self) -> None:
        """Starts all nodes that do not run and, the first time, makes a cluster of them; returns when every node sees
        all slots.
        """
        is_new = not any((node.folder / "nodes.conf").exists() for node in self.nodes)
        for node in self.nodes:
            if not node.is_running:
                node.start()
        if is_new:
            self._create()
        for node in self.nodes:
            wait_until(lambda node=node: self._is_whole(node), f"the cluster is whole, seen from {node.address}", node)

    def leader_of(self, key: str) -> RedisServer:
        """The node that serves the key now."""
        slot = self.nodes[0].command("CLUSTER", "KEYSLOT", key)
        for first, last, (_, port, *_), *_ in self._living().command("CLUSTER SLOTS"):
            if int(first) <= int(slot) <= int(last):
                return next(node for node in self.nodes if node.port == int(port))
        raise AssertionError(f"no node serves slot {slot}")

    def replica_of(self, leader: RedisServer) -> RedisServer:
        for node in self.nodes:
            if not node.is_running:
                continue
            role = node.command("ROLE")
            if role[0] == b"slave" and int(role[2]) == leader.port:
                return node
        raise AssertionError(f"{leader.address} has no replica")

    def command(self, *args: str | bytes | int) -> list[Any]:
        """Sends a command to every node that is a leader."""
        running = [node for node in self.nodes if node.is_running]
        return [node.command(*args) for node in running if node.command("ROLE")[0] == b"master"]

    def flush(self) -> None:
        self.command("FLUSHALL", "SYNC")

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()

    def _create(self) -> None:
        leaders, replicas = self.nodes[:3], self.nodes[3:]
        made = subprocess.run(
            [tool("redis-cli"), "--cluster", "create", *(node.cluster_address for node in leaders), "--cluster-yes"],
            env={**os.environ, **_ENVIRONMENT},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert made.returncode == 0, made.stdout + made.stderr
        # redis-cli would wait ten seconds for its replicas.
        for number, replica in enumerate(replicas):
            leader = leaders[number % 3]
            replica.command("CLUSTER", "MEET", "127.0.0.1", leader.port, leader.cluster_port)
            name = leader.command("CLUSTER", "MYID")
            wait_until(lambda: _knows(replica, name), f"{replica.address} knows {leader.address}", replica)  # noqa: B023
            replica.command("CLUSTER", "REPLICATE", name)
            replica.wait_replicated(leader)

    def _is_whole(self, node: RedisServer) -> bool:
        state = dict(line.split(":", 1) for line in node.command("CLUSTER", "INFO").decode().splitlines())
        links = node.command("CLUSTER", "NODES").decode().splitlines()
        ranges = node.command("CLUSTER SLOTS")
        served = sum(int(last) - int(first) + 1 for first, last, *_ in ranges)
        replicas = len({replica[2] for _, _, _, *some in ranges for replica in some})
        return (
            state["cluster_state"] == "ok"
            and served == _SLOTS
            and replicas == self._replicas
            and len(links) == len(self.nodes)
        )

    def _living(self) -> RedisServer:
        return next(node for node in self.nodes if node.is_running)


def _knows(node: RedisServer, name: bytes) -> bool:
    """Whether the node has met the one of that name."""
    return any(
        line.startswith(name) and b"handshake" not in line for line in node.command("CLUSTER NODES").splitlines()
    )


def wait_until(holds: Any, what: str, process: Process, *, timeout: float = _START_S) -> None:
    """Polls `holds()`; AssertionError with what `process` said if it never does, or if the process ends."""
    end = time.monotonic() + timeout
    while not holds():
        assert process.child is not None
        assert process.child.poll() is None, f"{process.argv[0]} ended:\n{process.output()[-4000:]}"
        assert time.monotonic() < end, f"not in {timeout} s: {what}\n{process.output()[-4000:]}"
        time.sleep(_POLL_S)
