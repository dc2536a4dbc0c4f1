"""Checks the data folder of a standalone server, which must not be running."""

import asyncio

from headrace.core import vault_of
from headrace.fsck.report import DAMAGE, CheckError, Report
from headrace.fsck.store import check_store, fixed
from headrace.settings import STANDALONE_PARTITIONS, Settings
from shared.auth.tokens import open_vault
from shared.local.registry import LocalRegistry
from shared.local.store import LocalStore
from shared.native import Files, LocalLog, Splitter


def check_folder(settings: Settings) -> Report:
    """Reads all of log and store. Like a start, it repairs the log's torn tail and removes orphaned payload."""
    if not (settings.data / "registry.journal").exists():
        raise CheckError(f"{settings.data} is no data folder of Headrace: name one with --data")
    try:
        lock = Files.real().lock(str(settings.data))
    except OSError as error:
        raise CheckError(str(error.strerror)) from None
    try:
        return asyncio.run(_Checker(settings).run())
    finally:
        lock.release()


class _Checker:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._data = settings.data
        self._files = Files.real()
        self._report = Report()

    async def run(self) -> Report:
        try:
            registry = LocalRegistry.open(
                self._files,
                str(self._data / "registry.journal"),
                partitions=self._settings.partitions or STANDALONE_PARTITIONS,
            )
        except DAMAGE as error:
            self._report.problems.append(f"registry: {error}")
            return self._report  # without its secret and partitions nothing else can be opened
        try:
            await self._registry(registry)
            ends = await self._log(registry)
            await self._store(registry, ends)
        finally:
            await registry.close()
        return self._report

    async def _registry(self, registry: LocalRegistry) -> None:
        instances = await registry.instances()
        self._report.facts.append(f"registry: {len(instances)} instances")
        try:
            settings = self._settings
            vault = vault_of(settings) or open_vault(settings.vault_key_file, sealed=len(instances))
            for instance in instances:
                vault.unseal(instance.uid, instance.token_sealed)
        except DAMAGE as error:
            self._report.problems.append(f"registry: {error}")

    async def _log(self, registry: LocalRegistry) -> tuple[int, int] | None:
        """(first offset held, first offset not held); None if the log cannot be opened."""
        cluster = await registry.cluster()
        splitter = Splitter(secret=cluster.hash_secret, partitions=cluster.partitions)
        try:
            log = LocalLog.open(self._files, str(self._data / "log"), splitter=splitter)
            try:
                first, end = log.first, log.committed
                self._report.facts.append(f"log: offsets {first} to {end}, {log.bytes} bytes")
                _read_all(log, first, end)
            finally:
                log.close()
        except DAMAGE as error:
            self._report.problems.append(f"log: {error}")
            return None
        return first, end

    async def _store(self, registry: LocalRegistry, ends: tuple[int, int] | None) -> None:
        try:
            store = LocalStore.open(self._files, str(self._data / "store"))
        except DAMAGE as error:
            self._report.problems.append(f"store: {error}")
            return
        known = {instance.uid for instance in await registry.instances()} | set(await registry.deleted_uids())
        partitions = range((await registry.cluster()).partitions)
        every = None if ends is None else fixed(*ends)
        try:
            await check_store(store, partitions, known=known, ends=every, report=self._report)
        finally:
            await store.close()


def _read_all(log: LocalLog, offset: int, end: int) -> None:
    while offset < end:
        records = log.read(offset, max_records=1000, timeout_ms=0)
        if not records or records[0].offset != offset:
            raise ValueError(f"nothing is held from offset {offset} on, although the log ends at {end}")
        offset = records[-1].offset + 1
