"""How many processes of one kind there are: who announces itself is counted until it has been silent for a while."""

import secrets

from shared.redis.client import Client, Command
from shared.redis.keys import crowd_key
from shared.redis.scripts import ANNOUNCE

SILENT_MS = 5_000
"""After so long without a word a process is not counted. By the store's clock."""


class RedisCrowd:
    """This process among its like. The client is the caller's to close."""

    def __init__(self, client: Client, kind: str) -> None:
        self._client = client
        self._key = crowd_key(kind)
        self._name = secrets.token_hex(8)

    async def announce(self) -> int:
        """How many there are, this one among them. UnavailableError."""
        return int(await self._client.call(Command.running(ANNOUNCE, [self._key], [self._name, SILENT_MS])))

    async def leave(self) -> None:
        await self._client.call(Command.of("ZREM", self._key, self._name))
