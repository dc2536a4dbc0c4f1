"""The ingesters of a cluster in one process: several members, zones, one log, one store, one clock."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ingester.ownership import Part
from ingester.service import Ingester
from ingester.settings import IngesterSettings
from querier.storage import Storage
from shared.clock import Clock
from shared.local.membership import LocalMembership
from shared.local.registry import LocalRegistry
from shared.local.store import LocalStore
from shared.native import Splitter
from tests.support.memory_store import MemoryStore
from tests.support.partitioned_log import PartitionedLog
from tests.support.world import PARTITIONS, World

SETTINGS = IngesterSettings(shared=True, read_timeout_ms=20)

PATIENCE_S = 60.0


class SkewedClock:
    """Another clock, so many seconds fast."""

    def __init__(self, clock: Clock, skew_s: float) -> None:
        self._clock = clock
        self._skew_s = skew_s

    def now_ms(self) -> int:
        return self._clock.now_ms() + round(self._skew_s * 1000)

    def monotonic(self) -> float:
        return self._clock.monotonic() + self._skew_s * 7


@dataclass
class Fleet(World):
    """A `World` whose partitions are shared out. A test drives every step by itself: `settle`, `pass_time`."""

    settings: IngesterSettings = field(default_factory=lambda: SETTINGS)
    in_memory: bool = False  # the store, which can then be turned back
    members: dict[str, Ingester] = field(default_factory=dict)

    async def start(self) -> "Fleet":
        self.registry = LocalRegistry.open(self.files, f"{self.folder}/registry.journal", partitions=PARTITIONS)
        await self.registry.create(self.tenant)
        self.splitter = Splitter(secret=b"s" * 16, partitions=PARTITIONS)
        self.store = (  # type: ignore[assignment]
            MemoryStore(self.clock)
            if self.in_memory
            else LocalStore.open(
                self.files, f"{self.folder}/store", window_ms=self.settings.window_ms, clock=self.clock
            )
        )
        self.log = PartitionedLog(self.files, f"{self.folder}/log", self.splitter, PARTITIONS)  # type: ignore[assignment]
        self.membership = LocalMembership(self.clock)
        return self

    async def join_as(self, name: str, *, skew_s: float = 0.0, **settings: object) -> Ingester:
        """A member that has announced itself. The part of its name before the dash is its zone."""
        settings = {"address": f"{name}:9", **settings}
        own = replace(self.settings, zone=name.split("-", maxsplit=1)[0], owner=name, **settings)  # type: ignore[arg-type]
        ingester = Ingester(
            log=self.log,
            store=self.store,
            registry=self.registry,
            membership=self.membership,
            clock=SkewedClock(self.clock, skew_s),
            settings=own,
        )
        await ingester.start()
        self.members[name] = ingester
        return ingester

    async def begin(self, *names: str) -> None:
        """Members that start together, until they have shared out the partitions."""
        for name in names:
            await self.join_as(name)
        self.clock.advance(4)
        await self.settle()

    async def settle(self) -> None:
        """Lets members act until nobody has anything more to do at this moment."""
        deadline = time.monotonic() + PATIENCE_S
        quiet = 0
        while quiet < 3:
            assert time.monotonic() < deadline, "the fleet does not come to rest"
            before = self.parts()
            for ingester in list(self.members.values()):
                await ingester.own()
                await finished(ingester)
            quiet = quiet + 1 if self.parts() == before else 0

    async def pass_time(self, seconds: float, *, step_s: float = 2.0) -> None:
        while seconds > 0:
            self.clock.advance(min(step_s, seconds))
            seconds -= step_s
            await self.settle()

    async def caught_up(self, *others: Ingester) -> None:
        del others
        for ingester in self.members.values():
            held = list(ingester.holdings.partitions)
            await ingester.holdings.reached(await self.log.end_offsets(held))

    async def step(self) -> None:
        """What the loops of all members do once a second, apart from ownership."""
        await self.caught_up()
        for ingester in self.members.values():
            await ingester.tick()
        await self.caught_up()
        for ingester in self.members.values():
            await ingester._storing.store_all()

    async def kill(self, name: str) -> None:
        """Nothing is given back: leases and name stand until their time has passed."""
        ingester = self.members.pop(name)
        await ingester.holdings.stop()

    async def terminate(self, name: str) -> None:
        """SIGTERM; the other members go on meanwhile."""
        ingester = self.members[name]
        draining = asyncio.create_task(ingester.drain())
        while not draining.done():
            for other, member in list(self.members.items()):
                if other != name:
                    await member.own()
                    await finished(member)
            self.clock.advance(0.05)
            await asyncio.sleep(0.001)
        await draining
        await ingester.stop()
        del self.members[name]

    async def crash(self) -> None:
        for name in list(self.members):
            await self.kill(name)
        await self.log.close()
        await self.store.close()
        await self.registry.close()

    def parts(self) -> dict[tuple[str, int], tuple[Part, bool]]:
        return {
            (name, number): (held.part, ingester._ownership._is_ready(number))  # type: ignore[attr-defined]
            for name, ingester in self.members.items()
            for number, held in ingester._ownership._parts.items()  # type: ignore[attr-defined]
        }

    def owners(self, zone: str) -> dict[int, str]:
        return {
            number: name
            for (name, number), (part, _) in sorted(self.parts().items())
            if part is Part.OWNER and name.startswith(f"{zone}-")
        }

    def through(self, ingester: Ingester) -> "Fleet":
        """Reads go by this member's heads."""
        self.storage = Storage(
            log=self.log,
            store=self.store,
            client=ingester.client(),
            partitions_of=self.splitter.partitions_of,
            clock=self.clock,
        )
        return self


async def finished(ingester: Ingester) -> None:
    """Waits for what a tick has begun: openings, replays, drops."""
    working = ingester._ownership._working  # type: ignore[attr-defined]
    with suppress(asyncio.CancelledError):
        while working:
            await asyncio.wait(list(working.values()))
    await ingester.holdings.settled()
