"""The sections of the settings. Sizes are bytes, times seconds, as the names say."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from headrace.settings.addresses import split_address, split_advertised, split_brokers
from shared.errors import BadDataError
from shared.kafka.settings import KafkaSettings as KafkaConnection
from shared.redis.settings import RedisSettings as RedisConnection
from shared.redis.settings import parse_url
from shared.rpc.settings import RpcSettings


def _none_word(value: object) -> object:
    """Variables hold text: `none` stands for no bound."""
    return None if isinstance(value, str) and value.lower() in {"none", "null", ""} else value


Seconds = Annotated[float, Field(gt=0, le=100 * 365 * 86400)]
MaybeSeconds = Annotated[Annotated[int, Field(gt=0)] | None, BeforeValidator(_none_word)]
MaybeCount = Annotated[Annotated[int, Field(ge=1, le=1024)] | None, BeforeValidator(_none_word)]
Bytes = Annotated[int, Field(ge=1 << 16)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _holds_settings(cls, value: object) -> object:
        if value is None:  # in YAML, a section whose lines are all comments
            return {}
        if not isinstance(value, dict | cls):
            raise ValueError(f"holds settings as `name: value` below it, not {value!r}")  # noqa: TRY004  what pydantic reports
        return value


class LogSettings(Section):
    segment_bytes: Bytes = Field(
        default=64 << 20, description="Size at which a segment file of the log is closed and a new one begun."
    )
    queue_bytes: Bytes = Field(
        default=64 << 20, description="Bytes that may wait for the log's next sync; above it writes get 503."
    )


class WriteSettings(Section):
    max_inflight_bytes: Bytes = Field(
        default=256 << 20,
        description="Bodies held in memory between receipt and answer, over all instances; above it writes get 503.",
    )
    label_cache_bytes: Bytes = Field(
        default=64 << 20, description="Memory for label sets already seen and known to be valid."
    )


class PushSettings(Section):
    interval_s: Annotated[int, Field(ge=1, le=240)] = Field(
        default=15, description="From one sample of a pushed group to the next, as if it were scraped."
    )
    ttl_s: MaybeSeconds = Field(
        default=None, description="How long a pushed group lives if its push does not say; none: until it is deleted."
    )


class IngesterSettings(Section):
    window_s: Annotated[int, Field(ge=60, le=86400)] = Field(
        default=7200,
        description="Length of the time windows that become blocks. Keep it for the life of a data folder or cluster.",
    )
    grace_s: Annotated[int, Field(ge=0, le=86400)] = Field(
        default=600, description="How long after its end a window waits for late samples."
    )
    memory_bytes: Bytes = Field(
        default=2 << 30,
        description="Memory, of each worker, for samples not yet cut; at 80 % the largest windows are cut early.",
    )
    retention_s: MaybeSeconds = Field(
        default=None,
        description="Age at which blocks are removed, unless an instance's limits say otherwise; none: never.",
    )
    canary_s: MaybeSeconds = Field(
        default=15,
        description="Time between two canary samples of a partition, which an ingester of a cluster writes and reads "
        "to tell how late its heads are; none: it writes none.",
    )


class QuerySettings(Section):
    timeout_s: Seconds = Field(default=120.0, description="Longest a query may take, waiting included.")
    lookback_s: Seconds = Field(default=300.0, description="How far back an instant selector looks for a sample.")
    threads: Annotated[int, Field(ge=1, le=256)] = Field(
        default=4, description="Queries evaluated at the same time, over all instances."
    )
    cache_bytes: Bytes = Field(
        default=256 << 20,
        description="Memory, of each worker, for roots and pages of blocks that were read; those least recently used "
        "go. Where the blocks are files of the process's own, pages take at most a quarter of it.",
    )
    consistency_wait_s: Seconds = Field(
        default=2.0, description="Longest a query waits until it can see everything acknowledged before it arrived."
    )


class LoggingSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level that is written."
    )
    format: Literal["auto", "json", "text"] = Field(
        default="auto", description="auto: text on a terminal, JSON lines elsewhere."
    )


class KafkaSettings(Section):
    brokers: tuple[str, ...] = Field(
        default=(), description="Brokers to begin with, as HOST:PORT[,HOST:PORT…]; every role of a cluster needs them."
    )
    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,200}$")] = Field(
        default="headrace", description="The topic that is the log. It is made if it is not there."
    )
    replication: Annotated[int, Field(ge=1, le=100)] = Field(
        default=3, description="Copies of each partition in a topic that is made."
    )
    min_isr: Annotated[int, Field(ge=1, le=100)] = Field(
        default=2, description="Copies that must have a record before it is acknowledged, in a topic that is made."
    )
    retention_s: Annotated[int, Field(ge=3600)] = Field(
        default=7 * 86400,
        description="How long a topic that is made keeps records. Far longer than a window and the longest outage.",
    )
    allow_unreplicated_log: bool = Field(
        default=False,
        description="Take a topic with fewer than three copies, or one that acknowledges with less than two in sync. "
        "A dead disk then loses acknowledged samples.",
    )
    delivery_s: Seconds = Field(
        default=20.0, description="Longest a write waits for its acknowledgement; then it gets 503. Below the senders'."
    )
    queue_bytes: Bytes = Field(
        default=64 << 20, description="Bytes that may wait for Kafka's acknowledgement; above it writes get 503."
    )
    tls: bool = Field(default=False, description="Speak TLS to the brokers.")
    ca_file: Path | None = Field(
        default=None, description="Certificates that the brokers' must be signed with; none: those of the system."
    )
    cert_file: Path | None = Field(default=None, description="Certificate shown to the brokers.")
    key_file: Path | None = Field(default=None, description="Its key.")
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        default=None, description="How to log in at the brokers; none: not at all."
    )
    sasl_user: str | None = Field(default=None, description="User for it.")
    sasl_password: SecretStr | None = Field(default=None, description="Password for it.")

    @field_validator("brokers", mode="before")
    @classmethod
    def _brokers_are_addresses(cls, value: object) -> object:
        return split_brokers(value)

    @model_validator(mode="after")
    def _acknowledgement_can_be_had(self) -> "KafkaSettings":
        if self.min_isr > self.replication:
            raise ValueError(
                f"min_isr {self.min_isr} is more than replication {self.replication}: nothing could be written"
            )
        if self.sasl_mechanism and not (self.sasl_user and self.sasl_password):
            raise ValueError("sasl_mechanism needs sasl_user and sasl_password")
        return self

    def connection(self) -> KafkaConnection:
        """What the clients of `shared.kafka` take."""
        return KafkaConnection(
            brokers=self.brokers,
            topic=self.topic,
            replication=self.replication,
            min_isr=self.min_isr,
            retention_s=self.retention_s,
            allow_unreplicated_log=self.allow_unreplicated_log,
            delivery_s=self.delivery_s,
            queue_bytes=self.queue_bytes,
            tls=self.tls,
            ca_file=self.ca_file,
            cert_file=self.cert_file,
            key_file=self.key_file,
            sasl_mechanism=self.sasl_mechanism,
            sasl_user=self.sasl_user,
            sasl_password=None if self.sasl_password is None else self.sasl_password.get_secret_value(),
        )


class RedisSettings(Section):
    url: str | None = Field(
        default=None,
        description="redis://HOST:PORT[/DATABASE], rediss:// with TLS, "
        "of a Redis Cluster redis://HOST:PORT,HOST:PORT…; "
        "every role of a cluster needs it.",
    )
    cluster: bool = Field(default=False, description="The URL leads to a Redis Cluster.")
    user: str | None = Field(default=None, description="User to log in as; none: the default one.")
    password: SecretStr | None = Field(default=None, description="Password; it does not belong in the URL.")
    ca_file: Path | None = Field(
        default=None, description="Certificates that the server's must be signed with; none: those of the system."
    )
    cert_file: Path | None = Field(default=None, description="Certificate shown to the server.")
    key_file: Path | None = Field(default=None, description="Its key.")
    allow_unpersisted_store: bool = Field(
        default=False,
        description="Take a Redis that keeps nothing on its disk. Its restart then loses what the log no longer has.",
    )

    @field_validator("url")
    @classmethod
    def _url_has_no_secret(cls, value: str | None) -> str | None:
        if value is None:
            return None
        scheme, separator, rest = value.partition("://")
        if not separator or scheme not in {"redis", "rediss"}:
            raise ValueError("must begin with redis:// or rediss://")
        if "@" in rest:
            raise ValueError("holds credentials: give them as redis.user and redis.password, which are not shown")
        addresses, _, database = rest.partition("/")
        for address in addresses.split(","):
            split_address(address)
        if database and not database.isdigit():
            raise ValueError("must end with the number of a database, or with none")
        return value

    @model_validator(mode="after")
    def _url_fits(self) -> "RedisSettings":
        if self.url is not None:
            try:
                parse_url(self.url, is_cluster=self.cluster)
            except BadDataError as error:
                raise ValueError(str(error)) from None
        return self

    def connection(self) -> RedisConnection:
        """What the client of `shared.redis` takes. BadDataError without a URL."""
        if self.url is None:
            raise BadDataError("redis.url is not set: give redis://HOST:PORT")
        return replace(
            parse_url(self.url, is_cluster=self.cluster),
            username=self.user,
            password=None if self.password is None else self.password.get_secret_value(),
            ca_file=self.ca_file,
            cert_file=self.cert_file,
            key_file=self.key_file,
        )


class GrpcSettings(Section):
    listen: str = Field(
        default="127.0.0.1:9095",
        description="HOST:PORT on which an ingester answers queriers; worker N listens N ports further on.",
    )
    advertise: str | None = Field(
        default=None,
        description="HOST or HOST:PORT under which others reach it; none: as it listens, or the host's name if that is "
        "every address.",
    )
    cert_file: Path | None = Field(default=None, description="Certificate of an ingester; with it gRPC speaks TLS.")
    key_file: Path | None = Field(default=None, description="Its key.")
    ca_file: Path | None = Field(
        default=None, description="Certificates that those of ingesters must be signed with; with it gRPC speaks TLS."
    )

    @field_validator("listen")
    @classmethod
    def _listen_is_an_address(cls, value: str) -> str:
        _, port = split_address(value)
        if port == 0:
            raise ValueError("must name a port: it is part of the address that is announced to others")
        return value

    @field_validator("advertise")
    @classmethod
    def _advertise_can_be_reached(cls, value: str | None) -> str | None:
        if value is not None:
            split_advertised(value)
        return value

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> "GrpcSettings":
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together")
        return self

    def connection(self, secret: SecretStr | None) -> RpcSettings:
        """What channels and servers of `shared.rpc` take."""
        return RpcSettings(
            secret="" if secret is None else secret.get_secret_value(),
            ca_file=self.ca_file,
            certificate_file=self.cert_file,
            key_file=self.key_file,
        )
