"""Copies of all that a server holds, to turn it back."""

from tests.support.redis import RedisServer

Copy = list[tuple[bytes, bytes]]


def dump(server: RedisServer) -> Copy:
    return [(key, server.command("DUMP", key)) for key in server.command("KEYS", "*")]


def restore(server: RedisServer, copy: Copy) -> None:
    server.flush()
    for key, value in copy:
        server.command("RESTORE", key, 0, value)
