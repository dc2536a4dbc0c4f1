"""What was refused: counted by reason, told to the others, and kept while they cannot be told."""

import asyncio
from collections.abc import Mapping

from distributor.rejections import MAX_INSTANCES, OwnRejections, SharedRejections
from shared.errors import UnavailableError
from shared.seams.rejections import Reasons, Rejection
from tests.support.clock import FakeClock

SHOP, OTHER = b"s" * 16, b"o" * 16


class Board:
    """`RejectionBoard` in memory; may be away, or take its time."""

    def __init__(self) -> None:
        self.held: dict[bytes, dict[str, Rejection]] = {}
        self.is_away = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def add(self, refused: Mapping[bytes, Reasons]) -> None:
        await self.may_answer.wait()
        if self.is_away:
            raise UnavailableError("the board is away")
        for uid, reasons in refused.items():
            for reason, rejection in reasons.items():
                held = self.held.setdefault(uid, {})
                held[reason] = held[reason] + rejection if reason in held else rejection

    async def of(self, uid: bytes) -> dict[str, Rejection]:
        if self.is_away:
            raise UnavailableError("the board is away")
        return self.held.get(uid, {})


async def test_counts_by_reason_and_keeps_the_last_example() -> None:
    clock = FakeClock()
    own = OwnRejections(clock)
    own.note(SHOP, [("too_old", 2, "first"), ("missing_name", 1, "nameless")])
    clock.advance(5)
    own.note(SHOP, [("too_old", 3, "second"), ("too_old", 1, "third")])
    found, warnings = await own.of(SHOP)
    assert warnings == []
    assert found["too_old"] == Rejection(6, clock.now_ms(), "third")
    assert found["missing_name"] == Rejection(1, clock.now_ms() - 5000, "nameless")
    assert await own.of(OTHER) == ({}, [])


async def test_forgets_the_instance_that_has_been_silent_longest() -> None:
    own = OwnRejections(FakeClock())
    for number in range(MAX_INSTANCES + 1):
        own.note(number.to_bytes(16, "big"), [("too_old", 1, "x")])
        own.note(bytes(16), [("too_old", 1, "x")])
    assert (await own.of(bytes(16)))[0]["too_old"].samples == MAX_INSTANCES + 2
    assert (await own.of((1).to_bytes(16, "big")))[0] == {}


async def test_two_distributors_tell_one_another() -> None:
    board, clock = Board(), FakeClock()
    first, second = SharedRejections(clock, board), SharedRejections(clock, board)
    first.note(SHOP, [("too_old", 2, "a")])
    assert (await first.of(SHOP))[0]["too_old"].samples == 2  # before it is told
    assert (await second.of(SHOP))[0] == {}
    await first.publish()
    second.note(SHOP, [("too_old", 3, "b")])
    assert (await first.of(SHOP))[0]["too_old"].samples == 2
    assert (await second.of(SHOP))[0]["too_old"] == Rejection(5, clock.now_ms(), "b")
    await second.publish()
    await second.publish()  # nothing is told twice
    for shared in (first, second):
        assert (await shared.of(SHOP))[0]["too_old"].samples == 5
        assert (await shared.of(OTHER))[0] == {}


async def test_keeps_what_it_could_not_tell() -> None:
    board = Board()
    shared = SharedRejections(FakeClock(), board)
    shared.note(SHOP, [("too_old", 1, "a")])
    board.is_away = True
    await shared.publish()
    shared.note(SHOP, [("too_old", 1, "b")])
    found, warnings = await shared.of(SHOP)
    assert found["too_old"].samples == 2
    assert warnings == ["only what this distributor refused a moment ago is listed: the board is away"]
    board.is_away = False
    await shared.publish()
    assert board.held[SHOP]["too_old"].samples == 2
    assert await shared.of(SHOP) == (board.held[SHOP], [])


async def test_what_is_on_its_way_is_counted_once() -> None:
    board = Board()
    shared = SharedRejections(FakeClock(), board)
    shared.note(SHOP, [("too_old", 1, "a")])
    board.may_answer.clear()
    publishing = asyncio.create_task(shared.publish())
    await asyncio.sleep(0)
    asking = asyncio.create_task(shared.of(SHOP))
    await asyncio.sleep(0)
    shared.note(SHOP, [("too_old", 1, "b")])
    board.may_answer.set()
    assert (await asking)[0]["too_old"].samples == 2
    await publishing


async def test_what_was_cut_off_is_told_later() -> None:
    board = Board()
    shared = SharedRejections(FakeClock(), board)
    shared.note(SHOP, [("too_old", 1, "a")])
    board.may_answer.clear()
    publishing = asyncio.create_task(shared.publish())
    await asyncio.sleep(0)
    publishing.cancel()
    await asyncio.wait({publishing})
    board.may_answer.set()
    await shared.publish()
    assert board.held[SHOP]["too_old"].samples == 1
