"""Checks a data folder: registry, log, directories, payload and cursors against each other."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from headrace.core import vault_of
from headrace.settings import STANDALONE_PARTITIONS, Settings
from shared.auth.tokens import open_vault
from shared.errors import HeadraceError
from shared.local.registry import LocalRegistry
from shared.local.store import LocalStore
from shared.native import BlockReader, CorruptError, Files, LocalLog, Splitter, UnsupportedError
from shared.seams.store import Directory, Manifest

_DAMAGE = (HeadraceError, CorruptError, UnsupportedError, OSError, ValueError)


class CheckError(Exception):
    """The folder cannot be looked at; the text says why."""


@dataclass(slots=True)
class Report:
    facts: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        verdict = f"{len(self.problems)} problems" if self.problems else "no problems"
        return "\n".join([*self.facts, *(f"PROBLEM {problem}" for problem in self.problems), verdict])


def check(settings: Settings) -> Report:
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
        except _DAMAGE as error:
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
        except _DAMAGE as error:
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
        except _DAMAGE as error:
            self._report.problems.append(f"log: {error}")
            return None
        return first, end

    async def _store(self, registry: LocalRegistry, ends: tuple[int, int] | None) -> None:
        try:
            store = LocalStore.open(self._files, str(self._data / "store"))
        except _DAMAGE as error:
            self._report.problems.append(f"store: {error}")
            return
        known = {instance.uid for instance in await registry.instances()} | set(await registry.deleted_uids())
        try:
            for partition in range((await registry.cluster()).partitions):
                directory = await store.directory(partition)
                manifests = [m for group in directory.manifests.values() for m in group]
                self._report.facts.append(
                    f"partition {partition}: {len(manifests)} blocks, {sum(m.samples for m in manifests)} samples, "
                    f"generation {directory.generation}, replay from {directory.replay_from}"
                )
                problems = [*_cursor_problems(directory, ends)]
                problems += [
                    f"block {m.root_key}: its instance does not exist" for m in manifests if m.uid not in known
                ]
                for manifest in manifests:
                    problems += [f"block {manifest.root_key}: {p}" for p in await _block_problems(store, manifest)]
                self._report.problems += [f"partition {partition}: {problem}" for problem in problems]
        finally:
            await store.close()


def _read_all(log: LocalLog, offset: int, end: int) -> None:
    while offset < end:
        records = log.read(offset, max_records=1000, timeout_ms=0)
        if not records or records[0].offset != offset:
            raise ValueError(f"nothing is held from offset {offset} on, although the log ends at {end}")
        offset = records[-1].offset + 1


def _cursor_problems(directory: Directory, ends: tuple[int, int] | None) -> Iterator[str]:
    if ends is not None:
        first, end = ends
        if first > directory.replay_from:
            yield f"replay begins at {directory.replay_from}, the log at {first}: what lies between is gone"
        contained = max([directory.replay_from, *directory.through.values()])
        if contained > end:
            yield f"the store holds the log up to {contained}, but the log ends at {end}: it was replaced or cut"
    for group in directory.manifests.values():
        for manifest in group:
            through = _stored_up_to(directory, manifest)
            if not manifest.from_offset < manifest.to_offset <= through:
                yield (
                    f"block {manifest.root_key} covers {manifest.from_offset} to {manifest.to_offset} of window "
                    f"{manifest.window}, which is stored up to {through}"
                )


def _stored_up_to(directory: Directory, manifest: Manifest) -> int:
    """The offset up to which the store contains the windows of a block. A merged block reaches over several."""
    first = max((window for window in directory.through if window <= manifest.min_time), default=manifest.window)
    windows = [window for window in directory.through if first <= window <= manifest.max_time]
    return max((directory.through[window] for window in windows), default=0)


async def _block_problems(store: LocalStore, manifest: Manifest) -> list[str]:
    try:
        root, *pages = await store.fetch([manifest.root_key, *manifest.page_keys])
        reader = BlockReader.open(root)
        digest = reader.verify(pages)
    except _DAMAGE as error:
        return [str(error)]
    problems = []
    if digest != manifest.digest:
        problems.append(f"its samples have the digest {digest.hex()}, the manifest says {manifest.digest.hex()}")
    if reader.series != manifest.series:
        problems.append(f"it holds {reader.series} series, the manifest says {manifest.series}")
    return problems
