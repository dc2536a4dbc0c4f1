"""Ownership among the members of a zone: does what `ingester.ownership` decides, and knows who else is there."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace

import structlog

from ingester.holdings import Holdings
from ingester.ownership import Act, Held, Part, View, decide, eligible, outstanding, source_of
from ingester.settings import IngesterSettings
from shared.clock import Clock
from shared.errors import ConflictError, HeadraceError
from shared.faults import fault
from shared.native import CorruptError
from shared.seams.membership import Lease, Member, Membership

log = structlog.get_logger(__name__)

_CALL_S = 5.0
_NAME_RETRY_S = 0.5
_LEAVE_TICK_S = 0.2
_TAKEOVER_S = 20.0

_FAILURES = (HeadraceError, OSError, CorruptError, TimeoutError)


def standbys_of(zone: str) -> str:
    """The zone in which standbys that are ready hold their leases. They answer queries, so readers may take it for one
    more zone.
    """
    return f"{zone}/next"


class SharedOwnership:
    """`ingester.service.Ownership`. `tick` is called every second, and earlier when a replay has ended."""

    def __init__(
        self,
        membership: Membership,
        holdings: Holdings,
        member: Member,
        *,
        clock: Clock,
        settings: IngesterSettings,
        alarms: dict[str, str],
    ) -> None:
        self._membership = membership
        self._holdings = holdings
        self._member = member
        self._standby = replace(member, zone=standbys_of(member.zone))
        self._clock = clock
        self._settings = settings
        self._rules = settings.ownership
        self._alarms = alarms
        self._partitions = 0
        self._parts: dict[int, Held] = {}
        self._leases: dict[int, Lease] = {}  # those this process holds
        self._offers: dict[int, Lease] = {}
        self._owners_before: dict[int, str] = {}
        self._zones: dict[int, tuple[str, ...]] = {}  # partition -> zones in which it has an owner, as last seen
        self._view: View | None = None
        self._working: dict[int, asyncio.Task[None]] = {}
        self._away_since: float | None = None
        self._pause_until = 0.0
        self._is_stopping = False
        self._has_left = False
        self._one_at_a_time = asyncio.Lock()

    # ---- life ----

    async def start(self, partitions: int) -> None:
        """Announces this process. ConflictError: its name is taken by one that lives; the text says where."""
        self._partitions = partitions
        deadline = self._clock.monotonic() + 1.5 * self._rules.lease_ms / 1000
        is_first = True
        while True:
            try:
                await self._announce()
            except ConflictError:  # perhaps of an earlier life of this process, whose time has not passed
                if self._clock.monotonic() >= deadline:
                    raise
                if not (is_first and await self._bury()):
                    await asyncio.sleep(_NAME_RETRY_S)
                is_first = False
            else:
                return

    async def _bury(self) -> bool:
        """Gives back what an earlier life of this process still holds, and tells whether there was one. It was at the
        address on which this process listens by now, and so nobody else does.
        """
        me = self._member
        for member in await self._membership.members():
            if (member.name, member.address) == (me.name, me.address) and member.nonce != me.nonce:
                for lease in await self._membership.leases():
                    if lease.nonce == member.nonce:
                        await self._membership.release(lease)
                await self._membership.withdraw(member)
                log.info("earlier_life_ended", name=me.name, address=me.address)
                return True
        return False

    async def tick(self) -> None:
        """One look at the others, and what follows from it. ConflictError: another process has this one's name."""
        async with self._one_at_a_time:
            if self._has_left:
                return
            try:
                async with asyncio.timeout(_CALL_S):
                    view = await self._look()
            except ConflictError:
                raise
            except _FAILURES as error:
                self._is_away(error)
                return
            self._is_back()
            for act, number in decide(view, self._rules):
                try:
                    async with asyncio.timeout(_CALL_S):
                        await self._do(act, number, view)
                except _FAILURES as error:
                    self._fail(number, error)

    async def leave(self) -> None:
        """Hands every partition to the other members of the zone, as far as they come for it in time, and gives the
        rest back. The caller has stored all that it could, so that they replay seconds.
        """
        self._is_stopping = True
        await self._membership.withdraw(self._member)
        deadline = self._clock.monotonic() + self._settings.hand_over_s
        while self._clock.monotonic() < deadline:
            await self.tick()
            if self._view is None or self._is_done(self._view):
                break
            await asyncio.sleep(_LEAVE_TICK_S)
        async with self._one_at_a_time:  # a tick under way renews what is given back here
            self._has_left = True
            await self._give_back()

    def _is_done(self, view: View) -> bool:
        """Whether others serve all that this process had, or nobody is there to take it."""
        theirs = {number for number, lease in view.leases.items() if lease.nonce != self._member.nonce}
        mine = {number for number, held in self._parts.items() if held.part is not Part.STANDBY}
        return mine <= theirs or not eligible(view.members, view.now_ms, self._rules)

    async def stop(self) -> None:
        """Raises what the store raises; then leases and name end by themselves."""
        for task in self._working.values():
            task.cancel()
        async with asyncio.timeout(_CALL_S):
            await self._give_back()
            await self._membership.withdraw(self._member)

    # ---- for others ----

    @property
    def owned(self) -> Collection[int]:
        """The partitions whose windows this process seals."""
        return [number for number, held in self._parts.items() if held.part is Part.OWNER]

    @property
    def maintained(self) -> Collection[int]:
        """The partitions whose blocks this process merges and drops: those that no zone before its own has."""
        zone = self._member.zone
        return [number for number in self.owned if min(self._zones.get(number, (zone,))) == zone]

    def commit_delay_s(self, number: int) -> float:
        """How long another process is given to store a generation of the partition before this one does it."""
        zones = self._zones.get(number, ())
        is_owner = number in self._parts and self._parts[number].part is Part.OWNER
        if not zones or (is_owner and zones[number % len(zones)] == self._member.zone):
            return 0.0
        return _TAKEOVER_S if self._settings.takeover_s is None else self._settings.takeover_s

    def missing(self) -> str | None:
        """Why this process has not got all that it should have."""
        view = self._view
        if view is None:
            return "waiting for the store, to join the other ingesters"
        if self._member.name not in eligible(view.members, view.now_ms, self._rules):
            return f"alive for {(view.now_ms - view.me.since_ms) // 1000} s, gets its share of partitions after a while"
        if coming := outstanding(view, self._parts, self._rules):
            return f"has yet to begin with {len(coming)} of its partitions"
        return None

    # ---- looking ----

    async def _announce(self) -> None:
        self._member = await self._membership.announce(self._member, ttl_ms=self._rules.lease_ms)

    async def _look(self) -> View:
        if not self._is_stopping:
            await self._announce()
        zone = self._member.zone
        members = [member for member in await self._membership.members() if member.zone == zone]
        standing = await self._membership.leases()
        view = View(
            me=self._member,
            now_ms=await self._membership.now_ms(),
            partitions=self._partitions,
            members=members,
            leases={lease.partition: lease for lease in standing if lease.zone == zone},
            offers={lease.partition: lease for lease in standing if lease.zone == self._standby.zone},
            held={number: replace(held, is_ready=self._is_ready(number)) for number, held in self._parts.items()},
            owners_before=dict(self._owners_before),
            may_take=self._clock.monotonic() >= self._pause_until,
            is_stopping=self._is_stopping,
        )
        self._owners_before.update((number, lease.owner) for number, lease in view.leases.items())
        zones: dict[int, set[str]] = {}
        for lease in standing:
            if not lease.zone.endswith("/next"):
                zones.setdefault(lease.partition, set()).add(lease.zone)
        self._zones = {number: tuple(sorted(found)) for number, found in zones.items()}
        self._view = view
        return view

    def _is_ready(self, number: int) -> bool:
        partition = self._holdings.partitions.get(number)
        return partition is not None and not partition.replaying and number not in self._working

    def _is_away(self, error: BaseException) -> None:
        now = self._clock.monotonic()
        if self._away_since is None:
            self._away_since = now
            log.warning("membership_away", error=str(error), kind=type(error).__name__)
        self._alarms["membership"] = f"leases cannot be renewed: {error}"

    def _is_back(self) -> None:
        """After an outage all others may be late: what is theirs seems free and is not."""
        if self._away_since is None:
            return
        now = self._clock.monotonic()
        if now - self._away_since >= self._rules.lease_ms / 1000:
            self._pause_until = now + self._settings.outage_pause_s
        self._away_since = None
        self._alarms.pop("membership", None)

    # ---- doing ----

    async def _do(self, act: Act, number: int, view: View) -> None:
        if number in self._working and act is not Act.RENEW:
            return
        if self._part(number, self._parts) is not self._part(number, view.held):
            return  # what could not be opened was given back since the look
        match act:
            case Act.TAKE:
                lease = await self._membership.acquire(number, member=self._member, ttl_ms=self._rules.lease_ms)
                if lease is not None:
                    self._leases[number] = lease
                    self._begin(number, Part.OWNER, view)
            case Act.STAND_BY:
                self._begin(number, Part.STANDBY, view)
            case Act.OFFER:
                offer = await self._membership.acquire(number, member=self._standby, ttl_ms=self._rules.lease_ms)
                if offer is not None:
                    self._offers[number] = offer
                    fault("handover.offered")
            case Act.CLAIM:
                await self._claim(number, view)
            case Act.RENEW:
                await self._renew(number, view)
            case Act.YIELD:
                await self._membership.release(self._leases[number])
                del self._leases[number]
                self._leave(number, view, "handed over")
                fault("handover.yielded")
            case Act.LOSE:
                self._leases.pop(number, None)
                self._leave(number, view, "taken by another process")
            case Act.RETURN:
                self._parts[number] = replace(self._parts[number], part=Part.STANDBY, since_ms=view.now_ms)
            case Act.DROP:
                self._work(number, self._drop)

    @staticmethod
    def _part(number: int, parts: Mapping[int, Held]) -> Part | None:
        return parts[number].part if number in parts else None

    def _begin(self, number: int, part: Part, view: View) -> None:
        source = source_of(view, number)
        self._parts[number] = Held(part, is_ready=False, source=source, since_ms=view.now_ms)
        log.info("partition_begun", partition=number, part=part.name.lower(), source=source)
        self._work(number, self._open)

    async def _claim(self, number: int, view: View) -> None:
        lease = await self._membership.acquire(number, member=self._member, ttl_ms=self._rules.lease_ms)
        if lease is None:
            return
        self._leases[number] = lease
        self._parts[number] = replace(self._parts[number], part=Part.OWNER, since_ms=view.now_ms)
        log.info("partition_claimed", partition=number)
        fault("handover.claimed")
        if offer := self._offers.pop(number, None):
            await self._membership.release(offer)

    async def _renew(self, number: int, view: View) -> None:
        lease = self._leases[number]
        if lease.expires_ms - view.now_ms > self._rules.lease_ms * 2 // 3 and number in view.leases:
            return
        renewed = await self._membership.renew(lease, ttl_ms=self._rules.lease_ms)
        if renewed is not None:
            self._leases[number] = renewed
        # Otherwise the next look shows who has it.

    def _leave(self, number: int, view: View, why: str) -> None:
        self._parts[number] = replace(self._parts[number], part=Part.LEAVING, since_ms=view.now_ms)
        log.info("partition_left", partition=number, why=why)

    async def _open(self, number: int) -> None:
        await self._holdings.open([number])
        self._alarms.pop(f"partition/{number}", None)

    async def _drop(self, number: int) -> None:
        if number in self._holdings.partitions:
            await self._holdings.drop(number)
        del self._parts[number]
        if offer := self._offers.pop(number, None):
            await self._membership.release(offer)
        log.info("partition_dropped", partition=number)

    def _work(self, number: int, work: Callable[[int], Awaitable[None]]) -> None:
        """Beside the ticks, which have leases to renew."""

        async def do() -> None:
            try:
                await work(number)
            except _FAILURES as error:
                self._fail(number, error)
                if number not in self._holdings.partitions:
                    await self._back_out(number)
            finally:
                del self._working[number]

        self._working[number] = asyncio.create_task(do(), name=f"partition-{number}")

    async def _back_out(self, number: int) -> None:
        """What could not be opened is free again, for this process to try later or for another one."""
        self._parts.pop(number, None)
        if lease := self._leases.pop(number, None):
            with contextlib.suppress(*_FAILURES):  # it ends by itself
                await self._membership.release(lease)

    def _fail(self, number: int, error: BaseException) -> None:
        text = f"partition {number}: {error}"
        if self._alarms.get(f"partition/{number}") != text:
            log.warning("partition_failed", partition=number, error=str(error), kind=type(error).__name__)
        self._alarms[f"partition/{number}"] = text

    async def _give_back(self) -> None:
        for leases in (self._offers, self._leases):
            for number in list(leases):
                await self._membership.release(leases.pop(number))
