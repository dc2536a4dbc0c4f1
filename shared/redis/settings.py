"""Where Redis is and how it is spoken to. The composition root builds it; tests shorten the times."""

import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

from shared.errors import BadDataError

_DEFAULT_PORT = 6379

_FORM = "redis://HOST:PORT, with TLS rediss://HOST:PORT, and for a cluster redis://HOST:PORT,HOST:PORT,…"


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """`addresses` is the one server, or some nodes of a cluster by which the others are found."""

    addresses: tuple[tuple[str, int], ...]
    is_cluster: bool = False
    database: int = 0
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None  # none: the system's authorities
    cert_file: Path | None = None  # of this process, with its key; none: the server asks for none
    key_file: Path | None = None
    timeout_s: float = 5.0  # of one call, waiting, reconnecting and repeating included
    connections: int = 16  # to each node, at most

    @property
    def url(self) -> str:
        """Without credentials."""
        hosts = ",".join(show_address(host, port) for host, port in self.addresses)
        return f"{'rediss' if self.tls else 'redis'}://{hosts}" + (f"/{self.database}" if self.database else "")


def show_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_url(url: str, *, is_cluster: bool = False) -> RedisSettings:
    """Settings with the defaults for what a URL does not say. Credentials in it are refused, and not repeated."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in {"redis", "rediss"}:
        raise BadDataError(f"the URL of Redis has the form {_FORM}")
    if "@" in rest:
        raise BadDataError("the URL of Redis holds credentials: give them as redis.user and redis.password")
    hosts, _, database = rest.partition("/")
    if database and not database.isdigit():
        raise BadDataError("the URL of Redis ends with the number of a database, or with none")
    if is_cluster and database not in {"", "0"}:
        raise BadDataError("a Redis Cluster has no databases: leave the number out")
    addresses = tuple(_address(host) for host in hosts.split(","))
    if len(addresses) > 1 and not is_cluster:
        raise BadDataError("several hosts are those of a Redis Cluster: set redis.cluster, or name one")
    return RedisSettings(addresses, is_cluster=is_cluster, database=int(database or 0), tls=scheme == "rediss")


def _address(text: str) -> tuple[str, int]:
    try:
        parsed = urllib.parse.urlsplit(f"//{text}")
        host, port = parsed.hostname, parsed.port
    except ValueError:
        host, port = None, None
    if not host or port == 0:
        raise BadDataError(f"{text!r} is no host of Redis: {_FORM}")
    return host, port or _DEFAULT_PORT
