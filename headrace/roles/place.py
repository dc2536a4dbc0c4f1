"""Which of the processes of a cluster this is."""

import platform
from dataclasses import dataclass

from headrace.settings import ClusterRole, Settings, join_address, split_address
from headrace.settings.addresses import WILDCARDS, split_advertised


@dataclass(frozen=True, slots=True)
class Place:
    """`worker` is its number among the workers of one role on one machine, None where there is only one."""

    role: ClusterRole
    base_name: str
    worker: int | None = None

    @classmethod
    def of(cls, role: ClusterRole, settings: Settings, worker: int | None = None) -> "Place":
        return cls(role, settings.name or platform.node() or role, worker)

    @property
    def name(self) -> str:
        """Among the processes of its role."""
        return self.base_name if self.worker is None else f"{self.base_name}-{self.worker}"

    def grpc_listen(self, settings: Settings) -> tuple[str, int]:
        """Host and port of an ingester's gRPC server: each worker has its own."""
        host, port = split_address(settings.grpc.listen)
        return host, port + (self.worker or 0)

    def grpc_address(self, settings: Settings) -> str:
        """HOST:PORT under which others reach it."""
        host, port = self.grpc_listen(settings)
        if settings.grpc.advertise is not None:
            host, advertised = split_advertised(settings.grpc.advertise)
            port = port if advertised is None else advertised + (self.worker or 0)
        elif host in WILDCARDS:
            host = platform.node()
        return join_address(host, port)
