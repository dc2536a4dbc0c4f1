"""Bodies that may be compressed in one of several ways, decompressed within a bound."""

import asyncio
import zlib

from shared.errors import BadDataError, TooLargeError, UnsupportedTypeError
from shared.native import decompress

_GZIP = zlib.MAX_WBITS | 16

DIRECT_BYTES = 64 << 10
"""A compressed body of this size may hold up the event loop for about a millisecond."""


def encoding_of(value: bytes | None) -> str:
    """`identity`, `gzip`, `snappy` or `zstd`, of a Content-Encoding. Raises UnsupportedTypeError."""
    name = (value or b"identity").decode("latin-1").strip().lower()
    if name not in {"identity", "gzip", "snappy", "zstd"}:
        raise UnsupportedTypeError(f"{name[:100]} encoding is not accepted here; use gzip, zstd, snappy or none")
    return name


async def decoded(body: bytes, encoding: str, limit: int) -> bytes:
    """BadDataError: it is not what its encoding says. TooLargeError: it has more than `limit` bytes."""
    if encoding == "identity":
        if len(body) > limit:
            raise _too_large(limit)
        return body
    if len(body) <= DIRECT_BYTES:
        return _decoded(body, encoding, limit)
    return await asyncio.to_thread(_decoded, body, encoding, limit)


def _decoded(body: bytes, encoding: str, limit: int) -> bytes:
    return _gunzip(body, limit) if encoding == "gzip" else decompress(body, encoding, limit=limit)


def _gunzip(body: bytes, limit: int) -> bytes:
    """All members of a gzip file."""
    parts: list[bytes] = []
    room = limit + 1
    rest = body
    try:
        while rest:
            member = zlib.decompressobj(_GZIP)
            parts.append(member.decompress(rest, room))
            room -= len(parts[-1])
            if room <= 0:
                raise _too_large(limit)
            if not member.eof:
                raise BadDataError("damaged gzip body: it ends early")
            rest = member.unused_data
    except zlib.error as error:
        raise BadDataError(f"damaged gzip body: {error}") from error
    if not body:
        raise BadDataError("damaged gzip body: it is empty")
    return b"".join(parts)


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(
        f"the body has more than {limit} bytes decompressed, which is the limit max_decoded_bytes; send smaller ones"
    )
