"""The real servers that tests compare with. `scripts/tools.sh` puts them into `.tools/`."""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools" / "usr" / "bin"


def tool(name: str) -> str:
    """The path of a server or client program; without it the test is skipped, which in CI is a failure."""
    found = shutil.which(name, path=f"{TOOLS}:{os.environ.get('PATH', '')}")
    if found is None:
        message = f"{name} is not here: run scripts/tools.sh"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found
