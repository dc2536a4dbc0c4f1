"""Instances and the cluster's facts as JSON, as registries keep them: docs/formats.md."""

import base64
import json
from dataclasses import asdict
from typing import Any

from shared.errors import InternalError
from shared.model.features import Features
from shared.model.instance import Instance, Limits
from shared.seams.registry import Cluster

_FORMAT = 1


def encode_instance(instance: Instance) -> bytes:
    """All but its name, which is in the key."""
    record = {
        "format": _FORMAT,
        "uid": instance.uid.hex(),
        "token_sha256": instance.token_sha256.hex(),
        "token_sealed": base64.b64encode(instance.token_sealed).decode(),
        "shards": instance.shards,
        "has_grown": instance.has_grown,
        "created_ms": instance.created_ms,
        "limits": asdict(instance.limits),
        "features": asdict(instance.features),
    }
    return json.dumps(record, sort_keys=True).encode()


def decode_instance(app_id: str, value: bytes) -> Instance:
    """Limits and features that this build does not know are left out. InternalError: damaged, or of a newer format."""
    what = f"instance {app_id}"
    record = _record(what, value)
    try:
        known = {name: limit for name, limit in record["limits"].items() if name in Limits.names()}
        features = {name: is_on for name, is_on in record.get("features", {}).items() if name in Features.names()}
        return Instance(
            app_id=app_id,
            uid=bytes.fromhex(record["uid"]),
            token_sha256=bytes.fromhex(record["token_sha256"]),
            token_sealed=base64.b64decode(record["token_sealed"]),
            shards=record["shards"],
            # Records of before did not tell: then the worst is assumed.
            has_grown=record.get("has_grown", record["shards"] > 1),
            created_ms=record["created_ms"],
            limits=Limits(**known),
            features=Features(**features),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(what, error) from error


def encode_cluster(cluster: Cluster) -> bytes:
    record = {
        "format": _FORMAT,
        "cluster_id": cluster.cluster_id,
        "partitions": cluster.partitions,
        "hash_secret": cluster.hash_secret.hex(),
    }
    return json.dumps(record, sort_keys=True).encode()


def decode_cluster(value: bytes) -> Cluster:
    """InternalError: damaged, or of a newer format."""
    record = _record("cluster", value)
    try:
        return Cluster(record["cluster_id"], record["partitions"], bytes.fromhex(record["hash_secret"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged("cluster", error) from error


def _record(what: str, value: bytes) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(value)
        found = record["format"]
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(what, error) from error
    if found != _FORMAT:
        raise InternalError(
            f"the registry's record of {what} has format {found}, this build knows {_FORMAT}: use a newer Headrace"
        )
    return record


def _damaged(what: str, error: Exception) -> InternalError:
    return InternalError(f"the registry's record of {what} is damaged: {error!r}")
