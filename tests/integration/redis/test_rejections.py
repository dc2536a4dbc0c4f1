"""Rejections on a real Redis, alone and as a cluster."""

import pytest

from shared.errors import InternalError, UnavailableError
from shared.redis.keys import rejections_key
from shared.redis.rejections import KEPT_MS, RedisRejections
from shared.seams.rejections import Rejection
from tests.integration.redis.conftest import Connect
from tests.support.redis import RedisCluster, RedisServer

SHOP, OTHER = b"s" * 16, bytes(range(16))

Servers = RedisServer | RedisCluster


@pytest.fixture(params=["redis_server", "redis_cluster"])
def servers(request: pytest.FixtureRequest) -> Servers:
    found: Servers = request.getfixturevalue(request.param)
    found.flush()
    return found


async def test_adds_up_what_several_tell(servers: Servers, connect: Connect) -> None:
    first, second = RedisRejections(connect(servers)), RedisRejections(connect(servers))
    assert await first.of(SHOP) == {}
    await first.add({SHOP: {"too_old": Rejection(2, 10, "ä")}, OTHER: {"series_limit": Rejection(1, 5, "x" * 5000)}})
    await second.add({SHOP: {"too_old": Rejection(3, 20, "b"), "missing_name": Rejection(1, 15, "c")}})
    await second.add({})
    for board in (first, second):
        assert await board.of(SHOP) == {"too_old": Rejection(5, 20, "b"), "missing_name": Rejection(1, 15, "c")}
        assert await board.of(OTHER) == {"series_limit": Rejection(1, 5, "x" * 1000)}
    key = rejections_key(SHOP)
    node = servers if isinstance(servers, RedisServer) else servers.leader_of(key)
    assert KEPT_MS - 60_000 < node.command("PTTL", key) <= KEPT_MS


async def test_more_instances_than_one_call_takes(servers: Servers, connect: Connect) -> None:
    board = RedisRejections(connect(servers))
    uids = [number.to_bytes(16, "big") for number in range(200)]
    await board.add({uid: {"too_old": Rejection(1, 1, "x")} for uid in uids})
    assert [len(await board.of(uid)) for uid in uids] == [1] * 200


async def test_garbage_in_its_place_is_an_error(servers: Servers, connect: Connect) -> None:
    board = RedisRejections(connect(servers))
    key = rejections_key(SHOP)
    node = servers if isinstance(servers, RedisServer) else servers.leader_of(key)
    node.command("HSET", key, "samples too_old", "many")
    with pytest.raises(InternalError, match="holds no rejections"):
        await board.of(SHOP)


async def test_a_redis_that_is_away(connect: Connect, redis_server: RedisServer) -> None:
    board = RedisRejections(connect(redis_server, timeout_s=0.3))
    with redis_server.paused(), pytest.raises(UnavailableError):
        await board.add({SHOP: {"too_old": Rejection(1, 1, "x")}})
