"""Settings: by flag, by `HEADRACE_*` variable (nested names joined by `__`) or from one YAML file, in this order."""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from headrace.instances import check_app_id
from shared.auth.tokens import check_token
from shared.errors import BadDataError
from shared.model.instance import Limits, changed_limits

PREFIX = "HEADRACE_"
CONFIG_VARIABLE = PREFIX + "CONFIG"
FAULTS_VARIABLE = PREFIX + "FAULTS"  # of shared.faults, for tests only

_SECRETS = frozenset({("admin_token",), ("bootstrap_token",)})
"""Not even shown where they are wrong."""


class SettingsError(Exception):
    """One or more settings are wrong; the text names each with where it came from."""


def _none_word(value: object) -> object:
    """Variables hold text: `none` stands for no bound."""
    return None if isinstance(value, str) and value.lower() in {"none", "null", ""} else value


Seconds = Annotated[float, Field(gt=0, le=100 * 365 * 86400)]
MaybeSeconds = Annotated[Annotated[int, Field(gt=0)] | None, BeforeValidator(_none_word)]
Bytes = Annotated[int, Field(ge=1 << 16)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _holds_settings(cls, value: object) -> object:
        if value is None:  # in YAML, a section whose lines are all comments
            return {}
        if not isinstance(value, dict | cls):
            raise ValueError(f"holds settings as `name: value` below it, not {value!r}")  # noqa: TRY004  what pydantic reports
        return value


class LogSettings(_Section):
    segment_bytes: Bytes = Field(
        default=64 << 20, description="Size at which a segment file of the log is closed and a new one begun."
    )
    queue_bytes: Bytes = Field(
        default=64 << 20, description="Bytes that may wait for the log's next sync; above it writes get 503."
    )


class WriteSettings(_Section):
    max_inflight_bytes: Bytes = Field(
        default=256 << 20,
        description="Bodies held in memory between receipt and answer, over all instances; above it writes get 503.",
    )
    label_cache_bytes: Bytes = Field(
        default=64 << 20, description="Memory for label sets already seen and known to be valid."
    )


class IngesterSettings(_Section):
    window_s: Annotated[int, Field(ge=60, le=86400)] = Field(
        default=7200,
        description="Length of the time windows that become blocks. Keep it for the life of a data folder.",
    )
    grace_s: Annotated[int, Field(ge=0, le=86400)] = Field(
        default=600, description="How long after its end a window waits for late samples."
    )
    memory_bytes: Bytes = Field(
        default=2 << 30, description="Memory for samples not yet cut; at 80 % the largest windows are cut early."
    )
    retention_s: MaybeSeconds = Field(
        default=None,
        description="Age at which blocks are removed, unless an instance's limits say otherwise; none: never.",
    )


class QuerySettings(_Section):
    timeout_s: Seconds = Field(default=120.0, description="Longest a query may take, waiting included.")
    lookback_s: Seconds = Field(default=300.0, description="How far back an instant selector looks for a sample.")
    threads: Annotated[int, Field(ge=1, le=256)] = Field(
        default=4, description="Queries evaluated at the same time, over all instances."
    )
    consistency_wait_s: Seconds = Field(
        default=2.0, description="Longest a query waits until it can see everything acknowledged before it arrived."
    )


class LoggingSettings(_Section):
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level that is written."
    )
    format: Literal["auto", "json", "text"] = Field(
        default="auto", description="auto: text on a terminal, JSON lines elsewhere."
    )


