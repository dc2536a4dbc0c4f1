"""The registry of a standalone server: a journal, and all of it in memory.

Keys: `cluster`, `fact/NAME`, `instance/APPID`, `token/SHA256`, `deleted/UID`. The token keys make a token unique;
values are JSON, facts text.
"""

import asyncio

from shared.errors import UnavailableError
from shared.model.instance import Instance
from shared.model.records import decode_cluster, decode_instance, encode_cluster, encode_instance
from shared.native import Files, Journal
from shared.seams.registry import Cluster

_CLUSTER = "cluster"
_INSTANCE = "instance/"


class LocalRegistry:
    """Every change is durable when its call returns."""

    def __init__(self, journal: Journal, cluster: Cluster, instances: list[Instance]) -> None:
        self._journal = journal
        self._cluster = cluster
        self._by_app_id = {instance.app_id: instance for instance in instances}
        self._by_token = {instance.token_sha256: instance for instance in instances}
        self._changing = asyncio.Lock()
        self._version = 0

    @classmethod
    def open(cls, files: Files, path: str, *, partitions: int) -> "LocalRegistry":
        """`partitions` counts when the journal is new; afterwards the recorded number stands. Blocks on the disk."""
        journal = Journal.open(files, path)
        recorded = journal.get(_CLUSTER)
        if recorded is None:
            recorded = encode_cluster(Cluster.new(partitions))
            journal.commit({_CLUSTER: recorded}, expect={_CLUSTER: None})
        instances = [decode_instance(key.removeprefix(_INSTANCE), value) for key, value in journal.scan(_INSTANCE)]
        return cls(journal, decode_cluster(recorded), instances)

    @property
    def version(self) -> int:
        return self._version

    @property
    def size(self) -> int:
        return len(self._by_app_id)

    async def cluster(self) -> Cluster:
        return self._cluster

    async def pin(self, fact: str, value: str) -> str:
        key = f"fact/{fact}"
        async with self._changing:
            if (standing := self._journal.get(key)) is not None:
                return standing.decode()
            await self._commit({key: value.encode()}, [], {key: None})
            return value

    async def pinned(self, fact: str) -> str | None:
        standing = self._journal.get(f"fact/{fact}")
        return None if standing is None else standing.decode()

    async def instances(self) -> list[Instance]:
        return sorted(self._by_app_id.values(), key=lambda instance: instance.app_id)

    async def by_app_id(self, app_id: str) -> Instance | None:
        return self._by_app_id.get(app_id)

    async def by_token_sha256(self, digest: bytes) -> Instance | None:
        return self._by_token.get(digest)

    async def create(self, instance: Instance) -> bool:
        return await self._replace(None, instance)

    async def update(self, old: Instance, new: Instance) -> bool:
        if (old.app_id, old.uid) != (new.app_id, new.uid):
            raise ValueError("an update keeps an instance's name and uid")
        return await self._replace(old, new)

    async def delete(self, instance: Instance) -> bool:
        return await self._replace(instance, None)

    async def deleted_uids(self) -> list[bytes]:
        return [bytes.fromhex(key.removeprefix("deleted/")) for key, _ in self._journal.scan("deleted/")]

    async def purged(self, uid: bytes) -> None:
        async with self._changing:
            await self._commit({}, [f"deleted/{uid.hex()}"], {})

    async def close(self) -> None:
        async with self._changing:
            await asyncio.to_thread(self._journal.close)

    async def _replace(self, old: Instance | None, new: Instance | None) -> bool:
        """The one change there is: `old` stands (None: nothing does) and becomes `new` (None: it goes)."""
        async with self._changing:
            puts: dict[str, bytes] = {}
            deletes: list[str] = []
            expect: dict[str, bytes | None] = {}
            if new is not None:
                expect |= {_name_key(new): None, _token_key(new): None}
                puts |= {_name_key(new): encode_instance(new), _token_key(new): new.app_id.encode()}
            if old is not None:
                if self._by_app_id.get(old.app_id) != old:
                    return False
                # The bytes as they lie there: a record of another release may be spelled differently from ours.
                expect |= {key: self._journal.get(key) for key in (_name_key(old), _token_key(old))}
                deletes = [key for key in (_name_key(old), _token_key(old)) if key not in puts]
            if old is not None and new is None:
                puts[f"deleted/{old.uid.hex()}"] = b""
            if not await self._commit(puts, deletes, expect):
                return False
            if old is not None:
                del self._by_app_id[old.app_id], self._by_token[old.token_sha256]
            if new is not None:
                self._by_app_id[new.app_id] = self._by_token[new.token_sha256] = new
            self._version += 1
        return True

    async def _commit(self, puts: dict[str, bytes], deletes: list[str], expect: dict[str, bytes | None]) -> bool:
        try:
            return await asyncio.to_thread(self._journal.commit, puts, deletes, expect=expect)
        except OSError as error:
            raise UnavailableError(f"the registry cannot be written: {error}") from error


def _name_key(instance: Instance) -> str:
    return f"{_INSTANCE}{instance.app_id}"


def _token_key(instance: Instance) -> str:
    return f"token/{instance.token_sha256.hex()}"
