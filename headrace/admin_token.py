"""The admin token: what may change instances and flush."""

import hmac

from shared.errors import UnauthorizedError

HEADER = b"x-headrace-admin"
"""Its own header, so that it can stand beside an instance's Authorization."""


class AdminGate:
    __slots__ = ("_token",)

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    def check(self, header: bytes | None) -> None:
        """Raises UnauthorizedError."""
        if header is None:
            raise UnauthorizedError(
                "no X-Headrace-Admin header: it takes the admin token, which is in server.json in the data folder"
            )
        if not hmac.compare_digest(header, self._token):
            raise UnauthorizedError("X-Headrace-Admin is not this server's admin token")
