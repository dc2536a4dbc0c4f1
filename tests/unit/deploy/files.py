"""The files around docker-compose.yml, as compose itself would read them."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"

_VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}")


def interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    """`${NAME}` and `${NAME:-default}` replaced, `$$` a dollar, everywhere in a value."""
    if isinstance(value, str):
        return _VARIABLE.sub(
            lambda found: "$" if found["name"] is None else variables.get(found["name"]) or found["default"] or "",
            value,
        )
    if isinstance(value, list):
        return [interpolated(item, variables) for item in value]
    if isinstance(value, dict):
        return {name: interpolated(item, variables) for name, item in value.items()}
    return value


def compose(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """docker-compose.yml with the variables of an .env."""
    read: dict[str, Any] = interpolated(yaml.safe_load((ROOT / "docker-compose.yml").read_text()), variables or {})
    return read


def asked_variables() -> dict[str, str | None]:
    """The variables that docker-compose.yml takes from an .env, with their defaults."""
    found = _VARIABLE.finditer((ROOT / "docker-compose.yml").read_text())
    return {match["name"]: match["default"] for match in found if match["name"]}


def variables_of(lines: Iterable[str]) -> dict[str, str]:
    """Of an env file."""
    pairs = (line.partition("=") for line in map(str.strip, lines) if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def text_of(value: Any) -> str:
    """How compose hands a scalar to a container."""
    return str(value).lower() if isinstance(value, bool) else str(value)
