"""The Authorization header: `Bearer TOKEN`, or `Basic` with the instance's name as user and the token as password."""

import base64
import binascii
from dataclasses import dataclass, field

from shared.errors import UnauthorizedError

MAX_HEADER_BYTES = 2048


@dataclass(frozen=True, slots=True)
class Credentials:
    app_id: str | None  # None: the token alone says who it is
    token: str = field(repr=False)


def parse_authorization(header: bytes | None) -> Credentials:
    """Raises UnauthorizedError; its messages never repeat what was sent."""
    if not header:
        raise UnauthorizedError(
            "no Authorization header: send `Bearer TOKEN`, or basic auth with APPID as user and the token as password"
        )
    if len(header) > MAX_HEADER_BYTES:
        raise UnauthorizedError(f"the Authorization header is longer than {MAX_HEADER_BYTES} bytes")
    scheme, _, value = header.partition(b" ")
    try:
        match scheme.lower():
            case b"bearer":
                return Credentials(None, value.strip().decode())
            case b"basic":
                user, colon, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
                if colon:
                    return Credentials(user, password)
    except (binascii.Error, UnicodeDecodeError):
        pass
    raise UnauthorizedError("the Authorization header is neither `Bearer TOKEN` nor `Basic BASE64(APPID:TOKEN)`")
