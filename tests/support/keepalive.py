"""HTTP connections that stay open, one for each thread and server: thousands of small requests in seconds."""

import http.client
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlencode, urlsplit

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_TIMEOUT_S = 60.0


class Asker:
    """Posts to one server. Any thread may ask; `close` when all have."""

    def __init__(self, base: str, headers: Mapping[str, str] | None = None) -> None:
        self._address = urlsplit(base).netloc
        self._headers = {**FORM, **(headers or {})}
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    def post(
        self, path: str, form: Mapping[str, object] | bytes, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """The status and the body. `form` may be any body as it is; `headers` go before those of all requests.

        Raises OSError or HTTPException if the server does not answer.
        """
        body = form if isinstance(form, bytes) else urlencode(form, doseq=True).encode()
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        connection = connection or http.client.HTTPConnection(self._address, timeout=_TIMEOUT_S)
        try:
            connection.request("POST", path, body, {**self._headers, **(headers or {})})
            response = connection.getresponse()
            answer = response.status, response.read()
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)
        return answer
