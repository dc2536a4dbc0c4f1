"""What the native allocator is told, and whom else that reaches."""

import os
import subprocess
import sys

import pytest

from headrace import allocator
from headrace.settings import ClusterRole

NAME = "MIMALLOC_PURGE_DELAY"


def test_a_distributor_keeps_freed_pages_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "7")
    allocator.suit(ClusterRole.DISTRIBUTOR)
    assert os.environ[NAME] == "7"  # the operator's own
    monkeypatch.delenv(NAME)
    for role in (ClusterRole.INGESTER, ClusterRole.QUERIER):
        allocator.suit(role)
        assert NAME not in os.environ
    allocator.suit(ClusterRole.DISTRIBUTOR)
    assert os.environ[NAME] == "1000"


@pytest.mark.parametrize("before", [None, "7"])
def test_what_is_set_for_loading_the_module_is_not_passed_on(before: str | None) -> None:
    environment = {name: value for name, value in os.environ.items() if name != NAME}
    if before is not None:
        environment[NAME] = before
    code = f"import os, shared.native; print(os.environ.get({NAME!r}))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(before)
