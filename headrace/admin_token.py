"""The admin token: what may change instances and flush."""

import hmac

from shared.errors import UnauthorizedError

HEADER = b"x-headrace-admin"
"""Its own header, so that it can stand beside an instance's Authorization."""


class AdminGate:
    __slots__ = ("_token",)

    def __init__(self, token: str | None) -> None:
        """None: nobody administers here."""
        self._token = None if token is None else token.encode()

    def check(self, header: bytes | None) -> None:
        """Raises UnauthorizedError."""
        if self._token is None:
            raise UnauthorizedError("nobody administers here: set admin_token (HEADRACE_ADMIN_TOKEN)")
        if header is None:
            raise UnauthorizedError(
                "no X-Headrace-Admin header: it takes the admin token, which is the setting admin_token, or else in "
                "server.json in the data folder"
            )
        if not hmac.compare_digest(header, self._token):
            raise UnauthorizedError("X-Headrace-Admin is not this server's admin token")