class Settings(_Section):
    """Everything that can be set. Sizes are bytes, times seconds, as the names say."""

    listen: str = Field(
        default="127.0.0.1:9009", description="HOST:PORT to serve on; [HOST]:PORT for IPv6; port 0 takes a free one."
    )
    data: Path = Field(default=Path("data"), description="The data folder. It is made if it is not there.")
    partitions: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=4, description="Partitions of the log; fixed when the data folder is made."
    )
    key_file: Path | None = Field(
        default=None, description="File with the keys that seal tokens; none: token.key in the data folder."
    )
    admin_token: SecretStr | None = Field(
        default=None,
        description="Token of the admin API (header X-Headrace-Admin); none: a new one at each start, in server.json.",
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
    ingester: IngesterSettings = IngesterSettings()
    query: QuerySettings = QuerySettings()
    logging: LoggingSettings = LoggingSettings()
    limits: Limits = Field(
        Limits(), description="Limits of new instances; `headrace instances set-limit` changes them later."
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

    @field_validator("bootstrap_app_id")
    @classmethod
    def _app_id_is_a_name(cls, value: str | None) -> str | None:
        try:
            return None if value is None else check_app_id(value)
        except BadDataError as error:
            raise ValueError(str(error)) from None

    @field_validator("admin_token", "bootstrap_token")
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


def split_address(listen: str) -> tuple[str, int]:
    """(host, port). Raises ValueError."""
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"must be HOST:PORT with a port up to 65535, not {listen!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


@dataclass(frozen=True, slots=True)
class Loaded:
    settings: Settings
    unknown_variables: tuple[str, ...]
    """`HEADRACE_*` variables that no setting has. No error: Kubernetes makes such ones for a service named headrace."""


def load(
    file: Path | None = None, *, environment: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> Loaded:
    """Raises SettingsError that names every wrong setting and where it came from."""
    environment = os.environ if environment is None else environment
    if file is None and environment.get(CONFIG_VARIABLE):
        file = Path(environment[CONFIG_VARIABLE])
    values = _read_yaml(file) if file else {}
    origins = dict.fromkeys(_paths(values), str(file))
    known = {variable_of(path): path for path in setting_paths()}
    unknown: list[str] = []
    for name, text in environment.items():
        if not name.startswith(PREFIX) or name in {CONFIG_VARIABLE, FAULTS_VARIABLE}:
            continue
        path = known.get(name)
        if path is None:
            unknown.append(name)
        else:
            _put(values, path, text)
            origins[path] = name
    for name, value in (flags or {}).items():
        if value is not None:
            _put(values, (name,), value)
            origins[(name,)] = "--" + name.replace("_", "-")
    try:
        return Loaded(Settings.model_validate(values), tuple(sorted(unknown)))
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(problem, origins) for problem in error.errors())) from None


def setting_paths() -> list[tuple[str, ...]]:
    """The path of every setting, in the order of declaration."""
    paths: list[tuple[str, ...]] = []
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            paths += [(name, inner) for inner in field.annotation.model_fields]
        elif field.annotation is Limits:
            paths += [(name, inner) for inner in Limits.names()]
        else:
            paths.append((name,))
    return paths


def variable_of(path: tuple[str, ...]) -> str:
    return PREFIX + "__".join(path).upper()


def _read_yaml(file: Path) -> dict[str, Any]:
    import yaml  # only those who have a file pay for the parser

    try:
        content = yaml.safe_load(file.read_text())
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: is not YAML: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{file}: must hold settings as `name: value`")
    return content


def _paths(values: Mapping[str, Any], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    paths: list[tuple[str, ...]] = []
    for name, value in values.items():
        path = (*above, str(name))
        paths += _paths(value, path) if isinstance(value, dict) else [path]
    return paths


def _put(values: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for name in path[:-1]:
        inner = values.setdefault(name, {})
        if not isinstance(inner, dict):
            inner = values[name] = {}
        values = inner
    values[path[-1]] = value


def _explain(problem: Any, origins: Mapping[tuple[str, ...], str]) -> str:
    path = tuple(str(part) for part in problem["loc"] if not str(part).startswith("function-"))
    name = ".".join(path)
    origin = next(
        (where for known, where in origins.items() if known[: len(path)] == path or path[: len(known)] == known), None
    )
    where = f" ({origin})" if origin else ""
    if problem["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        close = difflib.get_close_matches(name, [".".join(p) for p in setting_paths()], 1)
        return f"{name}{where}: there is no such setting" + (f"; did you mean {close[0]}?" if close else "")
    message = str(problem["msg"])
    if problem["type"] == "value_error":  # ours, which say what was wrong
        return f"{name}{where}: {message.removeprefix('Value error, ')}"
    message = message.replace("Input should be", "must be").removesuffix(", unable to parse string as an integer")
    given = "what is given" if path in _SECRETS else repr(problem["input"])
    return f"{name}{where}: {message}, not {given}"
