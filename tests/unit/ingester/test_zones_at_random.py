"""Two zones on one log and one store, in random order, with kills, lost replies, lost payload and a store that is
turned back: in the end each zone reads every sample once, and nothing is left lying about.
"""

import contextlib
import random

import pytest

from ingester.storing import FAILURES
from shared import faults
from shared.errors import UnavailableError
from shared.native import Files
from tests.support.fleet import SETTINGS, Fleet
from tests.support.memory_store import MemoryStore
from tests.support.world import HOUR_MS, PARTITIONS, Found, labels, series

T = 1_700_000_000_000 // (2 * HOUR_MS) * (2 * HOUR_MS)
NAMES = ("a-0", "a-1", "b-0")
POINTS = (
    "cut.begin",
    "cut.encoded",
    "cut.put",
    "commit.before",
    "commit.done",
    "cut.committed",
    "cut.released",
    "verify.done",
    "advance.done",
    "compact.merged",
    "compact.put",
    "compact.replaced",
    "replay.begin",
    "restore.put",
    "restore.replaced",
)
STEPS = 45


class Run:
    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.fleet = Fleet(Files.simulated(seed), in_memory=True)
        self.written: dict[tuple[str, int], str] = {}
        self.recently: list[tuple[float, object]] = []  # when, what the store held

    @property
    def store(self) -> MemoryStore:
        assert isinstance(self.fleet.store, MemoryStore)
        return self.fleet.store

    async def run(self) -> None:
        await self.fleet.start()
        await self.fleet.begin(*NAMES)
        for _ in range(STEPS):
            self.recently.append((self.fleet.clock.monotonic(), self.store.snapshot()))
            await self.act()
        faults.install(None)
        await self.come_to_rest()
        for zone in ("a", "b"):
            assert await self.read(zone) == self.expected(), f"zone {zone}"
        assert self.store.keys == self.store.named
        await self.fleet.crash()

    async def act(self) -> None:
        match self.dice.choices(range(7), weights=[8, 5, 6, 3, 2, 2, 1])[0]:
            case 0:
                await self.write()
            case 1:
                await self.pass_time(self.dice.choice([5, 30, 70]))
            case 2:
                await self.store_somewhere()
            case 3:
                await self.maintain_somewhere()
            case 4:
                await self.replace_member()
            case 5:
                self.lose_payload()
            case 6:
                self.turn_back()

    async def write(self) -> None:
        for _ in range(self.dice.randrange(1, 4)):
            entries = {}
            for _ in range(self.dice.randrange(1, 8)):
                at = T - self.dice.choice([0, 0, 1, 5]) * 2 * HOUR_MS + self.dice.randrange(6) * 900_000
                entries[f"j{self.dice.randrange(8)}", at] = str(self.dice.randrange(100))
            await self.fleet.write([series("m", (at, float(v)), job=job) for (job, at), v in entries.items()])
            for sample, value in entries.items():
                self.written.setdefault(sample, value)  # of two values at one time the first stays

    async def pass_time(self, seconds: float) -> None:
        await self.fleet.pass_time(seconds, step_s=5.0)
        if self.dice.random() < 0.4:
            self.fleet.clock.advance(3 * 3600)  # windows are over
            await self.fleet.pass_time(40, step_s=4.0)

    async def store_somewhere(self) -> None:
        ingester = self.fleet.members[self.dice.choice(sorted(self.fleet.members))]
        if self.dice.random() < 0.5:
            faults.arm(f"{self.dice.choice(POINTS)}:fail:{self.dice.randrange(1, 3)}")
        try:
            await self.fleet.caught_up()
            await ingester.tick()
            await self.fleet.caught_up()
            await ingester._storing.store_all()
        except FAILURES:
            pass
        finally:
            faults.install(None)
        await self.fleet.settle()

    async def maintain_somewhere(self) -> None:
        ingester = self.fleet.members[self.dice.choice(sorted(self.fleet.members))]
        with contextlib.suppress(*FAILURES):
            await ingester.maintain()

    async def replace_member(self) -> None:
        name = self.dice.choice(sorted(self.fleet.members))
        if self.dice.random() < 0.4:
            await self.fleet.terminate(name)
            # It has looked for its payload at once and gone: from here on it has to be safe.
            self.recently.clear()
            self.store.put_at = dict.fromkeys(self.store.put_at, 0.0)
        else:
            await self.fleet.kill(name)
            await self.fleet.pass_time(12, step_s=4.0)
        await self.fleet.join_as(name)
        await self.fleet.pass_time(40, step_s=4.0)

    def lose_payload(self) -> None:
        """As a fail-over does: something that was written lately, whatever names it."""
        now = self.fleet.clock.monotonic()
        fresh = sorted(key for key in self.store.keys if now - self.store.put_at[key] <= 20)
        if fresh:
            self.store.lose(self.dice.choice(fresh))

    def turn_back(self) -> None:
        """As a fail-over does: what was written in the last seconds is gone."""
        now = self.fleet.clock.monotonic()
        if snapshots := [held for at, held in self.recently if now - at <= 10]:
            self.store.turn_back(self.dice.choice(snapshots))  # type: ignore[arg-type]

    async def come_to_rest(self) -> None:
        await self.fleet.pass_time(60, step_s=4.0)
        for _ in range(30):
            self.fleet.clock.advance(3 * 3600)
            await self.fleet.pass_time(40, step_s=4.0)
            for ingester in self.fleet.members.values():
                with contextlib.suppress(UnavailableError):
                    await self.fleet.caught_up()
                    await ingester.tick()
                    await self.fleet.caught_up()
                    await ingester._storing.store_all()
                    await ingester.maintain()
                await self.fleet.settle()
            if self.is_at_rest():
                break
        for ingester in self.fleet.members.values():
            assert ingester.stats().alarms == {}
        assert self.is_at_rest()
        for _ in range(4):  # what is merged is looked for, then named; then the old goes, and may be merged once more
            self.fleet.clock.advance(SETTINGS.unlink_after_s + 1)
            await self.fleet.settle()
            for ingester in self.fleet.members.values():
                await ingester.maintain()

    def is_at_rest(self) -> bool:
        held = [p for i in self.fleet.members.values() for p in i.holdings.partitions.values()]
        return all(not p.head.windows() and not p.retained and not p.replaying for p in held)

    async def read(self, zone: str) -> Found:
        found: Found = {}
        owners = self.fleet.owners(zone)
        assert set(owners) == set(range(PARTITIONS))
        for number, name in owners.items():
            storage = self.fleet.through(self.fleet.members[name]).storage
            storage._partitions_of = lambda _uid, _shards, number=number: [number]  # type: ignore[misc]
            found |= await self.fleet.read()
        return found

    def expected(self) -> Found:
        found: Found = {}
        for (job, at), value in sorted(self.written.items()):
            found.setdefault(labels("m", job=job), []).append((at, value))
        return found


@pytest.mark.parametrize("seed", range(12))
async def test_every_sample_is_read_once_by_both_zones(seed: int) -> None:
    await Run(seed).run()
