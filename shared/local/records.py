"""How the local store spells cursors, manifests and metadata in its journal. Drawn in docs/formats.md.

Every value begins with a format byte. A value of a newer format stops the start with a message that says so.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from shared.errors import InternalError
from shared.seams.store import Manifest, Metadata

FORMAT = 1

WINDOW_KEY = "window"

_CURSOR = struct.Struct("<BQQ")
_THROUGH = struct.Struct("<qQ")
_OFFSET = struct.Struct("<BQ")


@dataclass(frozen=True, slots=True)
class Span:
    """Where a value lies in its pack."""

    position: int
    length: int
    checksum: int  # CRC-32C


@dataclass(frozen=True, slots=True)
class AsideRecord:
    """A record kept aside: the only value of its pack."""

    reason: str
    pack: str
    position: int
    length: int


def cursor_key(partition: int) -> str:
    return f"cursor/{partition:05}"


def blocks_key(partition: int, generation: int) -> str:
    """Ascends with `generation`, the directory generation that the commit made: log order within a window."""
    return f"blocks/{partition:05}/{generation:016x}"


def metadata_key(partition: int, uid: bytes) -> str:
    return f"metadata/{partition:05}/{uid.hex()}"


def groups_key(partition: int) -> str:
    """The offset that a partition's pushed groups are as of."""
    return f"groups/{partition:05}"


def group_key(partition: int, key: bytes) -> str:
    return f"{groups_key(partition)}/{key.hex()}"


def exemplars_key(partition: int, uid: bytes) -> str:
    return f"exemplars/{partition:05}/{uid.hex()}"


def as_of_key(key: str) -> str:
    """The offset that the state of an instance at `key` is as of."""
    return f"as-of/{key}"


def aside_key(partition: int, offset: int) -> str:
    return f"aside/{partition:05}/{offset:016x}"


def split_aside_key(key: str) -> tuple[int, int]:
    """(partition, offset)."""
    _, partition, offset = key.split("/")
    return int(partition), int(offset, 16)


def split_key(key: str) -> tuple[str, int]:
    """A payload key's pack and the value's number in it. ValueError: not one of ours."""
    pack, _, index = key.rpartition("/")
    return pack, int(index)


def encode_window(window_ms: int) -> bytes:
    return bytes([FORMAT]) + str(window_ms).encode()


def decode_window(value: bytes) -> int:
    """The width of a window in ms."""
    _check_format(WINDOW_KEY, value)
    try:
        return int(value[1:])
    except ValueError as error:
        raise InternalError(f"{WINDOW_KEY} of the store's journal is no number: {value[1:]!r}") from error


def encode_cursor(generation: int, replay_from: int, through: Mapping[int, int]) -> bytes:
    return _CURSOR.pack(FORMAT, generation, replay_from) + b"".join(_THROUGH.pack(*entry) for entry in through.items())


def decode_cursor(key: str, value: bytes) -> tuple[int, int, dict[int, int]]:
    """(generation, replay_from, through)."""
    _check_format(key, value)
    try:
        _, generation, replay_from = _CURSOR.unpack_from(value)
        through = dict(_THROUGH.iter_unpack(value[_CURSOR.size :]))
    except struct.error as error:
        raise InternalError(f"{key} of the store's journal has {len(value)} bytes, which is no cursor") from error
    return generation, replay_from, through


def encode_manifests(manifests: Sequence[Manifest], spans: Mapping[str, Span]) -> bytes:
    """`spans` holds every key that the manifests name."""
    return bytes([FORMAT]) + json.dumps([_manifest_record(m, spans) for m in manifests], separators=(",", ":")).encode()


def decode_manifests(key: str, value: bytes) -> tuple[tuple[Manifest, ...], dict[str, Span]]:
    _check_format(key, value)
    spans: dict[str, Span] = {}
    manifests = []
    try:
        for record in json.loads(value[1:]):
            keys = [f"{record['pack']}/{index}" for index, *_ in record["values"]]
            own = [Span(position, length, checksum) for _, position, length, checksum in record["values"]]
            spans.update(zip(keys, own, strict=True))
            manifests.append(
                Manifest(
                    uid=bytes.fromhex(record["uid"]),
                    window=record["window"],
                    from_offset=record["from"],
                    to_offset=record["to"],
                    level=record["level"],
                    min_time=record["min"],
                    max_time=record["max"],
                    series=record["series"],
                    samples=record["samples"],
                    digest=bytes.fromhex(record["digest"]),
                    root_key=keys[0],
                    page_keys=tuple(keys[1:]),
                    lengths=tuple(span.length for span in own),
                    checksums=tuple(span.checksum for span in own),
                )
            )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InternalError(f"{key} of the store's journal is no list of manifests: {error!r}") from error
    return tuple(manifests), spans


def encode_exemplars(snapshot: bytes) -> bytes:
    return bytes([FORMAT]) + snapshot


def encode_metadata(metadata: Metadata) -> bytes:
    return bytes([FORMAT]) + json.dumps(metadata, separators=(",", ":")).encode()


def decode_metadata(key: str, value: bytes) -> Metadata:
    _check_format(key, value)
    try:
        return {family: (kind, text, unit) for family, (kind, text, unit) in json.loads(value[1:]).items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise InternalError(f"{key} of the store's journal is no metadata: {error!r}") from error


def encode_offset(offset: int) -> bytes:
    return _OFFSET.pack(FORMAT, offset)


def decode_offset(key: str, value: bytes) -> int:
    _check_format(key, value)
    try:
        _, offset = _OFFSET.unpack(value)
    except struct.error as error:
        raise InternalError(f"{key} of the store's journal has {len(value)} bytes, which is no offset") from error
    return int(offset)


def encode_aside(record: AsideRecord) -> bytes:
    return bytes([FORMAT]) + json.dumps(asdict(record), separators=(",", ":")).encode()


def decode_aside(key: str, value: bytes) -> AsideRecord:
    _check_format(key, value)
    try:
        return AsideRecord(**json.loads(value[1:]))
    except (ValueError, TypeError) as error:
        raise InternalError(f"{key} of the store's journal is no record kept aside: {error!r}") from error


def _manifest_record(manifest: Manifest, spans: Mapping[str, Span]) -> dict[str, object]:
    pack, _ = split_key(manifest.root_key)
    values = []
    for key in manifest.keys:
        own_pack, index = split_key(key)
        if own_pack != pack:
            raise InternalError(
                f"a block of window {manifest.window} lies in the packs {pack} and {own_pack}; put it as one payload"
            )
        span = spans[key]
        values.append((index, span.position, span.length, span.checksum))
    return {
        "uid": manifest.uid.hex(),
        "window": manifest.window,
        "from": manifest.from_offset,
        "to": manifest.to_offset,
        "level": manifest.level,
        "min": manifest.min_time,
        "max": manifest.max_time,
        "series": manifest.series,
        "samples": manifest.samples,
        "digest": manifest.digest.hex(),
        "pack": pack,
        "values": values,
    }


def _check_format(key: str, value: bytes) -> None:
    found = value[0] if value else 0
    if found != FORMAT:
        raise InternalError(
            f"{key} of the store's journal has format {found}, this build reads {FORMAT}: "
            "start the release that wrote it"
        )
