"""What a process of a cluster cannot do without, beyond what has a default."""

from collections.abc import Iterator
from enum import StrEnum

from headrace.settings.loading import SettingsError, variable_of
from headrace.settings.model import Settings

_MAKE_SECRET = "make one with `openssl rand -hex 32` and give it to every process"  # noqa: S105  a command


class ClusterRole(StrEnum):
    DISTRIBUTOR = "distributor"
    INGESTER = "ingester"
    QUERIER = "querier"

    @property
    def administers(self) -> bool:
        """Whether it makes and changes instances, for which it seals tokens."""
        return self is not ClusterRole.INGESTER


def check_needs(settings: Settings, role: ClusterRole) -> None:
    """Raises SettingsError that names everything that is missing."""
    if missing := list(_missing(settings, role)):
        raise SettingsError("\n".join(missing))


def _missing(settings: Settings, role: ClusterRole) -> Iterator[str]:
    if not settings.kafka.brokers:
        yield _line(role, ("kafka", "brokers"), "give the brokers, as HOST:PORT[,HOST:PORT…]")
    if settings.redis.url is None:
        yield _line(role, ("redis", "url"), "give redis://HOST:PORT")
    if settings.cluster_secret is None:
        yield _line(role, ("cluster_secret",), _MAKE_SECRET)
    if role.administers and settings.key is None and settings.key_file is None:
        yield _line(role, ("key",), f"{_MAKE_SECRET}, or name a file that holds it as key_file")


def _line(role: ClusterRole, path: tuple[str, ...], remedy: str) -> str:
    return f"{'.'.join(path)} ({variable_of(path)}): the {role} needs it: {remedy}"
