"""The registry on Redis. A process holds all instances in memory and looks every second for what has changed."""

import asyncio
import contextlib
import secrets
import time
from dataclasses import dataclass

import structlog

from shared.errors import HeadraceError, InternalError, UnavailableError
from shared.model.instance import Instance
from shared.model.records import decode_cluster, decode_instance, encode_cluster, encode_instance
from shared.redis import scripts
from shared.redis.client import Client, Command
from shared.redis.keys import CLUSTER, DELETED, FACTS, INSTANCES, REGISTRY_CHANGES, REGISTRY_STATE, TOKENS
from shared.redis.node import Argument, Reply
from shared.redis.records import check_format, decode_number
from shared.seams.registry import Cluster

log = structlog.get_logger(__name__)

_POLL_S = 1.0
_MISS_S = 0.25  # between two looks for names and tokens that nobody knows: garbage must not cost Redis much
_MISS_WAIT_S = 1.0
_MAX_BEHIND = 1000
_SCAN = 1000
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class _Held:
    instance: Instance
    record: bytes  # as it lies there: another release may spell it differently


class RedisRegistry:
    """`shared.seams.registry.Registry`. The client is the caller's to close, after this.

    While Redis is away, what was known last still serves, and changes fail with UnavailableError. Everywhere else a
    change is seen within a second or so; a new token even sooner, since one that nobody knows is looked for at once.
    """

    def __init__(self, client: Client, cluster: Cluster, *, poll_s: float) -> None:
        self._client = client
        self._cluster = cluster
        self._by_app_id: dict[str, _Held] = {}
        self._by_token: dict[bytes, str] = {}
        self._version = 0
        self._generation, self._mark = 0, ""
        self._refreshing = asyncio.Lock()
        self._looked = 0.0  # when the last look began, by the monotonic clock
        self._is_away = False
        self._poll_s = poll_s
        self._polling: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, client: Client, *, partitions: int, poll_s: float = _POLL_S) -> "RedisRegistry":
        """`partitions` counts for the very first process; afterwards the recorded number stands.

        UnavailableError while Redis is away. InternalError: a record is damaged or of a newer format.
        """
        mine = Cluster.new(partitions)
        # Of two that start first, one sets it and both read it.
        await client.call(Command(CLUSTER, ("SET", CLUSTER, encode_cluster(mine), "NX")))
        recorded = await client.call(Command.of("GET", CLUSTER))
        if recorded is None:
            raise UnavailableError("the registry was emptied while it was opened")
        registry = cls(client, decode_cluster(recorded), poll_s=poll_s)
        await registry._refresh()
        registry._polling = asyncio.create_task(registry._poll(), name="registry-poll")
        return registry

    @property
    def version(self) -> int:
        return self._version

    @property
    def size(self) -> int:
        return len(self._by_app_id)

    async def cluster(self) -> Cluster:
        return self._cluster

    async def pin(self, fact: str, value: str) -> str:
        _, standing = await self._client.pipeline(
            [Command.of("HSETNX", FACTS, fact, value), Command.of("HGET", FACTS, fact)]
        )
        if standing is None:
            raise UnavailableError("the registry was emptied while a fact was pinned")
        return bytes(standing).decode()

    async def pinned(self, fact: str) -> str | None:
        standing = await self._client.call(Command.of("HGET", FACTS, fact))
        return None if standing is None else bytes(standing).decode()

    async def instances(self) -> list[Instance]:
        return [held.instance for _, held in sorted(self._by_app_id.items())]

    async def by_app_id(self, app_id: str) -> Instance | None:
        if app_id not in self._by_app_id:
            await self._look_again()
        held = self._by_app_id.get(app_id)
        return None if held is None else held.instance

    async def by_token_sha256(self, digest: bytes) -> Instance | None:
        if digest not in self._by_token:
            await self._look_again()
        app_id = self._by_token.get(digest)
        return None if app_id is None else self._by_app_id[app_id].instance

    async def create(self, instance: Instance) -> bool:
        return await self._change(instance.app_id, None, instance)

    async def update(self, old: Instance, new: Instance) -> bool:
        if (old.app_id, old.uid) != (new.app_id, new.uid):
            raise ValueError("an update keeps an instance's name and uid")
        return await self._change(old.app_id, old, new)

    async def delete(self, instance: Instance) -> bool:
        return await self._change(instance.app_id, instance, None)

    async def deleted_uids(self) -> list[bytes]:
        return sorted(bytes.fromhex(uid.decode()) for uid in await self._client.call(Command.of("SMEMBERS", DELETED)))

    async def purged(self, uid: bytes) -> None:
        await self._client.call(Command.of("SREM", DELETED, uid.hex()))

    async def close(self) -> None:
        if self._polling is not None:
            self._polling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._polling

    async def _change(self, name: str, old: Instance | None, new: Instance | None) -> bool:
        """The one change there is: `old` stands (None: nothing does) and becomes `new` (None: it goes)."""
        await self._refresh()
        standing: list[Argument] = ["", "", "", ""]
        if old is not None:
            held = self._by_app_id.get(old.app_id)
            if held is None or held.instance != old:
                return False
            standing = [old.app_id, held.record, old.token_sha256.hex(), old.uid.hex()]
        coming: list[Argument] = ["", "", ""]
        if new is not None:
            coming = [new.app_id, encode_instance(new), new.token_sha256.hex()]
        args = [secrets.token_hex(8), *standing, *coming, name.encode().hex()]
        keys = [REGISTRY_STATE, REGISTRY_CHANGES, INSTANCES, TOKENS, DELETED]
        # Sent once: repeated, it would find its own work and call it somebody else's.
        changed = await self._client.call(Command.running(scripts.CHANGE_REGISTRY, keys, args), repeat=False)
        with contextlib.suppress(UnavailableError):  # it is done; the next look will see it
            await self._refresh()
        return bool(changed)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self._refresh()
            except HeadraceError as error:
                if not self._is_away:
                    log.warning("registry_unreachable", error=str(error), instances=len(self._by_app_id))
                self._is_away = True
            else:
                if self._is_away:
                    log.info("registry_reachable", instances=len(self._by_app_id))
                self._is_away = False

    async def _look_again(self) -> None:
        """For what nobody knows, unless somebody has looked just now or Redis is away."""
        if self._is_away or time.monotonic() - self._looked < _MISS_S:
            return
        with contextlib.suppress(HeadraceError, TimeoutError):
            async with asyncio.timeout(_MISS_WAIT_S):
                await self._refresh()

    async def _refresh(self) -> None:
        """Takes over what has changed. What runs at the same time waits, and finds it done."""
        async with self._refreshing:
            self._looked = time.monotonic()
            reply = await self._client.call(Command.of("HMGET", REGISTRY_STATE, "format", "generation", "mark"))
            if self._is_current(reply):
                return
            for _ in range(_ATTEMPTS):
                command = Command.running(
                    scripts.READ_REGISTRY,
                    [REGISTRY_STATE, REGISTRY_CHANGES, INSTANCES],
                    [self._generation, self._mark, _MAX_BEHIND],
                )
                head, *changed = await self._client.call(command)
                if changed:
                    self._take(dict(zip(changed[0][::2], changed[0][1::2], strict=True)))
                    self._set_state(head)
                    return
                await self._read_all()
        raise UnavailableError("the registry changes faster than it can be read")

    async def _read_all(self) -> None:
        """Everything, though not as it was at one moment: what changes meanwhile is to be read again."""
        [head, cluster] = await self._client.pipeline(
            [Command.of("HMGET", REGISTRY_STATE, "format", "generation", "mark"), Command.of("GET", CLUSTER)]
        )
        if cluster is None or decode_cluster(cluster) != self._cluster:
            raise InternalError(
                f"Redis does not hold the cluster {self._cluster.cluster_id} any more: it was emptied or replaced. "
                "What is known serves on; restore Redis from its append-only file or a copy, or start everything anew"
            )
        found: dict[bytes, bytes | None] = {name.encode(): None for name in self._by_app_id}
        cursor = b"0"
        while True:
            cursor, flat = await self._client.call(Command.of("HSCAN", INSTANCES, cursor, "COUNT", _SCAN))
            found.update(zip(flat[::2], flat[1::2], strict=True))
            if cursor == b"0":
                break
        self._take(found)
        self._set_state(head)

    def _is_current(self, head: Reply) -> bool:
        return self._state(head) == (self._generation, self._mark)

    def _set_state(self, head: Reply) -> None:
        self._generation, self._mark = self._state(head)

    def _state(self, head: Reply) -> tuple[int, str]:
        found, generation, mark = head
        if found is not None:
            check_format(REGISTRY_STATE, decode_number(REGISTRY_STATE, found))
        return decode_number(REGISTRY_STATE, generation), (mark or b"").decode()

    def _take(self, records: dict[bytes, bytes | None]) -> None:
        """Records as they stand now, by name; None: there is none. What cannot be read stays as it was known."""
        for name, record in records.items():
            app_id = name.decode(errors="replace")
            before = self._by_app_id.get(app_id)
            if (None if before is None else before.record) == record:
                continue
            try:
                after = None if record is None else _Held(decode_instance(app_id, record), record)
            except InternalError as error:
                if self._polling is None:  # the start, which can still refuse
                    raise
                log.exception("registry_record_unreadable", error=str(error))
                continue
            if before is not None:
                del self._by_app_id[app_id]
                if self._by_token.get(before.instance.token_sha256) == app_id:
                    del self._by_token[before.instance.token_sha256]
            if after is not None:
                self._by_app_id[app_id] = after
                self._by_token[after.instance.token_sha256] = app_id
            self._version += 1
