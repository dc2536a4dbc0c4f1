"""Settings: by flag, by `HEADRACE_*` variable (nested names joined by `__`) or from one YAML file, in this order."""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr, ValidationError

from headrace.settings.model import Settings
from shared.model.features import Features
from shared.model.instance import Limits

PREFIX = "HEADRACE_"
CONFIG_VARIABLE = PREFIX + "CONFIG"
SERVER_VARIABLE = PREFIX + "SERVER"  # of the command line: the server to administer
FAULTS_VARIABLE = PREFIX + "FAULTS"  # of shared.faults, for tests only


class SettingsError(Exception):
    """One or more settings are wrong; the text names each with where it came from."""


@dataclass(frozen=True, slots=True)
class Loaded:
    settings: Settings
    unknown_variables: tuple[str, ...]
    """`HEADRACE_*` variables that no setting has. No error: Kubernetes makes such ones for a service named headrace."""
    values: Mapping[str, Any] = field(repr=False)
    """What was given, for `validated` in another process of ours; it holds secrets."""


def load(
    file: Path | None = None, *, environment: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> Loaded:
    """`flags`: dotted path of a setting → value; None: not given.

    Raises SettingsError that names every wrong setting and where it came from.
    """
    environment = os.environ if environment is None else environment
    if file is None and environment.get(CONFIG_VARIABLE):
        file = Path(environment[CONFIG_VARIABLE])
    values = _read_yaml(file) if file else {}
    origins = dict.fromkeys(_paths(values), str(file))
    known = {variable_of(path): path for path in setting_paths()}
    unknown: list[str] = []
    for name, text in environment.items():
        if not name.startswith(PREFIX) or name in {CONFIG_VARIABLE, SERVER_VARIABLE, FAULTS_VARIABLE}:
            continue
        path = known.get(name)
        if path is None:
            unknown.append(name)
        else:
            _put(values, path, text)
            origins[path] = name
    for name, value in (flags or {}).items():
        if value is not None:
            path = tuple(name.split("."))
            _put(values, path, value)
            origins[path] = flag_of(path)
    return Loaded(validated(values, origins), tuple(sorted(unknown)), values)


def validated(values: Mapping[str, Any], origins: Mapping[tuple[str, ...], str] | None = None) -> Settings:
    """Raises SettingsError."""
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(problem, origins or {}) for problem in error.errors())) from None


def flag_of(path: tuple[str, ...]) -> str:
    return "--" + "-".join(path).replace("_", "-")


def setting_paths() -> list[tuple[str, ...]]:
    """The path of every setting, in the order of declaration."""
    paths: list[tuple[str, ...]] = []
    for name, info in Settings.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            paths += [(name, inner) for inner in info.annotation.model_fields]
        elif info.annotation in (Limits, Features):
            paths += [(name, inner) for inner in info.annotation.names()]
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
    given = "what is given" if _is_secret(path) else repr(problem["input"])
    return f"{name}{where}: {message}, not {given}"


def _is_secret(path: tuple[str, ...]) -> bool:
    """Secrets are not even shown where they are wrong."""
    fields = Settings.model_fields
    for name in path[:-1]:
        section = fields[name].annotation
        fields = section.model_fields if isinstance(section, type) and issubclass(section, BaseModel) else {}
    return path[-1] in fields and SecretStr in get_args(fields[path[-1]].annotation)
