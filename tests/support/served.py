"""What tests ask of a Headrace without caring whether it is one process or a cluster."""

import subprocess
from typing import Protocol

from tests.support.cluster import Cluster, Tenant
from tests.support.processes import ADMIN_TOKEN, Api, Headrace, run


class Served(Protocol):
    base: str
    app_id: str
    token: str

    @property
    def bearer(self) -> dict[str, str]: ...
    @property
    def basic(self) -> dict[str, str]: ...

    write = Api.write
    get = Api.get
    query = Api.query
    administer = Api.administer
    flush = Api.flush

    def start(self) -> None: ...
    def wait_ready(self) -> None: ...
    def stop(self) -> int:
        """SIGTERM; the exit code, the highest of a cluster's processes."""
        ...

    def kill(self) -> None:
        """SIGKILL, to every process of a cluster."""
        ...

    def address_of(self, path: str) -> tuple[str, int]:
        """Of a process of ours that serves the path: no gateway stands before it."""
        ...

    def held_samples(self) -> float:
        """In memory, those of other tests among them."""
        ...

    def instances(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`headrace instances` against it."""
        ...


class Standalone(Headrace):
    """`Served` by one process."""

    def address_of(self, path: str) -> tuple[str, int]:
        del path
        return "127.0.0.1", self.port

    def held_samples(self) -> float:
        return self.metric("headrace_head_samples")

    def instances(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run("instances", *arguments, "--data", "data", cwd=self.folder)


class Shared(Tenant):
    """`Served` by a cluster that others use too."""

    def __init__(self, cluster: Cluster) -> None:
        tenant = cluster.fresh()
        super().__init__(cluster, tenant.app_id, tenant.token)

    def address_of(self, path: str) -> tuple[str, int]:
        return self.cluster.address_of(path)

    def start(self) -> None:
        self.cluster.start()

    def wait_ready(self) -> None:
        self.cluster.wait_ready()

    def stop(self) -> int:
        return self.cluster.stop()

    def kill(self) -> None:
        self.cluster.kill()

    def held_samples(self) -> float:
        return self.cluster.metric("headrace_head_samples")

    def instances(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        variables = {"HEADRACE_SERVER": self.base, "HEADRACE_ADMIN_TOKEN": ADMIN_TOKEN}
        return run("instances", *arguments, cwd=self.cluster.folder, **variables)
