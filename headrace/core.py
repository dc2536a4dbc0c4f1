"""Who may ask: instances, credentials and the facts of the cluster. Known before any role is open."""

from dataclasses import dataclass

from headrace.front import Front
from headrace.instances import Instances
from headrace.settings import Settings
from shared.auth.authenticator import Authenticator
from shared.auth.tokens import TokenVault, parse_keys
from shared.clock import Clock
from shared.seams.registry import Cluster, Registry
from shared.telemetry.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Core:
    settings: Settings
    started_ms: int
    clock: Clock
    metrics: Catalogue
    registry: Registry
    cluster: Cluster
    authenticator: Authenticator

    @classmethod
    async def of(cls, front: Front, registry: Registry, vault: TokenVault | None) -> "Core":
        """Without a vault nobody administers here."""
        front.metrics.instances.observe_value(lambda: registry.size)
        if vault is not None:
            front.instances = Instances(registry, vault, front.clock, front.settings.limits, front.settings.features)
        return cls(
            settings=front.settings,
            started_ms=front.started_ms,
            clock=front.clock,
            metrics=front.metrics,
            registry=registry,
            cluster=await registry.cluster(),
            authenticator=Authenticator(registry),
        )


def vault_of(settings: Settings) -> TokenVault | None:
    """That of the setting `key`, if it is given."""
    return None if settings.key is None else TokenVault(parse_keys(settings.key.get_secret_value()))
