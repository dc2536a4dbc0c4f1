"""How many queries of an instance run at once."""

import asyncio
from dataclasses import replace

import pytest

from querier.api.places import Places
from shared.model.instance import Instance, Limits

ONE = Instance("a", b"a" * 16, b"", b"", limits=Limits(max_concurrent_queries=1))
OTHER = replace(ONE, app_id="b", uid=b"b" * 16)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_others_wait_in_order_and_instances_do_not_wait_for_each_other() -> None:
    places = Places()
    await places.take(ONE)
    await places.take(OTHER)
    order: list[int] = []

    async def queue(number: int) -> None:
        await places.take(ONE)
        order.append(number)

    tasks = [asyncio.create_task(queue(number)) for number in range(3)]
    await settle()
    assert (places.running, places.waiting, order) == (2, 3, [])
    for served in range(3):
        places.leave(ONE)
        await settle()
        assert order == list(range(served + 1))
    places.leave(ONE)
    places.leave(OTHER)
    assert (places.running, places.waiting) == (0, 0)
    assert all(task.done() for task in tasks)


async def test_who_gives_up_leaves_the_line() -> None:
    places = Places()
    await places.take(ONE)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await places.take(ONE)
    assert places.waiting == 0
    places.leave(ONE)
    await places.take(ONE)
    assert places.running == 1


async def test_a_place_that_arrives_with_the_cancellation_is_handed_on() -> None:
    places = Places()
    await places.take(ONE)
    first = asyncio.create_task(places.take(ONE))
    second = asyncio.create_task(places.take(ONE))
    await settle()
    places.leave(ONE)  # the first has the place, but has not run yet
    first.cancel()
    await settle()
    assert first.cancelled()
    assert second.done()
    assert (places.running, places.waiting) == (1, 0)


async def test_a_cancelled_waiter_is_passed_over() -> None:
    places = Places()
    await places.take(ONE)
    first = asyncio.create_task(places.take(ONE))
    second = asyncio.create_task(places.take(ONE))
    await settle()
    first.cancel()
    places.leave(ONE)
    await settle()
    assert second.done()
    assert (places.running, places.waiting) == (1, 0)


async def test_a_raised_limit_counts_at_once() -> None:
    places = Places()
    await places.take(ONE)
    raised = replace(ONE, limits=Limits(max_concurrent_queries=2))
    await places.take(raised)
    assert places.running == 2


async def test_a_limit_that_was_raised_lets_in_those_who_waited() -> None:
    places = Places()
    await places.take(ONE)
    waiting = asyncio.create_task(places.take(ONE))
    await settle()
    await places.take(replace(ONE, limits=Limits(max_concurrent_queries=3)))
    await settle()
    assert waiting.done()
    assert (places.running_of(ONE), places.waiting, places.running_of(OTHER)) == (3, 0, 0)
