"""What is there before the log is open: instances, credentials, metrics. Enough to know who asks."""

from dataclasses import dataclass

from headrace.instances import Instances
from headrace.observe import observe_process
from headrace.settings import Settings
from shared.auth.authenticator import Authenticator
from shared.auth.tokens import open_vault, token_sha256
from shared.clock import Clock
from shared.local.registry import LocalRegistry
from shared.model.instance import Instance
from shared.native import Files
from shared.seams.registry import Cluster
from shared.telemetry.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Core:
    settings: Settings
    started_ms: int
    files: Files
    clock: Clock
    metrics: Catalogue
    registry: LocalRegistry
    cluster: Cluster
    instances: Instances
    authenticator: Authenticator

    @classmethod
    async def open(cls, settings: Settings, clock: Clock) -> "Core":
        """Raises ValueError for a key file that cannot be used, CorruptError for a damaged registry."""
        files = Files.real()
        metrics = Catalogue()
        started_ms = clock.now_ms()
        observe_process(metrics, started_ms)
        registry = LocalRegistry.open(files, str(settings.data / "registry.journal"), partitions=settings.partitions)
        vault = open_vault(settings.vault_key_file, sealed=len(await registry.instances()))
        return cls(
            settings=settings,
            started_ms=started_ms,
            files=files,
            clock=clock,
            metrics=metrics,
            registry=registry,
            cluster=await registry.cluster(),
            instances=Instances(registry, vault, clock, settings.limits),
            authenticator=Authenticator(registry),
        )

    async def first_instance(self) -> tuple[Instance, bool]:
        """The instance that the banner shows, and whether it was created now.

        A bootstrap instance has the bootstrap token after every start: scripts that set it rely on it.
        """
        app_id = self.settings.bootstrap_app_id
        token = self.settings.bootstrap_token.get_secret_value() if self.settings.bootstrap_token else None
        if app_id is None:
            known = await self.instances.every()
            return (known[0], False) if known else ((await self.instances.create(token=token))[0], True)
        instance = await self.registry.by_app_id(app_id)
        if instance is None:
            return (await self.instances.create(app_id, token))[0], True
        if token is not None and token_sha256(token) != instance.token_sha256:
            await self.instances.rotate_token(app_id, token)
        return await self.instances.named(app_id), False
