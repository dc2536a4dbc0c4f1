"""From an Authorization header to the instance it belongs to."""

import hmac

from shared.auth.credentials import parse_authorization
from shared.auth.tokens import token_sha256
from shared.errors import UnauthorizedError
from shared.model.instance import Instance
from shared.seams.registry import Registry


class Authenticator:
    """Remembers the headers that were good, so that a busy sender costs one dictionary look-up.

    What it remembers holds for one version of the registry only. Failures are not remembered: they cost one hash, and a
    flood of wrong tokens must not push the right ones out.
    """

    def __init__(self, registry: Registry, *, capacity: int = 10_000) -> None:
        self._registry = registry
        self._capacity = capacity
        self._known: dict[bytes, Instance] = {}
        self._version = registry.version

    async def authenticate(self, header: bytes | None) -> Instance:
        """Raises UnauthorizedError."""
        if self._version != self._registry.version:
            self._known.clear()
            self._version = self._registry.version
        if header is not None and (known := self._known.get(header)) is not None:
            return known
        credentials = parse_authorization(header)
        version = self._registry.version
        digest = token_sha256(credentials.token)
        instance = await self._registry.by_token_sha256(digest)
        if (
            instance is None
            or not hmac.compare_digest(instance.token_sha256, digest)
            or credentials.app_id not in {None, instance.app_id}
        ):
            raise UnauthorizedError("wrong token, or a token of another APPID")
        if header is not None and version == self._version == self._registry.version:
            if len(self._known) >= self._capacity:
                del self._known[next(iter(self._known))]
            self._known[header] = instance
        return instance
