"""Everything that can be set."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, field_validator

from headrace.instances import check_app_id
from headrace.settings.addresses import split_address
from headrace.settings.sections import (
    GrpcSettings,
    IngesterSettings,
    KafkaSettings,
    LoggingSettings,
    LogSettings,
    MaybeCount,
    PushSettings,
    QuerySettings,
    RedisSettings,
    Seconds,
    Section,
    WriteSettings,
)
from shared.auth.tokens import check_token, parse_keys
from shared.errors import BadDataError
from shared.model.features import Features, changed_features
from shared.model.instance import Limits, changed_limits

ProcessName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]

STANDALONE_PARTITIONS = 4
CLUSTER_PARTITIONS = 16


class Settings(Section):
    """Everything that can be set. Sizes are bytes, times seconds, as the names say."""

    listen: str = Field(
        default="127.0.0.1:9009", description="HOST:PORT to serve on; [HOST]:PORT for IPv6; port 0 takes a free one."
    )
    data: Path = Field(default=Path("data"), description="The data folder. It is made if it is not there.")
    name: ProcessName | None = Field(
        default=None,
        description="Name of this process among those of its role; none: the host's. Two ingesters never share one.",
    )
    zone: ProcessName = Field(
        default="a",
        description="Zone of an ingester. The ingesters of each zone hold all that is not in the store yet.",
    )
    workers: Annotated[int, Field(ge=1, le=256)] = Field(
        default=1, description="Processes that share the work of one role of a cluster; one uses one core."
    )
    partitions: MaybeCount = Field(
        default=None,
        description="Partitions of the log; none: 4 standalone, 16 in a cluster. "
        "Fixed when the data folder or the cluster is made.",
    )
    key_file: Path | None = Field(
        default=None,
        description="File with the keys that seal tokens; none: token.key in the data folder, in a cluster see `key`.",
    )
    key: SecretStr | None = Field(
        default=None,
        description="The keys themselves, 64 hex digits each. Processes of a cluster that administer need these or the "
        "file, all the same.",
    )
    cluster_secret: SecretStr | None = Field(
        default=None, description="What the processes of a cluster show one another; every one needs it."
    )
    admin_token: SecretStr | None = Field(
        default=None,
        description="Token of the admin API (header X-Headrace-Admin); none: standalone makes a new one at each start, "
        "in server.json; in a cluster nobody administers.",
    )
    bootstrap_app_id: str | None = Field(
        default=None, description="Name of an instance to create at start if it does not exist."
    )
    bootstrap_token: SecretStr | None = Field(default=None, description="The bootstrap instance's token.")
    drain_s: Seconds = Field(
        default=60.0,
        description="Longest the work after SIGTERM to bring everything into the store; the rest is replayed.",
    )
    log: LogSettings = LogSettings()
    write: WriteSettings = WriteSettings()
    push: PushSettings = PushSettings()
    ingester: IngesterSettings = IngesterSettings()
    query: QuerySettings = QuerySettings()
    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    grpc: GrpcSettings = GrpcSettings()
    logging: LoggingSettings = LoggingSettings()
    limits: Limits = Field(
        Limits(), description="Limits of new instances; `headrace instances set-limit` changes them later."
    )
    features: Features = Field(
        Features(),
        description="Features of new instances; `headrace instances set-feature` switches them later.",
    )

    @field_validator("listen")
    @classmethod
    def _listen_is_an_address(cls, value: str) -> str:
        split_address(value)
        return value

    @field_validator("limits", mode="before")
    @classmethod
    def _limits_are_known_and_bounded(cls, value: object) -> object:
        if value is None or isinstance(value, Limits):
            return value or Limits()
        if not isinstance(value, dict):
            raise ValueError(f"holds limits as `name: value` below it, not {value!r}")  # noqa: TRY004
        try:
            return changed_limits(Limits(), value)
        except BadDataError as error:
            raise ValueError(str(error)) from None

    @field_validator("features", mode="before")
    @classmethod
    def _features_are_known(cls, value: object) -> object:
        if value is None or isinstance(value, Features):
            return value or Features()
        if not isinstance(value, dict):
            raise ValueError(f"holds features as `name: true` below it, not {value!r}")  # noqa: TRY004
        try:
            return changed_features(Features(), value)
        except BadDataError as error:
            raise ValueError(str(error)) from None

    @field_validator("bootstrap_app_id")
    @classmethod
    def _app_id_is_a_name(cls, value: str | None) -> str | None:
        try:
            return None if value is None else check_app_id(value)
        except BadDataError as error:
            raise ValueError(str(error)) from None

    @field_validator("key")
    @classmethod
    def _key_holds_keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_keys(value.get_secret_value())
        return value

    @field_validator("admin_token", "bootstrap_token", "cluster_secret")
    @classmethod
    def _tokens_are_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                check_token(value.get_secret_value())
            except BadDataError as error:
                raise ValueError(str(error)) from None
        return value

    @property
    def vault_key_file(self) -> Path:
        return self.key_file or self.data / "token.key"


def hidden_settings(settings: Settings) -> dict[str, Any]:
    """As JSON may show them: pydantic's secret type prints itself as asterisks."""
    return settings.model_dump(mode="json")
