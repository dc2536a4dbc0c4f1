"""The real servers that tests compare with. `scripts/tools.sh` puts them into `.tools/`."""

import os
import shutil
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools" / "usr" / "bin"
SERVERS = ROOT / ".tools" / "usr" / "sbin"
LIBRARIES = ROOT / ".tools" / "usr" / "lib" / str(sysconfig.get_config_var("MULTIARCH"))
"""What a server of `.tools` may need and the system not have: its LD_LIBRARY_PATH."""


def tool(name: str) -> str:
    """The path of a server or client program; without it the test is skipped, which in CI is a failure."""
    found = shutil.which(name, path=f"{TOOLS}:{SERVERS}:{os.environ.get('PATH', '')}")
    if found is None:
        message = f"{name} is not here: run scripts/tools.sh"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found
