"""A server for the cases that hold for one process and for a cluster."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.served import Served, Shared, Standalone


@pytest.fixture(params=["standalone", "cluster"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    """With an instance that nobody has written to yet. It may be stopped and killed."""
    if request.param == "cluster":
        shared = Shared(request.getfixturevalue("cluster"))
        yield shared
        shared.start()
        shared.wait_ready()
        return
    process = Standalone(tmp_path)
    try:
        process.start()
        process.wait_ready()
        yield process
    finally:
        process.kill()
