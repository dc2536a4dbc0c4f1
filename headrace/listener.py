"""The socket that a server listens on."""

import contextlib
import socket
from collections.abc import Iterator

from headrace.settings import join_address, split_address


class ListenError(Exception):
    """The address cannot be listened on; the text is one line that says what to do."""


@contextlib.contextmanager
def bound(listen: str) -> Iterator[socket.socket]:
    """Listens on HOST:PORT. Raises ListenError."""
    host, port = split_address(listen)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ListenError(
            f"{listen} is no address of this machine: {error.strerror}; choose another with --listen"
        ) from None
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(1024)
        except OSError as error:
            reason = error.strerror or "it cannot be listened on"
            raise ListenError(
                f"{listen} cannot be used ({reason}): stop what uses it, or choose another HOST:PORT with --listen "
                "or HEADRACE_LISTEN"
            ) from None
        listener.settimeout(0)
        yield listener


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{join_address(host, port)}"
