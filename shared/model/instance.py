"""Instances: who may write and read, and how much."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from shared.errors import BadDataError
from shared.model.features import Features

MAX_LIMIT = 1 << 53  # what JSON numbers hold exactly
SERIES_PER_PARTITION = 5_000_000

_OPTIONAL = frozenset({"max_age_s", "max_future_s", "retention_s"})
_FRACTIONAL = frozenset({"max_query_seconds"})


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one instance. Every number is above 0; None means no bound where a field allows it."""

    max_series: int = 5_000_000
    max_series_per_metric: int = 1_000_000
    max_samples_per_second: int = 10_000_000
    max_burst_samples: int = 100_000_000
    max_body_bytes: int = 32 << 20
    max_decoded_bytes: int = 32 << 20
    max_labels: int = 64
    max_name_bytes: int = 1024
    max_value_bytes: int = 4096
    max_age_s: int | None = None  # None: any age
    max_future_s: int | None = 600  # None: any time ahead
    retention_s: int | None = None  # None: the server's
    max_query_samples: int = 50_000_000
    max_query_series: int = 5_000_000
    max_query_bytes: int = 4 << 30
    max_query_points: int = 11_000
    max_query_seconds: float = 120.0
    max_concurrent_queries: int = 20

    @classmethod
    def names(cls) -> list[str]:
        return [f.name for f in fields(cls)]


@dataclass(frozen=True, slots=True)
class Instance:
    """A tenant. `app_id` is its name, `uid` its identity: a name can be used again, a uid cannot."""

    app_id: str
    uid: bytes
    token_sha256: bytes
    token_sealed: bytes = field(repr=False)
    shards: int = 1
    has_grown: bool = False  # there were fewer shards once
    created_ms: int = 0
    limits: Limits = field(default_factory=Limits)
    features: Features = field(default_factory=Features)


def changed_limits(limits: Limits, changes: Mapping[str, object]) -> Limits:
    """`limits` with some replaced; values may be text. Raises BadDataError naming the limit and what it may be."""
    checked: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in Limits.names():
            raise BadDataError(f"there is no limit {name}; the limits are {', '.join(Limits.names())}")
        checked[name] = _checked_limit(name, value)
    return replace(limits, **checked)


def _checked_limit(name: str, value: object) -> int | float | None:
    if value is None or (isinstance(value, str) and value.lower() in {"none", "null"}):
        if name in _OPTIONAL:
            return None
        raise BadDataError(f"{name} must be a number; it cannot be none")
    kind = float if name in _FRACTIONAL else int
    try:
        number = kind(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        number = None
    if number is None or not 0 < number <= MAX_LIMIT or (isinstance(value, float) and number != value):
        raise BadDataError(f"{name} must be {'a number' if kind is float else 'a whole number'} above 0, not {value!r}")
    return number


def shards_for(limits: Limits, partitions: int) -> int:
    """How many partitions an instance uses: a power of two, at most all.

    Few is better where it is enough: the series of one scrape share their timestamps only within a block, and a query
    asks every partition of its instance.
    """
    shards = 1
    while shards * SERIES_PER_PARTITION < limits.max_series and shards * 2 <= partitions:
        shards *= 2
    return shards


def describe(instance: Instance) -> dict[str, Any]:
    """What may be shown of an instance without its token."""
    return {
        "app_id": instance.app_id,
        "created_ms": instance.created_ms,
        "limits": {name: getattr(instance.limits, name) for name in Limits.names()},
        "features": {name: getattr(instance.features, name) for name in Features.names()},
    }
