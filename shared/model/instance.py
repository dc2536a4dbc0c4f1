"""Instances: who may write and read, and how much."""

from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one instance. 0 or None means no bound where a field says so."""

    max_series: int = 5_000_000
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
    created_ms: int = 0
    limits: Limits = field(default_factory=Limits)


def describe(instance: Instance) -> dict[str, Any]:
    """What may be shown of an instance without its token."""
    return {
        "app_id": instance.app_id,
        "created_ms": instance.created_ms,
        "limits": {name: getattr(instance.limits, name) for name in Limits.names()},
    }
