"""Probes, and what is said while the log replays."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace import command
from headrace.banner import Banner
from headrace.readiness import Readiness
from headrace.roles.ingester import IngesterRole
from headrace.roles.running import EndedError
from shared.asgi.messages import Request
from shared.errors import ConflictError, UnavailableError


async def get(readiness: Readiness, path: str) -> Any:
    async def nothing() -> dict[str, Any]:
        return {"type": "http.request"}

    scope = {"method": "GET", "path": path, "query_string": b"", "headers": []}
    return await readiness.routes()[path].methods["GET"](Request(scope, nothing))


async def test_ready_names_what_is_missing() -> None:
    readiness = Readiness()
    readiness.waits_for(lambda: "replaying the log: 40%")
    answer = await get(readiness, "/ready")
    assert (answer.status, answer.body) == (503, b'{"status":"not ready","missing":"replaying the log: 40%"}')
    answer = await get(readiness, "/-/ready")
    assert (answer.status, answer.body) == (503, b"Service Unavailable")
    assert (b"x-prometheus-stopping", b"false") in answer.headers
    with pytest.raises(UnavailableError, match="not ready: replaying the log: 40%"):
        readiness.check()
    assert (await get(readiness, "/healthz")).status == 200
    assert (await get(readiness, "/-/healthy")).body == b"Headrace is Healthy.\n"


async def test_ready_until_it_stops() -> None:
    readiness = Readiness()
    readiness.waits_for(lambda: None)
    readiness.check()
    assert (await get(readiness, "/ready")).status == 200
    assert (await get(readiness, "/-/ready")).body == b"Headrace is Ready.\n"
    readiness.stop()
    assert b'"missing":"stopping"' in (await get(readiness, "/ready")).body
    assert (b"x-prometheus-stopping", b"true") in (await get(readiness, "/-/ready")).headers


class FakeIngester:
    """As much of an ingester as its role asks of it: `run` ends when it is told to."""

    def __init__(self, missing: str | None = None) -> None:
        self.lacks = missing
        self.ended = asyncio.Event()
        self.error: Exception | None = None

    def missing(self) -> str | None:
        return self.lacks

    async def run(self) -> None:
        await self.ended.wait()
        if self.error is not None:
            raise self.error

    async def stop(self) -> None:
        pass


async def test_an_ingester_is_ready_when_it_says_so() -> None:
    ingester: Any = FakeIngester("replaying the log, partition 3: 40%")
    role = IngesterRole(ingester, drain_s=1)
    assert role.missing() == "replaying the log, partition 3: 40%"
    ingester.lacks = None
    assert role.missing() is None
    await role.close(asyncio.Event(), drain=False)


async def test_an_ingester_that_ends_by_itself_ends_the_process() -> None:
    ingester: Any = FakeIngester()
    role = IngesterRole(ingester, drain_s=1)
    ingester.ended.set()
    with pytest.raises(EndedError, match="the ingester has ended"):
        await role.run()
    assert role.missing() == "the ingester has ended"
    await role.close(asyncio.Event())


async def test_an_ingester_whose_name_was_taken_says_by_whom() -> None:
    ingester: Any = FakeIngester()
    ingester.error = ConflictError("the name a-0 is taken by the process at h:1")
    role = IngesterRole(ingester, drain_s=1)
    ingester.ended.set()
    with pytest.raises(EndedError, match="the name a-0 is taken by the process at h:1"):
        await role.run()
    await role.close(asyncio.Event())


def test_the_banner_shows_a_token_only_where_it_is_given_one() -> None:
    def banner(token: str | None) -> Banner:
        return Banner("1", ".venv/bin/headrace", "http://h:1", Path("/d"), "app", created=True, token=token)

    shown = banner("s3cret-token").text()
    assert "curl -u app:s3cret-token 'http://h:1/api/v1/query?query=up'" in shown
    assert 'password: "s3cret-token"' in shown
    assert ".venv/bin/headrace instances show app --token --data /d" in banner(None).text()
    assert "s3cret" not in repr(banner("s3cret-token"))


@pytest.mark.parametrize(
    ("called", "pasted"),
    [
        (".venv/bin/headrace", ".venv/bin/headrace"),
        ("/opt/headrace/__main__.py", f"{sys.executable} -m headrace"),
        ("/usr/bin/pytest", "headrace"),
    ],
)
def test_what_is_to_be_pasted_names_the_command_as_it_was_called(
    called: str, pasted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    assert command() == pasted
