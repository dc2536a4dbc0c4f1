"""The composition root: the only place where the roles meet."""

import sys
from pathlib import Path


def release() -> str:
    """The installed version; `dev` when the packages run from a folder without an installation."""
    from importlib.metadata import PackageNotFoundError, version  # a tenth of the time that a start takes

    try:
        return version("headrace")
    except PackageNotFoundError:
        return "dev"


def command() -> str:
    """The command line as it was called, so that what we print can be pasted: it is seldom on the PATH."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{sys.executable} -m headrace"
    return str(called) if called.name == "headrace" else "headrace"
