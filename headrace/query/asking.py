"""One request and its answer. The token stands in a header, the expression in the body: URLs are logged on the way."""

import http.client
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace.load.command import TOKEN_VARIABLE
from headrace.query.errors import QueryError

SPARE_S = 5.0
"""The server's own deadline comes first, so that its reason is what is seen."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where to ask, and as whom."""

    url: str
    token: str | None = field(repr=False)

    @classmethod
    def of(cls, url: str, token_file: Path | None) -> "Server":
        """The token comes from the file, else from HEADRACE_TOKEN. Raises QueryError."""
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise QueryError("--url takes http://HOST:PORT or https://HOST:PORT")
        if parts.username is not None:
            raise QueryError(f"a URL is seen by others: give the token with --token-file or in {TOKEN_VARIABLE}")
        if token_file is None:
            return cls(url.rstrip("/"), os.environ.get(TOKEN_VARIABLE) or None)
        try:
            token = token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise QueryError(f"{token_file}: cannot be read: {reason}") from None
        if not token or "\n" in token:
            raise QueryError(f"{token_file}: must hold one token, alone on its line")
        return cls(url.rstrip("/"), token)

    def ask(self, path: str, form: Mapping[str, str], timeout_s: float) -> dict[str, Any]:
        """The answer as it came, its status success. Raises QueryError with the server's reason."""
        request = urllib.request.Request(  # noqa: S310  http or https, by `of`
            f"{self.url}/api/v1/{path}",
            data=urllib.parse.urlencode({**form, "timeout": f"{timeout_s:g}"}).encode(),
            headers={} if self.token is None else {"Authorization": f"Bearer {self.token}"},
        )
        # A proxy must not see the token.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=timeout_s + SPARE_S) as answer:
                return _successful(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise QueryError(self._reason(error)) from None
        except TimeoutError:
            raise QueryError(f"{self.url} has not answered for {timeout_s + SPARE_S:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise QueryError(f"{self.url} does not answer ({reason}): name a server with --url") from None

    def _reason(self, error: urllib.error.HTTPError) -> str:
        if error.code == http.client.UNAUTHORIZED:
            if self.token is None:
                return f"the server wants a token: give it with --token-file or in {TOKEN_VARIABLE}"
            return "the server does not know this token"
        try:
            return str(json.loads(error.read())["error"])
        except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
            return f"the server answered {error.code}: is {self.url} the address of a Headrace?"


def _successful(text: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or answer.get("status") != "success" or not isinstance(answer.get("data"), dict):
        raise QueryError("what came back is no answer of the query API: is --url the address of a Headrace?")
    return answer
