"""Who should have which partition of a zone, and what a member does about it. Pure: all it needs is in the view.

Every member comes to the same targets from the same members, and each acts only on what concerns itself, so nobody
decides for others. What they see may be seconds old and differ; leases keep two of them from owning one partition, and
if that fails too, nothing depends on it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from hashlib import blake2b

from shared.seams.membership import Lease, Member


class Part(Enum):
    """What a member is to a partition that it has."""

    OWNER = auto()  # it holds the lease
    STANDBY = auto()  # it is to take the partition over, and replays and follows meanwhile
    LEAVING = auto()  # it has let go of the lease, and answers until everybody knows


@dataclass(frozen=True, slots=True)
class Held:
    part: Part
    is_ready: bool  # it has caught up and serves
    source: str | None  # the member that had it before
    since_ms: int  # by the store's clock, when it took this part


class Act(Enum):
    TAKE = auto()  # acquire the free lease, then replay
    STAND_BY = auto()  # replay without the lease
    OFFER = auto()  # say that the standby is ready: hold the lease of the zone's standbys
    CLAIM = auto()  # a standby acquires the free lease
    RENEW = auto()
    YIELD = auto()  # release the lease to the standby that is ready, and leave
    LOSE = auto()  # somebody else holds the lease: leave
    RETURN = auto()  # it is leaving and wanted again: it stands by, and has all that it needs
    DROP = auto()  # let go of head and log


@dataclass(frozen=True, slots=True)
class View:
    """What a member sees at one moment. Leases that have ended are not in it."""

    me: Member
    now_ms: int  # by the store's clock
    partitions: int
    members: Collection[Member]  # of the zone
    leases: Mapping[int, Lease]  # of the zone
    offers: Mapping[int, Lease]  # of the zone's standbys that are ready
    held: Mapping[int, Held]
    owners_before: Mapping[int, str] = field(default_factory=dict)  # the last owner's name that was seen
    may_take: bool = True  # False: for a while after the store was away
    is_stopping: bool = False  # it gives everything away, and is no member any more


@dataclass(frozen=True, slots=True)
class Rules:
    min_age_ms: int = 30_000  # how long a member has been alive before it gets anything …
    settle_ms: int = 3_000  # … unless it came with the first of its zone, so long after it
    lease_ms: int = 10_000
    linger_ms: int = 10_000  # for so long the one before answers readers who have not heard of the new owner
    max_replays: int = 2  # at once, in one process


def eligible(members: Collection[Member], now_ms: int, rules: Rules) -> list[str]:
    """The names among which partitions are shared out.

    Those that are old enough, and those that came with the oldest one: in a zone that begins they share at once, as
    soon as all that start together can have come. One that comes and goes all the time changes nothing.
    """
    oldest_ms = min((member.since_ms for member in members), default=now_ms)
    if now_ms - oldest_ms < rules.settle_ms:
        return []
    return sorted(
        member.name
        for member in members
        if now_ms - member.since_ms >= rules.min_age_ms or member.since_ms - oldest_ms <= rules.settle_ms
    )


def targets(names: Collection[str], partitions: int) -> dict[int, str]:
    """partition -> the member that should have it: rendezvous hashing with a bound, so that no member has more than its
    share, and that a member which comes or goes moves little else.
    """
    if not names:
        return {}
    most = -(-partitions // len(names))
    room = dict.fromkeys(names, most)
    chosen: dict[int, str] = {}
    for _, partition, name in sorted((_weight(name, p), p, name) for name in names for p in range(partitions)):
        if partition not in chosen and room[name]:
            chosen[partition] = name
            room[name] -= 1
    return chosen


def decide(view: View, rules: Rules) -> list[tuple[Act, int]]:
    """What the member does now, by partition; at most one thing for each."""
    wanted = targets(eligible(view.members, view.now_ms, rules), view.partitions)
    acts = [
        (act, number)
        for number in sorted(view.held)
        if (act := _with(view, number, wanted.get(number), rules)) is not None
    ]
    dropped = {number for act, number in acts if act is Act.DROP}
    return acts + (_taken(view, wanted, dropped, rules) if view.may_take and not view.is_stopping else [])


def _with(view: View, number: int, target: str | None, rules: Rules) -> Act | None:
    """What to do with a partition that the member has."""
    held, lease = view.held[number], view.leases.get(number)
    is_mine = lease is not None and lease.nonce == view.me.nonce
    match held.part:
        case Part.OWNER:
            if lease is not None and not is_mine:
                return Act.LOSE
            return Act.YIELD if _is_awaited(view, number, target) else Act.RENEW
        case Part.STANDBY:
            if lease is None or is_mine:
                return Act.CLAIM
            if target not in (None, view.me.name):
                return Act.DROP
            return Act.OFFER if held.is_ready else None
        case Part.LEAVING:
            left_ms = view.now_ms - held.since_ms
            if lease is not None and not is_mine:
                if target == view.me.name and not view.is_stopping:
                    return Act.RETURN
                return Act.DROP if left_ms >= rules.linger_ms else None
            # Nobody has come for it; this one still knows all, so it is the quickest to go on.
            return Act.CLAIM if left_ms >= rules.lease_ms and not view.is_stopping else None


def _is_awaited(view: View, number: int, target: str | None) -> bool:
    """Whether the one that should have the partition is ready for it."""
    offer = view.offers.get(number)
    alive = {member.nonce for member in view.members}
    return offer is not None and offer.owner == target != view.me.name and offer.nonce in alive


def _taken(view: View, wanted: Mapping[int, str], dropped: Collection[int], rules: Rules) -> list[tuple[Act, int]]:
    """Partitions to begin with: free ones first, one at a time of each member that had them before."""
    behind = [held for number, held in view.held.items() if not held.is_ready and number not in dropped]
    room = rules.max_replays - len(behind)
    sources = {held.source for held in behind if held.source is not None}
    acts: list[tuple[Act, int]] = []
    absent = [number for number, name in wanted.items() if name == view.me.name and number not in view.held]
    for number in sorted(absent, key=lambda number: (number in view.leases, number)):
        source = source_of(view, number)
        if len(acts) >= room or source in sources:
            continue
        lease = view.leases.get(number)
        acts.append((Act.TAKE if lease is None or lease.nonce == view.me.nonce else Act.STAND_BY, number))
        if source is not None:
            sources.add(source)
    return acts


def outstanding(view: View, held: Collection[int], rules: Rules) -> list[int]:
    """Partitions that the member should have and has not begun with; `held` may be newer than the view."""
    wanted = targets(eligible(view.members, view.now_ms, rules), view.partitions)
    return [number for number, name in wanted.items() if name == view.me.name and number not in held]


def source_of(view: View, number: int) -> str | None:
    """The member that has the partition, or had it last; None if it is not known, or if it was this one."""
    lease = view.leases.get(number)
    name = lease.owner if lease is not None else view.owners_before.get(number)
    return None if name == view.me.name else name


def _weight(name: str, partition: int) -> bytes:
    return blake2b(f"{partition}/{name}".encode(), digest_size=8).digest()
