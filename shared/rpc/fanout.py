"""Asks one replica of each partition, one call for each process; what one cannot answer another one is asked for."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import grpc

from shared.errors import HeadraceError, UnavailableError
from shared.rpc.errors import details_of, final_error
from shared.rpc.replicas import Replicas

Answer = TypeVar("Answer")

Call = Callable[[str, dict[int, int], dict[int, Answer]], Awaitable[dict[int, str]]]
"""(address, partition -> offset, answers by partition to add to) -> why others could not be answered there."""


async def ask(
    replicas: Replicas, partitions: Mapping[int, int], call: Call[Answer]
) -> tuple[dict[int, Answer], dict[int, str]]:
    """The answers, and for each partition without one a sentence that names it.

    `call` may raise grpc.RpcError or UnavailableError: what was answered before stands, the rest is asked of others.
    Any other HeadraceError ends it all.
    """
    answers: dict[int, Answer] = {}
    reasons: dict[int, str] = {}
    tried: dict[int, set[str]] = {partition: set() for partition in partitions}
    left = dict(partitions)
    has_looked = False
    while left:
        groups: dict[str, dict[int, int]] = {}
        for partition, offset in left.items():
            for address in replicas.of(partition):
                if address not in tried[partition]:
                    tried[partition].add(address)
                    groups.setdefault(address, {})[partition] = offset
                    break
        if not groups:
            if has_looked:
                break
            has_looked = True  # somebody else may have them by now
            with contextlib.suppress(HeadraceError):
                await replicas.refresh()
            continue
        await _round(replicas, groups, call, answers, reasons)
        left = {partition: offset for partition, offset in left.items() if partition not in answers}
    return answers, {number: _sentence(number, reasons.get(number)) for number in left}


async def _round(
    replicas: Replicas,
    groups: Mapping[str, dict[int, int]],
    call: Call[Answer],
    answers: dict[int, Answer],
    reasons: dict[int, str],
) -> None:
    async def one(address: str, wanted: dict[int, int]) -> None:
        has_failed = True
        try:
            missing = await call(address, wanted, answers)
            has_failed = False
        except grpc.RpcError as error:
            if (final := final_error(error)) is not None:
                raise final from error
            missing = dict.fromkeys(wanted, f"{address}: {details_of(error)}")
        except UnavailableError as error:
            missing = dict.fromkeys(wanted, f"{address}: {error}")
        failed = {partition: why for partition, why in missing.items() if partition not in answers}
        reasons.update(failed)
        replicas.avoid(address, failed.keys(), has_failed=has_failed)

    if len(groups) == 1:
        for address, wanted in groups.items():
            await one(address, wanted)
        return
    try:
        async with asyncio.TaskGroup() as tasks:
            for address, wanted in groups.items():
                tasks.create_task(one(address, wanted))
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


def _sentence(partition: int, reason: str | None) -> str:
    if reason is None:
        return f"no ingester holds partition {partition}"
    return reason if f"partition {partition} " in reason else f"partition {partition} cannot be read: {reason}"
