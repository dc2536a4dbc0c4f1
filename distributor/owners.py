"""The ingesters of a cluster, as distributors see them: which series are active."""

import asyncio
from collections.abc import Mapping, Sequence

import grpc

from shared.errors import UnavailableError
from shared.rpc import ingester_pb2 as pb
from shared.rpc.channels import Channels
from shared.rpc.errors import details_of
from shared.rpc.fanout import ask
from shared.rpc.methods import ACTIVE_SERIES, KNOWN_SERIES
from shared.rpc.replicas import Replicas

TIMEOUT_S = 3.0


class RemoteOwners:
    """`distributor.series_guard.SeriesOwners` over gRPC."""

    def __init__(self, replicas: Replicas, channels: Channels) -> None:
        self._replicas = replicas
        self._channels = channels

    async def active_series(self, uids: Sequence[bytes]) -> Mapping[bytes, int]:
        request = pb.ActiveSeriesRequest(uids=uids)
        most: dict[int, list[int]] = {}  # partition -> of several zones the most of each uid
        failures: list[str] = []

        async def count(address: str) -> None:
            try:
                reply = await self._channels.call(address, ACTIVE_SERIES, request, TIMEOUT_S)
            except grpc.RpcError as error:
                failures.append(f"{address}: {details_of(error)}")
                return
            for counted in reply.partitions:
                before = most.get(counted.partition, [0] * len(uids))
                most[counted.partition] = [max(pair) for pair in zip(before, counted.series, strict=True)]

        async with asyncio.TaskGroup() as tasks:
            for address in self._replicas.addresses:
                tasks.create_task(count(address))
        if not most:
            raise UnavailableError(
                "no ingester can be asked for its series: " + ("; ".join(failures) or "there is none")
            )
        return {uid: sum(series[at] for series in most.values()) for at, uid in enumerate(uids)}

    async def known_series(self, uid: bytes, keys: Mapping[int, bytes]) -> Mapping[int, bytes]:
        async def known(address: str, wanted: dict[int, int], answers: dict[int, bytes]) -> dict[int, str]:
            request = pb.KnownSeriesRequest(uid=uid, keys={partition: keys[partition] for partition in wanted})
            reply = await self._channels.call(address, KNOWN_SERIES, request, TIMEOUT_S)
            answers.update(reply.held)
            return {partition: "it is not served there" for partition in wanted if partition not in reply.held}

        held, _ = await ask(self._replicas, dict.fromkeys(keys, 0), known)
        return held
