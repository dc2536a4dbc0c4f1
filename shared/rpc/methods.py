"""The methods of an ingester's service: path, messages, and whether the answer is a stream."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from shared.rpc import ingester_pb2 as pb

SERVICE = "headrace.v1.Ingester"

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)


@dataclass(frozen=True, slots=True)
class Method(Generic[Request, Reply]):
    name: str
    request: type[Request]
    reply: type[Reply]

    @property
    def path(self) -> str:
        return f"/{SERVICE}/{self.name}"


WAIT = Method("WaitApplied", pb.WaitRequest, pb.WaitReply)
SELECT = Method("Select", pb.SelectRequest, pb.Frame)
NAMES = Method("Names", pb.NamesRequest, pb.Frame)
METADATA = Method("Metadata", pb.MetadataRequest, pb.MetadataReply)
PUSHED = Method("Pushed", pb.PushedRequest, pb.PushedReply)
EXEMPLARS = Method("Exemplars", pb.ExemplarsRequest, pb.ExemplarsReply)
FLUSH = Method("Flush", pb.FlushRequest, pb.FlushReply)
ACTIVE_SERIES = Method("ActiveSeries", pb.ActiveSeriesRequest, pb.ActiveSeriesReply)
METRIC_SERIES = Method("MetricSeries", pb.MetricSeriesRequest, pb.MetricSeriesReply)
KNOWN_SERIES = Method("KnownSeries", pb.KnownSeriesRequest, pb.KnownSeriesReply)
