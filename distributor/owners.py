"""The ingesters of a cluster, as distributors see them: which series are active."""

from collections.abc import Mapping, Sequence

from shared.model.counts import Counted
from shared.rpc import ingester_pb2 as pb
from shared.rpc.channels import Channels
from shared.rpc.counting import TIMEOUT_S, count_metrics, count_series
from shared.rpc.fanout import ask
from shared.rpc.methods import KNOWN_SERIES
from shared.rpc.replicas import Replicas


class RemoteOwners:
    """`distributor.series_guard.SeriesOwners` over gRPC."""

    def __init__(self, replicas: Replicas, channels: Channels) -> None:
        self._replicas = replicas
        self._channels = channels

    async def active_series(self, uids: Sequence[bytes]) -> Mapping[bytes, Counted]:
        return (await count_series(self._replicas, self._channels, uids)).by_uid

    async def metric_series(self, uid: bytes, metrics: Sequence[str]) -> Mapping[str, int]:
        return await count_metrics(self._replicas, self._channels, uid, metrics)

    async def known_series(self, uid: bytes, keys: Mapping[int, bytes]) -> Mapping[int, bytes]:
        async def known(address: str, wanted: dict[int, int], answers: dict[int, bytes]) -> dict[int, str]:
            request = pb.KnownSeriesRequest(uid=uid, keys={partition: keys[partition] for partition in wanted})
            reply = await self._channels.call(address, KNOWN_SERIES, request, TIMEOUT_S)
            answers.update(reply.held)
            return {partition: "it is not served there" for partition in wanted if partition not in reply.held}

        held, _ = await ask(self._replicas, dict.fromkeys(keys, 0), known)
        return held
