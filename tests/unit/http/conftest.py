"""One server for all tests, and an instance of its own for each: nobody sees anybody else's data."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.server import Server, serving


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    async with serving(tmp_path_factory.mktemp("http") / "data") as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def server(running: Server) -> Server:
    return await running.fresh()
