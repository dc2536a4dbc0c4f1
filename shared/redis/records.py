"""What lies in the values of the store on Redis, as docs/formats.md has it.

What another process wrote is taken apart with care: garbage becomes an InternalError that names the key.
"""

import json
import struct
import zlib
from collections.abc import Iterable, Sequence

from shared.errors import InternalError
from shared.native import crc32c
from shared.seams.store import Manifest, Metadata

FORMAT = 1

_MANIFEST = struct.Struct("<qQQBqqQQ16sHB")
_VALUE = struct.Struct("<III")
_CHECKSUM = struct.Struct("<I")

_MAX_METADATA_BYTES = 256 << 20  # far above what an instance may have; garbage must not take more memory


def seal_value(value: bytes) -> bytes:
    """A payload value as it is stored: with its checksum behind it."""
    return value + _CHECKSUM.pack(crc32c(value))


def open_value(key: str, stored: bytes) -> bytes:
    """InternalError: it was changed."""
    value = stored[: -_CHECKSUM.size]
    if len(stored) < _CHECKSUM.size or stored[len(value) :] != _CHECKSUM.pack(crc32c(value)):
        raise InternalError(f"payload {key} is damaged: its checksum is another one")
    return value


def encode_blocks(manifests: Iterable[Manifest]) -> bytes:
    """The blocks at one place in an instance's log order; their uid is in the key's name."""
    return bytes([FORMAT]) + b"".join(_encode_manifest(manifest) for manifest in manifests)


def decode_blocks(key: str, uid: bytes, stored: bytes) -> tuple[Manifest, ...]:
    check_format(key, stored[0] if stored else 0)
    manifests = []
    position = 1
    try:
        while position < len(stored):
            manifest, position = _decode_manifest(uid, stored, position)
            manifests.append(manifest)
    except (struct.error, UnicodeDecodeError) as error:
        raise InternalError(f"{key} of the store holds no manifests: {error}") from error
    return tuple(manifests)


def encode_exemplars(snapshot: bytes) -> bytes:
    return bytes([FORMAT]) + snapshot


def encode_metadata(metadata: Metadata) -> bytes:
    return bytes([FORMAT]) + zlib.compress(json.dumps(metadata, separators=(",", ":")).encode())


def decode_metadata(key: str, stored: bytes) -> Metadata:
    check_format(key, stored[0] if stored else 0)
    try:
        text = zlib.decompressobj().decompress(stored[1:], _MAX_METADATA_BYTES)
        return {family: (kind, help_, unit) for family, (kind, help_, unit) in json.loads(text).items()}
    except (zlib.error, ValueError, AttributeError, TypeError) as error:
        raise InternalError(f"{key} of the store is no metadata: {error!r}") from error


def decode_uid(key: str, text: bytes) -> bytes:
    try:
        return bytes.fromhex(text.decode())
    except ValueError as error:
        raise InternalError(f"{key} of the store names an instance {text!r}, which is no uid") from error


def decode_number(key: str, text: bytes | None) -> int:
    """0 where there is nothing."""
    try:
        return int(text or 0)
    except ValueError as error:
        raise InternalError(f"{key} of the store holds {text!r}, which is no number") from error


def check_format(key: str, found: int) -> None:
    if found != FORMAT:
        raise InternalError(
            f"{key} of the store has format {found}, this build reads {FORMAT}: start the release that wrote it"
        )


def _encode_manifest(manifest: Manifest) -> bytes:
    attempt, indexes = _attempt(manifest)
    name = attempt.encode()
    head = _MANIFEST.pack(
        manifest.window,
        manifest.from_offset,
        manifest.to_offset,
        manifest.level,
        manifest.min_time,
        manifest.max_time,
        manifest.series,
        manifest.samples,
        manifest.digest,
        len(indexes),
        len(name),
    )
    values = zip(indexes, manifest.lengths, manifest.checksums, strict=True)
    return head + name + b"".join(_VALUE.pack(*value) for value in values)


def _decode_manifest(uid: bytes, stored: bytes, position: int) -> tuple[Manifest, int]:
    window, start, end, level, first, last, series, samples, digest, count, length = _MANIFEST.unpack_from(
        stored, position
    )
    position += _MANIFEST.size
    attempt = stored[position : position + length].decode()
    position += length
    values = [_VALUE.unpack_from(stored, position + number * _VALUE.size) for number in range(count)]
    keys = [f"{attempt}/{index}" for index, _, _ in values]
    if not keys:
        raise struct.error("a manifest without payload")
    manifest = Manifest(
        uid=uid,
        window=window,
        from_offset=start,
        to_offset=end,
        level=level,
        min_time=first,
        max_time=last,
        series=series,
        samples=samples,
        digest=digest,
        root_key=keys[0],
        page_keys=tuple(keys[1:]),
        lengths=tuple(length for _, length, _ in values),
        checksums=tuple(checksum for _, _, checksum in values),
    )
    return manifest, position + count * _VALUE.size


def _attempt(manifest: Manifest) -> tuple[str, Sequence[int]]:
    """The attempt that wrote all of a block's payload, and the numbers of its values there."""
    attempt, _, _ = manifest.root_key.rpartition("/")
    numbers = []
    for key in manifest.keys:
        own, _, number = key.rpartition("/")
        if own != attempt:
            raise InternalError(
                f"a block of window {manifest.window} lies in the attempts {attempt} and {own}: put it as one payload"
            )
        numbers.append(int(number))
    return attempt, numbers
