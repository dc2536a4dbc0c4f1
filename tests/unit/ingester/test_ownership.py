"""Who owns what: the decisions alone, in a simulated zone whose members come, go, stall and are cut off at random."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingester.ownership import Act, Held, Part, Rules, View, decide, eligible, source_of, targets
from shared.local.membership import LocalMembership
from shared.seams.membership import Lease, Member
from tests.support.clock import FakeClock

RULES = Rules()
NOW = 1_000_000
names = st.sets(st.text("abc0123-", min_size=1, max_size=6), min_size=1, max_size=9)


def member(name: str, age_s: float = 1000.0, nonce: str = "") -> Member:
    return Member(name, "a", nonce or f"nonce of {name}", f"{name}:1", NOW - round(age_s * 1000))


def lease(number: int, owner: Member, zone: str = "a") -> Lease:
    return Lease(number, zone, owner.name, owner.nonce, owner.address, NOW + RULES.lease_ms)


def held(part: Part, *, is_ready: bool = True, source: str | None = None, for_s: float = 0.0) -> Held:
    return Held(part, is_ready, source, NOW - round(for_s * 1000))


def view(me: Member, members: list[Member], **seen: object) -> View:
    base = View(me, NOW, 1, members, leases={}, offers={}, held={})
    return replace(base, **seen)  # type: ignore[arg-type]


class TestTargets:
    @given(names, st.integers(1, 64))
    def test_every_partition_has_one_and_nobody_more_than_its_share(self, members: set[str], partitions: int) -> None:
        chosen = targets(sorted(members), partitions)
        assert set(chosen) == set(range(partitions))
        assert max(Counter(chosen.values()).values()) <= -(-partitions // len(members))

    @given(names, st.integers(1, 64), st.randoms())
    def test_do_not_depend_on_the_order_of_members(
        self, members: set[str], partitions: int, dice: random.Random
    ) -> None:
        shuffled = sorted(members)
        dice.shuffle(shuffled)
        assert targets(shuffled, partitions) == targets(sorted(members), partitions)

    def test_one_more_member_moves_little_but_its_share(self) -> None:
        for count in range(1, 8):
            before = targets([f"a-{n}" for n in range(count)], 64)
            after = targets([f"a-{n}" for n in range(count + 1)], 64)
            moved = sum(before[number] != after[number] for number in before)
            assert moved <= 2 * -(-64 // (count + 1))

    def test_of_nobody_are_none(self) -> None:
        assert targets([], 4) == {}


class TestEligible:
    def test_those_who_are_old_enough(self) -> None:
        assert eligible([member("a", 31), member("b", 29), member("c", 90)], NOW, RULES) == ["a", "c"]

    def test_in_a_new_zone_all_that_came_with_the_first_one(self) -> None:
        young = [member("a", 4), member("b", 1.5), member("c", 0.5)]
        assert eligible(young, NOW, RULES) == ["a", "b"]

    def test_in_a_new_zone_nobody_before_the_others_could_come(self) -> None:
        assert eligible([member("a", 2), member("b", 1)], NOW, RULES) == []
        assert eligible([], NOW, RULES) == []


class TestDecisions:
    def test_a_free_partition_is_taken(self) -> None:
        me = member("a")
        assert decide(view(me, [me]), RULES) == [(Act.TAKE, 0)]

    def test_no_more_replays_begin_than_may_run(self) -> None:
        me = member("a")
        assert decide(view(me, [me], partitions=16), RULES) == [(Act.TAKE, 0), (Act.TAKE, 1)]
        busy = {0: held(Part.OWNER, is_ready=False), 1: held(Part.STANDBY, is_ready=False)}
        acts = decide(view(me, [me], partitions=16, held=busy), RULES)
        assert Act.TAKE not in [act for act, _ in acts]

    def test_a_dead_members_partitions_come_one_at_a_time(self) -> None:
        me = member("a")
        before = {0: "b", 1: "b", 2: "c"}
        assert decide(view(me, [me], partitions=3, owners_before=before), RULES) == [(Act.TAKE, 0), (Act.TAKE, 2)]
        replaying = {0: held(Part.OWNER, is_ready=False, source="b")}
        mine = {0: lease(0, me)}
        acts = decide(view(me, [me], partitions=2, owners_before=before, held=replaying, leases=mine), RULES)
        assert acts == [(Act.RENEW, 0)]

    def test_nothing_of_others_is_taken_after_an_outage(self) -> None:
        me = member("a")
        own = {0: held(Part.OWNER)}
        assert decide(view(me, [me], partitions=2, held=own, may_take=False), RULES) == [(Act.RENEW, 0)]

    def test_what_another_one_holds_is_prepared_for_and_then_asked_for(self) -> None:
        me, other = member("a"), member("b")
        [number] = [n for n, name in targets(["a", "b"], 2).items() if name == "a"]
        leases = {n: lease(n, other) for n in range(2)}
        seen = view(me, [me, other], partitions=2, leases=leases)
        assert decide(seen, RULES) == [(Act.STAND_BY, number)]
        assert decide(replace(seen, held={number: held(Part.STANDBY, is_ready=False)}), RULES) == []
        assert decide(replace(seen, held={number: held(Part.STANDBY)}), RULES) == [(Act.OFFER, number)]

    def test_an_owner_yields_only_to_the_one_that_should_have_it_and_is_ready(self) -> None:
        me, other, third = member("a"), member("b"), member("c")
        everybody = [me, other, third]
        [number, *_] = [n for n, name in targets(["a", "b", "c"], 9).items() if name == "b"]
        seen = view(me, everybody, partitions=9, leases={number: lease(number, me)}, held={number: held(Part.OWNER)})

        def acts(offers: dict[int, Lease]) -> list[tuple[Act, int]]:
            return [entry for entry in decide(replace(seen, offers=offers), RULES) if entry[1] == number]

        assert acts({}) == [(Act.RENEW, number)]
        assert acts({number: lease(number, third, "a/next")}) == [(Act.RENEW, number)]
        dead = replace(other, nonce="of an earlier life")
        assert acts({number: lease(number, dead, "a/next")}) == [(Act.RENEW, number)]
        assert acts({number: lease(number, other, "a/next")}) == [(Act.YIELD, number)]

    def test_another_nonce_takes_the_partition_away(self) -> None:
        me = member("a")
        again = replace(me, nonce="of another process")
        assert decide(view(me, [me], leases={0: lease(0, again)}, held={0: held(Part.OWNER)}), RULES) == [(Act.LOSE, 0)]

    def test_an_owner_that_could_not_renew_goes_on(self) -> None:
        me = member("a")
        assert decide(view(me, [me], held={0: held(Part.OWNER)}), RULES) == [(Act.RENEW, 0)]

    def test_the_one_that_left_answers_until_everybody_knows(self) -> None:
        me, other = member("a"), member("b")
        taken = {0: lease(0, other)}
        for for_s, expected in ((2.0, []), (10.0, [(Act.DROP, 0)])):
            leaving = {0: held(Part.LEAVING, for_s=for_s)}
            assert decide(view(me, [other], leases=taken, held=leaving), RULES) == expected

    def test_the_one_that_left_and_is_wanted_again_need_not_replay(self) -> None:
        me, other = member("a"), member("b", 10)
        leaving = {0: held(Part.LEAVING)}
        assert decide(view(me, [me, other], leases={0: lease(0, other)}, held=leaving), RULES) == [(Act.RETURN, 0)]

    def test_the_one_that_left_comes_back_if_nobody_takes_it(self) -> None:
        me, other = member("a"), member("b")
        for for_s, is_stopping, expected in ((2.0, False, []), (10.0, False, [(Act.CLAIM, 0)]), (10.0, True, [])):
            leaving = {0: held(Part.LEAVING, for_s=for_s)}
            assert decide(view(me, [me, other], held=leaving, is_stopping=is_stopping), RULES)[:1] == expected

    def test_a_standby_takes_what_has_become_free(self) -> None:
        me = member("a")
        assert decide(view(me, [me], held={0: held(Part.STANDBY, is_ready=False)}), RULES) == [(Act.CLAIM, 0)]

    def test_a_standby_that_is_not_needed_goes(self) -> None:
        me, other = member("a", 10), member("b")
        waiting = {0: held(Part.STANDBY)}
        assert decide(view(me, [me, other], leases={0: lease(0, other)}, held=waiting), RULES) == [(Act.DROP, 0)]

    def test_who_had_it_before(self) -> None:
        me, other = member("a"), member("b")
        seen = view(me, [me], leases={0: lease(0, other), 1: lease(1, me)}, owners_before={0: "c", 2: "d", 3: "a"})
        assert [source_of(seen, number) for number in range(5)] == ["b", None, "d", None, None]


# ---- a zone at random ----

PARTITIONS = 8
REPLAY_S = 7.0


@dataclass
class Process:
    me: Member
    held: dict[int, Held] = field(default_factory=dict)
    leases: dict[int, Lease] = field(default_factory=dict)
    due: dict[int, float] = field(default_factory=dict)  # partition -> when its replay ends
    before: dict[int, str] = field(default_factory=dict)
    most_replays: int = 0

    def replaying(self, now: float) -> int:
        return sum(due > now for due in self.due.values())

    def serves(self, now: float) -> set[int]:
        return {number for number, due in self.due.items() if due <= now}


class Zone:
    """Members that act on what they see, each when its turn comes."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.clock = FakeClock(NOW)
        self.store = LocalMembership(self.clock)
        self.processes: dict[str, Process] = {}
        self.lives = 0

    def start(self, name: str) -> None:
        self.lives += 1
        self.processes[name] = Process(Member(name, "a", f"nonce {self.lives}", f"{name}:1"))

    async def tick(self, process: Process) -> None:
        try:
            process.me = await self.store.announce(process.me, ttl_ms=RULES.lease_ms)
        except Exception:  # noqa: BLE001  an earlier life of its name stands yet
            return
        standing = await self.store.leases()
        now = self.clock.monotonic()
        seen = View(
            process.me,
            self.clock.now_ms(),
            PARTITIONS,
            await self.store.members(),
            leases={one.partition: one for one in standing if one.zone == "a"},
            offers={one.partition: one for one in standing if one.zone == "a/next"},
            held={n: replace(h, is_ready=process.due[n] <= now) for n, h in process.held.items()},
            owners_before=dict(process.before),
        )
        process.before.update((n, one.owner) for n, one in seen.leases.items())
        for act, number in decide(seen, RULES):
            await self.do(process, act, number, seen)
        process.most_replays = max(process.most_replays, process.replaying(now))

    async def do(self, process: Process, act: Act, number: int, seen: View) -> None:
        me, now_ms = process.me, seen.now_ms
        if act in (Act.TAKE, Act.CLAIM):
            got = await self.store.acquire(number, member=me, ttl_ms=RULES.lease_ms)
            if got is None:
                return
            process.leases[number] = got
            if act is Act.CLAIM:
                process.held[number] = replace(process.held[number], part=Part.OWNER, since_ms=now_ms)
            else:
                self.begin(process, number, Part.OWNER, seen)
        elif act is Act.STAND_BY:
            self.begin(process, number, Part.STANDBY, seen)
        elif act is Act.OFFER:
            await self.store.acquire(number, member=replace(me, zone="a/next"), ttl_ms=RULES.lease_ms)
        elif act is Act.RETURN:
            process.held[number] = replace(process.held[number], part=Part.STANDBY, since_ms=now_ms)
        elif act is Act.RENEW:
            await self.store.renew(process.leases[number], ttl_ms=RULES.lease_ms)
        elif act in (Act.YIELD, Act.LOSE):
            await self.store.release(process.leases.pop(number))
            process.held[number] = replace(process.held[number], part=Part.LEAVING, since_ms=now_ms)
        else:
            assert act is Act.DROP
            del process.held[number], process.due[number]

    def begin(self, process: Process, number: int, part: Part, seen: View) -> None:
        process.held[number] = Held(part, is_ready=False, source=source_of(seen, number), since_ms=seen.now_ms)
        process.due[number] = self.clock.monotonic() + self.dice.uniform(0, REPLAY_S)

    async def pass_time(self, seconds: float) -> None:
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            self.clock.advance(0.5)
            order = [process for process in self.processes.values() if self.dice.random() < 0.7]
            self.dice.shuffle(order)
            for process in order:
                await self.tick(process)
            assert all(process.most_replays <= RULES.max_replays for process in self.processes.values())

    async def owners(self) -> dict[int, str]:
        return {one.partition: one.owner for one in await self.store.leases("a")}

    def served(self) -> set[int]:
        now = self.clock.monotonic()
        return {number for process in self.processes.values() for number in process.serves(now)}

    def parts(self) -> Iterator[Part]:
        return (held.part for process in self.processes.values() for held in process.held.values())


