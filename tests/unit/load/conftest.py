"""A fake server for each test."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.unit.load.fake import FakeServer, serving


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[FakeServer]:
    async with serving() as server:
        yield server
