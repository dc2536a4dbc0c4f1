"""Connections to one Redis server."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from shared.redis.failures import LOST
from shared.redis.settings import RedisSettings, show_address

Argument = bytes | str | int
Reply = Any
"""As RESP2 has it: bytes, int, None, or a list of those; or, where it says so, the exception that was answered."""


class NotSentError(Exception):
    """No connection could be made; the cause says why. Nothing was sent."""


class Node:
    """Each batch of commands has a connection to itself while it runs; there are `settings.connections` at most."""

    def __init__(self, host: str, port: int, settings: RedisSettings) -> None:
        self.address = show_address(host, port)
        self.host = host
        self._port = port
        self._settings = settings
        self._idle: list[Connection] = []
        self._free = asyncio.Semaphore(settings.connections)
        self._is_closed = False

    async def execute(self, commands: Sequence[Sequence[Argument]]) -> list[Reply]:
        """Sends all commands at once and returns a reply for each; what Redis answers as an error is returned.

        Raises NotSentError, or one of `LOST` when it is unknown what was done. Cancelling ends the connection.
        """
        async with self._free:
            connection = await self._connected()
            is_whole = False
            try:
                await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
                replies = [await _reply(connection) for _ in commands]
                is_whole = True
            finally:
                if is_whole and not self._is_closed:
                    self._idle.append(connection)
                else:
                    await _end(connection)
            return replies

    async def close(self) -> None:
        """What runs still ends by itself."""
        self._is_closed = True
        while self._idle:
            with contextlib.suppress(RedisError, OSError):
                await self._idle.pop().disconnect()

    async def _connected(self) -> Connection:
        """One that was used before, unless the server has closed it meanwhile; else a new one."""
        while self._idle:
            connection = self._idle.pop()
            try:
                if not await connection.can_read():  # nothing is to come, not even an end
                    return connection
            except LOST:
                pass
            await _end(connection)
        connection = self._new()
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:
            await _end(connection)
            raise NotSentError from error
        except BaseException:
            await _end(connection)
            raise
        return connection

    def _new(self) -> Connection:
        settings = self._settings
        plain: dict[str, Any] = {
            "host": self.host,
            "port": self._port,
            "db": settings.database,
            "username": settings.username,
            "password": settings.password,
            "client_name": "headrace",
            "driver_info": None,
            "protocol": 2,
            "socket_timeout": None,  # the caller has a deadline for all of it
            "socket_connect_timeout": settings.timeout_s,
            "retry": Retry(NoBackoff(), 0),
        }
        if not settings.tls:
            return Connection(**plain)
        return SSLConnection(
            **plain,
            ssl_ca_certs=None if settings.ca_file is None else str(settings.ca_file),
            ssl_certfile=None if settings.cert_file is None else str(settings.cert_file),
            ssl_keyfile=None if settings.key_file is None else str(settings.key_file),
            ssl_check_hostname=True,
        )


async def _reply(connection: Connection) -> Reply:
    try:
        return await connection.read_response()
    except ResponseError as error:  # an answer like others; those behind it are still to be read
        return error


async def _end(connection: Connection) -> None:
    with contextlib.suppress(RedisError, OSError):
        await connection.disconnect(nowait=True)
