"""What a Redis must be like to hold the only copy of anything, looked at when a process starts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from redis.exceptions import ResponseError

from shared.redis.client import Client
from shared.redis.settings import RedisSettings

_MIN_VERSION = 7  # scripts that a full Redis runs


@dataclass(frozen=True, slots=True)
class Findings:
    """`refusals` are reasons not to start, each with what mends it; `notes` what an operator should know."""

    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


async def check_servers(client: Client, settings: RedisSettings, *, allow_unpersisted: bool) -> Findings:
    """Looks at every leader. UnavailableError while one cannot be reached."""
    infos = await client.on_every_leader("INFO")
    saves = await client.on_every_leader("CONFIG", "GET", "save")
    refusals: list[str] = []
    notes: list[str] = []
    for address, reply in infos.items():
        if isinstance(reply, ResponseError):
            notes.append(
                f"Redis at {address} does not answer INFO ({reply}), so this could not be checked: version "
                f"{_MIN_VERSION} or newer, maxmemory-policy noeviction, appendonly yes"
            )
            continue
        server = _Server(address, settings, _parsed(reply), _save_points(saves[address]))
        refusals += server.refusals(allow_unpersisted=allow_unpersisted)
        notes += server.notes(allow_unpersisted=allow_unpersisted)
    return Findings(tuple(refusals), tuple(notes))


@dataclass(frozen=True, slots=True)
class _Server:
    address: str
    settings: RedisSettings
    info: Mapping[str, str]
    save_points: str | None  # of redis.conf; None: the server does not tell

    def refusals(self, *, allow_unpersisted: bool) -> Iterator[str]:
        version = self.info.get("redis_version", "")
        major = version.partition(".")[0]
        if major.isdigit() and int(major) < _MIN_VERSION:
            yield f"Redis at {self.address} is {version}, Headrace needs {_MIN_VERSION} or newer"
        if self.info.get("cluster_enabled") == "1" and not self.settings.is_cluster:
            yield f"Redis at {self.address} is a node of a Redis Cluster: set redis.cluster to true"
        if self.info.get("role") == "slave":
            leader = f"{self.info.get('master_host')}:{self.info.get('master_port')}"
            yield f"Redis at {self.address} is a replica: give its leader, {leader}, as redis.url"
        policy = self.info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            yield (
                f"Redis at {self.address} has the maxmemory-policy {policy}, which silently removes blocks when memory "
                f"is short. {self._mended_by('maxmemory-policy', 'noeviction')}"
            )
        if self.info.get("aof_enabled", "1") != "1" and not allow_unpersisted:
            yield (
                f"Redis at {self.address} {self._persistence}. {self._mended_by('appendonly', 'yes')} Or accept that "
                "with redis.allow_unpersisted_store"
            )

    def notes(self, *, allow_unpersisted: bool) -> Iterator[str]:
        for field, meaning in (
            ("redis_version", f"version {_MIN_VERSION} or newer"),
            ("maxmemory_policy", "maxmemory-policy noeviction"),
            ("aof_enabled", "appendonly yes"),
        ):
            if field not in self.info:
                yield f"Redis at {self.address} does not tell its {field}, so this could not be checked: {meaning}"
        if self.info.get("aof_enabled") == "0" and allow_unpersisted:
            yield f"Redis at {self.address} {self._persistence}, which redis.allow_unpersisted_store accepts"
        if self.info.get("aof_last_write_status", "ok") != "ok":
            yield f"Redis at {self.address} cannot write its append-only file: is its disk full?"
        if self.info.get("maxmemory") == "0":
            yield (
                f"Redis at {self.address} has no maxmemory: when the machine's memory is used up the kernel ends it, "
                f"instead of Headrace waiting for room. {self._mended_by('maxmemory', '8gb')}"
            )

    @property
    def _persistence(self) -> str:
        if self.save_points == "":
            return "keeps nothing on its disk: a restart loses every block that the log no longer has"
        return "keeps snapshots only: a restart loses what came after the last one"

    def _mended_by(self, setting: str, value: str) -> str:
        host, _, port = self.address.rpartition(":")
        tls = " --tls" if self.settings.tls else ""
        return (
            f"Mend it with `redis-cli{tls} -h {host.strip('[]')} -p {port} CONFIG SET {setting} {value}` "
            f"and `{setting} {value}` in its redis.conf."
        )


def _parsed(reply: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    return {name: value for name, separator, value in lines if separator and not name.startswith("#")}


def _save_points(reply: object) -> str | None:
    match reply:
        case [b"save", bytes() as points]:
            return points.decode()
        case _:  # CONFIG is forbidden, as managed services have it
            return None
