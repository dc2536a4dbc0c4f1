"""What the command line uses to talk to a running server."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from headrace import command
from headrace.server_file import ServerFile

TIMEOUT_S = 30


class ClientError(Exception):
    """What went wrong and what to do, in one line."""


class AdminClient:
    def __init__(self, data: Path) -> None:
        self._data = data

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The `data` of the answer. `path` is below /api/v1/admin."""
        server = ServerFile.read(self._data)
        if server is None:
            raise ClientError(self._not_running())
        request = urllib.request.Request(  # noqa: S310  the address is one that a server of ours wrote
            f"{server.address}/api/v1/admin{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Headrace-Admin": server.admin_token, "Content-Type": "application/json"},
        )
        # Loopback needs no proxy, and a proxy must not see the token.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=TIMEOUT_S) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise ClientError(_reason(error)) from None
        except OSError:
            raise ClientError(self._not_running()) from None
        return json.loads(text)["data"] if text else None

    def _not_running(self) -> str:
        return (
            f"no Headrace is running on {self._data}: start it with `{command()} standalone --data {self._data}`, "
            "or name its folder with --data"
        )


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["error"])
    except (ValueError, KeyError, TypeError):
        return f"the server answered {error.code}"