EVERYTHING = set(range(PARTITIONS))
SETTLED_S = 240.0


class TestZone:
    @pytest.mark.parametrize("seed", range(12))
    async def test_comes_to_rest_whatever_happened(self, seed: int) -> None:
        zone = Zone(seed)
        for _ in range(12):
            name = f"a-{zone.dice.randrange(4)}"
            if name in zone.processes and zone.dice.random() < 0.6:
                del zone.processes[name]  # killed; its name and leases stand for a while
            elif name not in zone.processes:
                zone.start(name)
            await zone.pass_time(zone.dice.uniform(0, 60))
        if not zone.processes:
            zone.start("a-0")
        await zone.pass_time(SETTLED_S)
        assert await zone.owners() == targets(sorted(zone.processes), PARTITIONS)
        assert zone.served() == EVERYTHING
        assert set(zone.parts()) == {Part.OWNER}

    @pytest.mark.parametrize("count", [1, 2, 3, 5])
    async def test_members_that_start_together_share_at_once(self, count: int) -> None:
        zone = Zone(count)
        for number in range(count):
            zone.start(f"a-{number}")
        await zone.pass_time(REPLAY_S * PARTITIONS / 2 + 10)
        assert await zone.owners() == targets(sorted(zone.processes), PARTITIONS)
        assert [process.most_replays <= 2 for process in zone.processes.values()] == [True] * count

    @pytest.mark.parametrize("seed", range(6))
    async def test_a_partition_is_served_all_the_while_members_are_added(self, seed: int) -> None:
        zone = Zone(seed)
        zone.start("a-0")
        zone.start("a-1")
        await zone.pass_time(SETTLED_S)
        zone.start("a-2")
        zone.start("a-3")
        for _ in range(400):
            await zone.pass_time(0.5)
            assert zone.served() == EVERYTHING
        assert await zone.owners() == targets(sorted(zone.processes), PARTITIONS)

    @pytest.mark.parametrize("seed", range(6))
    async def test_a_dead_members_partitions_are_owned_again_soon(self, seed: int) -> None:
        zone = Zone(seed)
        for number in range(3):
            zone.start(f"a-{number}")
        await zone.pass_time(SETTLED_S)
        del zone.processes["a-1"]
        await zone.pass_time(RULES.lease_ms / 1000 + 3 * (REPLAY_S + 3))
        assert set(await zone.owners()) == zone.served() == EVERYTHING
