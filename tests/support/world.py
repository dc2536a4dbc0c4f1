"""A standalone server without its HTTP edge: log, store, registry and ingester on one file layer."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace

from ingester.service import Ingester
from ingester.settings import IngesterSettings
from querier.storage import Consistency, Storage
from shared import native
from shared.local.log import LocalLog
from shared.local.membership import LocalMembership
from shared.local.registry import LocalRegistry
from shared.local.store import LocalStore
from shared.model.instance import Instance
from shared.native import Files, Head, Matcher, Query, Splitter, WriteLimits, json_samples
from shared.seams.membership import Membership
from tests.support import remote_write_v2
from tests.support.clock import FakeClock
from tests.support.remote_write import Entry, Series, body

PARTITIONS = 4
HOUR_MS = 3_600_000
FOREVER = (-(1 << 62), 1 << 62)

Found = dict[frozenset[tuple[str, str]], list[tuple[int, str]]]
"""Label set -> (time in ms, value as Prometheus prints it)."""


def instance(app_id: str = "shop", *, shards: int = PARTITIONS) -> Instance:
    return Instance(app_id, app_id.encode().ljust(16, b"."), app_id.encode().ljust(32, b"#"), b"", shards=shards)


@dataclass
class World:
    """Open on `files` after `start`; `crash` leaves everything as a killed process would."""

    files: Files
    clock: FakeClock = field(default_factory=FakeClock)
    settings: IngesterSettings = field(default_factory=lambda: IngesterSettings(read_timeout_ms=20))
    tenant: Instance = field(default_factory=instance)
    folder: str = "data"
    running: bool = False  # whether the ingester's own loops run; without them a test calls each step itself

    async def start(self) -> "World":
        self._opened = AsyncExitStack()
        self.registry = LocalRegistry.open(self.files, f"{self.folder}/registry.journal", partitions=PARTITIONS)
        self._opened.push_async_callback(self.registry.close)
        await self.registry.create(self.tenant)
        # The same for every world, so that heads of different worlds can be compared.
        self.splitter = Splitter(secret=b"s" * 16, partitions=PARTITIONS)
        self.store = self.open_store()
        self._opened.push_async_callback(self.store.close)
        folder = f"{self.folder}/log"
        self.log = LocalLog(native.LocalLog.open(self.files, folder, splitter=self.splitter, segment_bytes=4096))
        self._opened.push_async_callback(self.log.close)
        self.ingester = self.join(self.settings)
        self._opened.push_async_callback(self.ingester.stop)
        await self.ingester.start()
        if self.running:
            self._opened.push_async_callback(_cancelled, asyncio.create_task(self.ingester.run()))
        await self.ingester.ready()
        self.storage = self.new_storage()
        return self

    def open_store(self) -> LocalStore:
        return LocalStore.open(self.files, f"{self.folder}/store", window_ms=self.settings.window_ms, clock=self.clock)

    def new_storage(self) -> Storage:
        """A querier on what this world has now."""
        return Storage(
            log=self.log,
            store=self.store,
            client=self.ingester.client(),
            partitions_of=self.splitter.partitions_of,
            clock=self.clock,
            look_up=self.store.present_directory,
        )

    def join(self, settings: IngesterSettings, membership: Membership | None = None) -> Ingester:
        """An ingester on this world's log and store; not started."""
        return Ingester(
            log=self.log,
            store=self.store,
            registry=self.registry,
            membership=membership or LocalMembership(self.clock),
            clock=self.clock,
            settings=settings,
        )

    async def crash(self) -> None:
        """Ends all that runs. Nothing more is stored; what the log had queued may or may not be written."""
        await self._opened.aclose()

    async def restarted(self, files: Files | None = None) -> "World":
        await self.crash()
        return await replace(self, files=files or self.files).start()

    def batch(self, series: Iterable[Series], metadata: Iterable[Entry] = ()) -> native.SplitBatch:
        return self._split(body(series, metadata))

    def _split(self, posted: bytes, version: int = 1) -> native.SplitBatch:
        return self.splitter.split(
            posted,
            uid=self.tenant.uid,
            shards=self.tenant.shards,
            limits=WriteLimits(max_future_ms=None),
            now_ms=self.clock.now_ms(),
            version=version,
        )

    async def write(self, series: Iterable[Series], metadata: Iterable[Entry] = ()) -> None:
        await self.log.append(self.batch(series, metadata), now_ms=self.clock.now_ms())

    async def write_v2(self, series: Iterable[remote_write_v2.Series]) -> None:
        batch = self._split(remote_write_v2.body(series), version=2)
        await self.log.append(batch, now_ms=self.clock.now_ms())

    async def read(self, *matchers: Matcher, min_ms: int = FOREVER[0], max_ms: int = FOREVER[1]) -> Found:
        """What a query would see, after everything acknowledged is visible."""
        reading = await self.storage.read(self.tenant, Consistency.STRONG)
        query = Query()
        chosen = matchers or (Matcher("__name__", "=~", ".+"),)
        found = await reading.select(query, chosen, min_ms, max_ms)
        assert reading.warnings == []
        text, _ = json_samples(query, found, min_ms, max_ms, 0)
        return {
            frozenset(row["metric"].items()): [(round(time_s * 1000), value) for time_s, value in row["values"]]
            for row in json.loads(text)
        }

    async def step(self) -> None:
        """What the ingester's loops do once a second."""
        await self.caught_up()
        await self.ingester._sealing.seal_due(self.ingester.holdings.partitions)
        await self.caught_up()
        await self.ingester._storing.store_all()

    async def caught_up(self, *others: Ingester) -> None:
        """Returns when the heads have all that is durable."""
        for ingester in (self.ingester, *others):
            await ingester.holdings.reached(dict.fromkeys(range(PARTITIONS), self.log.committed))

    @property
    def held_samples(self) -> int:
        return sum(head.samples for head in self.heads())

    @property
    def log_records(self) -> int:
        """Still held."""
        return min(p.applied for p in self.ingester.holdings.partitions.values()) - self.log.first

    def heads(self) -> Sequence[Head]:
        return [partition.head for partition in self.ingester.holdings.partitions.values()]


def series(name: str, *samples: tuple[int, float], **labels: str) -> Series:
    return {"__name__": name, **labels}, list(samples)


def labels(name: str, **others: str) -> frozenset[tuple[str, str]]:
    return frozenset({"__name__": name, **others}.items())


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
