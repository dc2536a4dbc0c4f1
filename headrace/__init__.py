"""The composition root: the only place where the roles meet."""


def release() -> str:
    """The installed version; `dev` when the packages run from a folder without an installation."""
    from importlib.metadata import PackageNotFoundError, version  # a tenth of the time that a start takes

    try:
        return version("headrace")
    except PackageNotFoundError:
        return "dev"
