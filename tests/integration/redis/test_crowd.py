"""Processes of one kind counted on a real Redis, alone and as a cluster."""

import asyncio
import time

import pytest

from shared.redis.crowd import SILENT_MS, RedisCrowd
from shared.redis.keys import crowd_key
from tests.integration.redis.conftest import Connect
from tests.support.redis import RedisCluster, RedisServer

Servers = RedisServer | RedisCluster


@pytest.fixture(params=["redis_server", "redis_cluster"])
def servers(request: pytest.FixtureRequest) -> Servers:
    found: Servers = request.getfixturevalue(request.param)
    found.flush()
    return found


async def test_who_speaks_is_counted_until_it_leaves_or_falls_silent(servers: Servers, connect: Connect) -> None:
    client = connect(servers)
    first, second = RedisCrowd(client, "distributors"), RedisCrowd(client, "distributors")
    assert await first.announce() == 1
    assert await second.announce() == 2
    assert await RedisCrowd(client, "others").announce() == 1
    await second.leave()
    assert await first.announce() == 1
    assert await second.announce() == 2
    end = time.monotonic() + SILENT_MS / 1000 + 20
    while await second.announce() > 1:  # the first one is silent
        assert time.monotonic() < end
        await asyncio.sleep(0.2)
    assert crowd_key("distributors").startswith("hr:")
