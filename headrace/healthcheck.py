"""`python -m headrace.healthcheck [HOST:PORT]`: exits 0 if that server is ready; else 1, and prints what is missing.

Containers call it every few seconds, so it loads nothing but sockets: 20 ms of CPU, where the command line takes 200.
"""

import os
import socket
import sys

TIMEOUT_S = 4.0
MAX_ANSWER_BYTES = 1 << 16
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  what a server listens on is not an address to call


def main() -> int:
    listen = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("HEADRACE_LISTEN") or "127.0.0.1:9009"
    try:
        status, body = ask_ready(*address_of(listen))
    except (OSError, ValueError) as error:
        print(f"{listen}: {error}", file=sys.stderr)  # noqa: T201  what it is for
        return 1
    if status == 200:
        return 0
    print(f"{listen}: {status} {body}", file=sys.stderr)  # noqa: T201
    return 1


def address_of(listen: str) -> tuple[str, int]:
    """Where to call a server that listens there. Raises ValueError."""
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    return _EVERY_ADDRESS.get(host, host), int(port)


def ask_ready(host: str, port: int) -> tuple[int, str]:
    """Status and body of `/ready`. Raises OSError; ValueError for what is no HTTP."""
    with socket.create_connection((host, port), TIMEOUT_S) as connection:
        connection.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = bytearray()
        while len(answer) < MAX_ANSWER_BYTES and (part := connection.recv(4096)):
            answer += part
    head, _, body = bytes(answer).partition(b"\r\n\r\n")
    version, _, rest = head.partition(b" ")
    if not version.startswith(b"HTTP/") or not rest[:3].isdigit():
        raise ValueError(f"this is no HTTP: {head[:40]!r}")
    return int(rest[:3]), body.decode(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
