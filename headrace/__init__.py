"""The composition root: the only place where the roles meet."""

from importlib.metadata import PackageNotFoundError, version


def release() -> str:
    """The installed version; `dev` when the packages run from a folder without an installation."""
    try:
        return version("headrace")
    except PackageNotFoundError:
        return "dev"
