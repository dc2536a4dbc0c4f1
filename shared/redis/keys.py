"""The names of keys. All that begin with `hr:` belong to Headrace.

What is in braces decides the slot in a Redis Cluster. All metadata of a partition lies in one, so that one script can
change it; payload is spread, sixteen neighbouring values together, so that one command reads them.
"""

import re

from shared.errors import InternalError

WINDOW = "hr:{store}:window"

MEMBERS = "hr:{members}:members"
LEASES = "hr:{members}:leases"

CLUSTER = "hr:{registry}:cluster"
FACTS = "hr:{registry}:facts"
REGISTRY_STATE = "hr:{registry}:state"
REGISTRY_CHANGES = "hr:{registry}:changes"
INSTANCES = "hr:{registry}:instances"
TOKENS = "hr:{registry}:tokens"
DELETED = "hr:{registry}:deleted"


def crowd_key(kind: str) -> str:
    return f"hr:{{crowd}}:{kind}"


def rejections_key(uid: bytes) -> str:
    return f"hr:{{rejections:{uid.hex()}}}"


_NEIGHBOURS = 16
"""Values of one attempt in one slot: of 64 KiB each, a megabyte in one reply."""


class PartitionKeys:
    """Of one partition's metadata."""

    __slots__ = (
        "_prefix",
        "aside",
        "changes",
        "cursor",
        "exemplars",
        "exemplars_as_of",
        "groups",
        "instances",
        "metadata",
        "metadata_as_of",
        "through",
        "unnamed",
    )

    def __init__(self, partition: int) -> None:
        self._prefix = f"hr:{{p{partition:05}}}"
        self.cursor = f"{self._prefix}:cursor"
        self.through = f"{self._prefix}:through"
        self.changes = f"{self._prefix}:changes"
        self.instances = f"{self._prefix}:instances"
        self.unnamed = f"{self._prefix}:unnamed"
        self.metadata = f"{self._prefix}:metadata"
        self.metadata_as_of = f"{self.metadata}:as-of"
        self.exemplars = f"{self._prefix}:exemplars"
        self.exemplars_as_of = f"{self.exemplars}:as-of"
        self.aside = f"{self._prefix}:aside"
        self.groups = f"{self._prefix}:groups"

    @property
    def blocks_prefix(self) -> str:
        return f"{self._prefix}:blocks:"

    def blocks(self, uid: bytes) -> str:
        return f"{self.blocks_prefix}{uid.hex()}"


def payload_key(key: str) -> str:
    """Where the store keeps what a manifest calls `key`: ATTEMPT/INDEX."""
    return neighbours(key)[1]


PAYLOAD_PATTERN = "hr:{*.*}:*"
"""As SCAN matches; `payload_of` decides."""


def payload_of(name: bytes) -> str | None:
    """The inverse of `payload_key`; None for what is none of it."""
    match = re.fullmatch(rb"hr:\{([^{}]+)\.(\d+)\}:(\d+)", name)
    if match is None or int(match[3]) // _NEIGHBOURS != int(match[2]):
        return None
    return f"{match[1].decode(errors='replace')}/{int(match[3])}"


def neighbours(key: str) -> tuple[str, str]:
    """(what is equal for all that can be read by one command, the value's own key)."""
    attempt, separator, index = key.rpartition("/")
    if not separator or not index.isdigit():
        raise InternalError(f"{key!r} is no payload key: those are ATTEMPT/INDEX")
    group = f"hr:{{{attempt}.{int(index) // _NEIGHBOURS}}}"
    return group, f"{group}:{index}"
