"""Calls that meet a server which is away, slow, full of others, or another one than before."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.errors import InternalError, UnavailableError
from shared.redis.client import Client, Command, Script
from tests.integration.redis.conftest import Connect
from tests.support.certificates import Certificates
from tests.support.redis import RedisServer

COUNT = Script("return redis.call('INCR', KEYS[1])")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


async def get(client: Client, key: str) -> bytes | None:
    found: bytes | None = await client.call(Command.of("GET", key))
    return found


class TestAway:
    async def test_a_call_waits_for_a_server_that_comes_back(self, server: RedisServer, connect: Connect) -> None:
        client = connect(server, timeout_s=30)
        await client.call(Command.of("SET", "a", "1"))
        server.kill()
        asking = asyncio.create_task(get(client, "a"))
        await asyncio.to_thread(server.start)
        assert await asking == b"1"

    async def test_but_no_longer_than_it_may(self, server: RedisServer, connect: Connect) -> None:
        server.kill()
        with pytest.raises(UnavailableError, match=f"127.0.0.1:{server.port} cannot be reached"):
            await get(connect(server, timeout_s=0.3), "a")

    async def test_a_server_that_stands_still_is_given_up(self, server: RedisServer, connect: Connect) -> None:
        client = connect(server, timeout_s=0.3)
        await client.call(Command.of("SET", "a", "1"))
        with server.paused(), pytest.raises(UnavailableError, match=r"did not answer within 0\.3 s"):
            await get(client, "a")
        assert await get(client, "a") == b"1"

    async def test_what_may_have_been_done_is_not_repeated(self, server: RedisServer, connect: Connect) -> None:
        client = connect(server, timeout_s=0.3)
        assert await client.call(Command.running(COUNT, ["n"]), repeat=False) == 1
        with server.paused(), pytest.raises(UnavailableError):
            await client.call(Command.running(COUNT, ["n"]), repeat=False)
        # It was in the server's buffer and counted there: twice at most, never once for each attempt.
        assert int(await get(client, "n") or 0) <= 2

    async def test_what_was_certainly_not_done_is(self, server: RedisServer, connect: Connect) -> None:
        client = connect(server, timeout_s=30)
        assert await client.call(Command.running(COUNT, ["n"]), repeat=False) == 1
        await asyncio.to_thread(server.kill)
        asking = asyncio.create_task(client.call(Command.running(COUNT, ["n"]), repeat=False))
        await asyncio.to_thread(server.start)
        assert await asking == 2  # the old connection was seen to have ended, a new one could not be made for a while

    async def test_a_server_that_is_loading_is_waited_for(self, server: RedisServer, connect: Connect) -> None:
        client = connect(server, timeout_s=30)
        for first in range(0, 4000, 1000):
            batch = [Command.of("SET", f"k{number}", b"x" * 5000) for number in range(first, first + 1000)]
            await client.pipeline(batch)
        server.command("CONFIG", "SET", "key-load-delay", "100")  # microseconds for each key
        server.command("CONFIG", "REWRITE")
        server.kill()
        starting = asyncio.create_task(asyncio.to_thread(server.start))
        assert await client.call(Command.of("STRLEN", "k3999")) == 5000
        await starting


class TestAnswers:
    async def test_a_script_is_sent_in_full_where_it_is_not_known(self, server: RedisServer, connect: Connect) -> None:
        client = connect(server)
        for expected in (1, 2):
            assert await client.call(Command.running(COUNT, ["n"]), repeat=False) == expected
        server.command("SCRIPT", "FLUSH")
        assert await client.call(Command.running(COUNT, ["n"]), repeat=False) == 3

    async def test_a_refusal_does_not_harm_the_commands_around_it(self, server: RedisServer, connect: Connect) -> None:
        client = connect(server)
        await client.call(Command.of("SET", "text", "t"))
        with pytest.raises(InternalError, match="WRONGTYPE"):
            await client.pipeline(
                [Command.of("SET", "a", "1"), Command.of("HGETALL", "text"), Command.of("SET", "b", "2")]
            )
        assert [await get(client, key) for key in ("a", "b", "text")] == [b"1", b"2", b"t"]

    async def test_cancelled_calls_leave_no_reply_behind(self, server: RedisServer, connect: Connect) -> None:
        client = connect(server, connections=2)
        for number in range(20):
            await client.call(Command.of("SET", f"k{number}", number))
        for patience in range(20):
            asking = [asyncio.create_task(get(client, f"k{number}")) for number in range(20)]
            for _ in range(patience):
                await asyncio.sleep(0)
            for task in asking[::2]:
                task.cancel()
            await asyncio.wait(asking)
            assert [await task for task in asking[1::2]] == [b"%d" % number for number in range(1, 20, 2)]

    async def test_connections_are_bounded(self, server: RedisServer, connect: Connect) -> None:
        client = connect(server, connections=3)
        async with asyncio.TaskGroup() as tasks:
            for number in range(200):
                tasks.create_task(client.call(Command.of("SET", f"k{number}", b"x" * 10_000)))
        listed = server.command("CLIENT", "LIST").decode().splitlines()
        assert sum("name=headrace" in line for line in listed) == 3


class TestCredentials:
    async def test_tls_and_password(self, tmp_path: Path, connect: Connect) -> None:
        certificates = Certificates(tmp_path / "certificates")
        server = RedisServer(tmp_path / "redis", certificates=certificates, options={"requirepass": "s3cret"})
        server.start()
        try:
            client = connect(server, password="s3cret", ca_file=certificates.authority)
            await client.call(Command.of("SET", "a", "1"))
            assert await get(client, "a") == b"1"
            with pytest.raises(UnavailableError, match="refuses the credentials") as refused:
                await get(connect(server, password="wr0ng", ca_file=certificates.authority), "a")
            assert "wr0ng" not in str(refused.value)
            with pytest.raises(UnavailableError, match="refuses the credentials"):
                await get(connect(server, ca_file=certificates.authority), "a")
            with pytest.raises(UnavailableError, match=r"(?i)certificate"):
                await get(connect(server, password="s3cret", timeout_s=0.5), "a")
        finally:
            server.kill()

    async def test_what_a_user_may_not_do_is_named(self, server: RedisServer, connect: Connect) -> None:
        server.command("ACL", "SETUSER", "limited", "on", ">pw", "~*", "+@all", "-get")
        with pytest.raises(UnavailableError, match=r"(?i)forbids.*get"):
            await get(connect(server, username="limited", password="pw"), "a")

    async def test_no_client_shows_its_password(self, server: RedisServer, connect: Connect) -> None:
        assert "s3cret" not in repr(connect(server, password="s3cret")._settings)
