"""What can be done with instances, whoever asks: the admin API, the CLI through it, and the first start."""

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shared.auth.tokens import TokenVault, check_token, new_token, token_sha256
from shared.clock import Clock
from shared.errors import BadDataError, ConflictError, NotFoundError
from shared.model.features import Features, changed_features
from shared.model.instance import Instance, Limits, changed_limits, describe, shards_for
from shared.seams.registry import Registry

_APP_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
UID_BYTES = 16
_ENSURE_ATTEMPTS = 5


class Instances:
    """Changes are durable, and in force in this process, when a call returns."""

    def __init__(
        self, registry: Registry, vault: TokenVault, clock: Clock, defaults: Limits, features: Features
    ) -> None:
        """`defaults` and `features` are those of new instances."""
        self._registry = registry
        self._vault = vault
        self._clock = clock
        self._defaults = defaults
        self._features = features

    async def create(
        self,
        app_id: str | None = None,
        token: str | None = None,
        limits: Mapping[str, object] | None = None,
        features: Mapping[str, object] | None = None,
    ) -> tuple[Instance, str]:
        """The instance and its token. Raises ConflictError if the name or token is taken."""
        app_id = _new_app_id() if app_id is None else check_app_id(app_id)
        token = new_token() if token is None else check_token(token)
        chosen = changed_limits(self._defaults, limits or {})
        uid = os.urandom(UID_BYTES)
        instance = Instance(
            app_id=app_id,
            uid=uid,
            token_sha256=token_sha256(token),
            token_sealed=self._vault.seal(uid, token),
            shards=shards_for(chosen, (await self._registry.cluster()).partitions),
            created_ms=self._clock.now_ms(),
            limits=chosen,
            features=changed_features(self._features, features or {}),
        )
        if not await self._registry.create(instance):
            raise ConflictError(f"there is an instance {app_id} already, or its token is taken")
        return instance, token

    async def ensure(self, app_id: str, token: str | None) -> tuple[Instance, bool]:
        """The instance of this name, and whether it was made now; it has the token, if one is given, whatever it had
        before. Many processes may ask for the same at once. Raises ConflictError if the token is another's.
        """
        for _ in range(_ENSURE_ATTEMPTS):
            try:
                instance = await self._registry.by_app_id(app_id)
                if instance is None:
                    return (await self.create(app_id, token))[0], True
                if token is None or token_sha256(token) == instance.token_sha256:
                    return instance, False
                await self.rotate_token(app_id, token)
                return await self.named(app_id), False
            except (ConflictError, NotFoundError):  # another process was faster: look again
                continue
        raise ConflictError(f"instance {app_id} cannot be made: its token is another instance's")

    async def every(self) -> list[Instance]:
        return await self._registry.instances()

    async def named(self, app_id: str) -> Instance:
        instance = await self._registry.by_app_id(app_id)
        if instance is None:
            raise NotFoundError(f"there is no instance {app_id}")
        return instance

    def token_of(self, instance: Instance) -> str:
        return self._vault.unseal(instance.uid, instance.token_sealed)

    async def rotate_token(self, app_id: str, token: str | None = None) -> str:
        """The new token; the old one is worth nothing from now on."""
        old = await self.named(app_id)
        token = new_token() if token is None else check_token(token)
        sealed = self._vault.seal(old.uid, token)
        await self._update(old, replace(old, token_sha256=token_sha256(token), token_sealed=sealed))
        return token

    async def set_limits(self, app_id: str, changes: Mapping[str, object]) -> Instance:
        old = await self.named(app_id)
        limits = changed_limits(old.limits, changes)
        # Partitions are only ever added: what was written stays where it is, and readers ask all of them.
        shards = max(old.shards, shards_for(limits, (await self._registry.cluster()).partitions))
        has_grown = old.has_grown or shards > old.shards
        return await self._update(old, replace(old, limits=limits, shards=shards, has_grown=has_grown))

    async def set_features(self, app_id: str, changes: Mapping[str, object]) -> Instance:
        old = await self.named(app_id)
        return await self._update(old, replace(old, features=changed_features(old.features, changes)))

    async def delete(self, app_id: str) -> Instance:
        instance = await self.named(app_id)
        if not await self._registry.delete(instance):
            raise ConflictError(f"instance {app_id} was changed at the same moment: try again")
        return instance

    async def _update(self, old: Instance, new: Instance) -> Instance:
        if not await self._registry.update(old, new):
            raise ConflictError(
                f"instance {old.app_id} was changed at the same moment, or the token is taken: try again"
            )
        return new


def check_app_id(app_id: str) -> str:
    if not _APP_ID.fullmatch(app_id):
        raise BadDataError(
            "an APPID has 1 to 64 letters, digits, dots, dashes or underscores, the first a letter or digit"
        )
    return app_id


def _new_app_id() -> str:
    return str(1_000_000_000 + secrets.randbelow(9_000_000_000))


def shown(instance: Instance, token: str | None = None) -> dict[str, Any]:
    """As the admin API answers it."""
    return describe(instance) if token is None else {**describe(instance), "token": token}
