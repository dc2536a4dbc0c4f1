"""A server for the cases that hold for one process and for a cluster."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.served import Served, Shared, Standalone


@pytest.fixture(params=["standalone", "cluster"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    """With an instance that nobody has written to yet, without what others pushed. It may be stopped and killed."""
    if request.param == "cluster":
        cluster = request.getfixturevalue("cluster")
        cluster.wipe_pushes()
        shared = Shared(cluster)
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


@pytest.fixture(scope="module", params=["standalone", "cluster"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for all tests of a module, which tell their data apart and leave it running."""
    if request.param == "cluster":
        yield Shared(request.getfixturevalue("cluster"))
        return
    process = Standalone(tmp_path_factory.mktemp("standalone"), env={"HEADRACE_PUSH__INTERVAL_S": "1"})
    try:
        process.start()
        process.wait_ready()
        yield process
    finally:
        process.kill()
