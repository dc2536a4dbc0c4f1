"""How many series and samples instances have, as their ingesters count them."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from shared.errors import UnavailableError
from shared.model.counts import Counted, Counts
from shared.rpc import ingester_pb2 as pb
from shared.rpc.channels import Channels
from shared.rpc.errors import details_of
from shared.rpc.methods import ACTIVE_SERIES, METRIC_SERIES, Method
from shared.rpc.replicas import Replicas

TIMEOUT_S = 3.0

NAMES_BYTES = 1 << 20
"""Of the metrics that are asked for in one call."""

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)


async def count_series(replicas: Replicas, channels: Channels, uids: Sequence[bytes], *, now_ms: int = 0) -> Counts:
    """`now_ms`: for the rates; without it they are not asked for. UnavailableError: nobody answers."""
    request = pb.ActiveSeriesRequest(uids=uids, now_ms=now_ms)
    columns: list[dict[int, list[float]]] = [{}, {}, {}]
    for reply in await _ask_all(replicas, channels, ACTIVE_SERIES, request):
        for one in reply.partitions:
            figures: tuple[Sequence[float], ...] = (one.series, one.largest_metric, one.samples_per_second)
            for most, seen in zip(columns, figures, strict=True):
                _keep_most(most, one.partition, seen)
    series, largest, rates = (_totals(most, len(uids)) for most in columns)
    counted = (Counted(int(series[at]), int(largest[at]), rates[at]) for at in range(len(uids)))
    return Counts(dict(zip(uids, counted, strict=True)), columns[0].keys())


async def count_metrics(
    replicas: Replicas, channels: Channels, uid: bytes, metrics: Sequence[str]
) -> Mapping[str, int]:
    """metric → series that the instance has of it. UnavailableError: nobody answers."""
    counts: dict[str, int] = {}
    for some in _pieces(metrics):
        most: dict[int, list[float]] = {}
        request = pb.MetricSeriesRequest(uid=uid, metrics=some)
        for reply in await _ask_all(replicas, channels, METRIC_SERIES, request):
            for one in reply.partitions:
                _keep_most(most, one.partition, one.series)
        counts.update(zip(some, map(int, _totals(most, len(some))), strict=True))
    return counts


async def _ask_all(
    replicas: Replicas, channels: Channels, method: Method[Request, Reply], request: Request
) -> Sequence[Reply]:
    """All who hold a partition, in all zones; those who fail are passed over while somebody answers."""
    failures: list[str] = []
    replies: list[Reply] = []

    async def ask(address: str) -> None:
        try:
            replies.append(await channels.call(address, method, request, TIMEOUT_S))
        except grpc.RpcError as error:
            failures.append(f"{address}: {details_of(error)}")

    async with asyncio.TaskGroup() as tasks:
        for address in replicas.addresses:
            tasks.create_task(ask(address))
    if not replies:
        raise UnavailableError("no ingester can be asked for its series: " + ("; ".join(failures) or "there is none"))
    return replies


def _keep_most(most: dict[int, list[float]], partition: int, seen: Sequence[float]) -> None:
    """An ingester of an older release leaves columns out."""
    most[partition] = [max(pair) for pair in zip_longest(most.get(partition, ()), seen, fillvalue=0)]


def _totals(most: Mapping[int, Sequence[float]], width: int) -> list[float]:
    """Over all partitions."""
    totals: list[float] = [0] * width
    for counted in most.values():
        for at, number in enumerate(counted[:width]):
            totals[at] += number
    return totals


def _pieces(metrics: Sequence[str]) -> list[list[str]]:
    pieces: list[list[str]] = []
    size = NAMES_BYTES
    for metric in metrics:
        size += len(metric.encode()) + 4
        if size > NAMES_BYTES:
            pieces.append([])
            size = 0
        pieces[-1].append(metric)
    return pieces
