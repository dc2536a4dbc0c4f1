"""Clients that are closed when their test ends."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from shared.redis.client import Client
from shared.redis.settings import parse_url
from tests.support.redis import RedisCluster, RedisServer

Connect = Callable[..., Client]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """`connect(server, timeout_s=1.0, …)`: a client of a server or cluster, settings changed as named."""
    async with AsyncExitStack() as opened:

        def connected(servers: RedisServer | RedisCluster, **changes: Any) -> Client:
            client = Client(replace(parse_url(servers.url, is_cluster=servers.is_cluster), **changes))
            opened.push_async_callback(client.close)
            return client

        yield connected
