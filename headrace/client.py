"""What the command line uses to talk to a running server."""

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace import command
from headrace.server_file import ServerFile

TIMEOUT_S = 30


class ClientError(Exception):
    """What went wrong and what to do, in one line."""


@dataclass(frozen=True, slots=True)
class AdminClient:
    """Calls the server at `address` (http://HOST:PORT); `away` is what to say when nobody answers there."""

    address: str
    admin_token: str = field(repr=False)
    away: str

    @classmethod
    def of_folder(cls, data: Path) -> "AdminClient":
        """The server that runs on a data folder. Raises ClientError."""
        away = (
            f"no Headrace is running on {data}: start it with `{command()} standalone --data {data}`, "
            "or name its folder with --data, or a cluster's address with --server"
        )
        server = ServerFile.read(data)
        if server is None:
            raise ClientError(away)
        return cls(server.address, server.admin_token, away)

    @classmethod
    def of_address(cls, url: str, admin_token: str | None) -> "AdminClient":
        """A server anywhere. Raises ClientError."""
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
            raise ClientError("--server takes http://HOST:PORT or https://HOST:PORT, without credentials")
        if admin_token is None:
            raise ClientError("set HEADRACE_ADMIN_TOKEN to the admin token of that server (its setting admin_token)")
        url = url.rstrip("/")
        return cls(url, admin_token, f"{url} does not answer: is it the address of a Headrace?")

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The `data` of the answer. `path` is below /api/v1/admin. Raises ClientError."""
        request = urllib.request.Request(  # noqa: S310  the address is of a server of ours, or a person's choice
            f"{self.address}/api/v1/admin{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Headrace-Admin": self.admin_token, "Content-Type": "application/json"},
        )
        # A proxy must not see the token.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=TIMEOUT_S) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise ClientError(_reason(error)) from None
        except (OSError, http.client.HTTPException):
            raise ClientError(self.away) from None
        try:
            return json.loads(text)["data"] if text else None
        except (ValueError, KeyError, TypeError):
            raise ClientError(self.away) from None


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["error"])
    except (ValueError, KeyError, TypeError):
        return f"the server answered {error.code}"
