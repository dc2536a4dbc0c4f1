"""What a stranger on the socket may try: each connection is bounded, and nobody else notices."""

import base64
import http.client
import socket

from tests.support.processes import fetch
from tests.support.served import Served

UPGRADE = "Connection: Upgrade\r\nUpgrade: h2c\r\n"


def exchange(server: Served, request: bytes) -> bytes:
    """All that comes back until the server closes the connection; a reset counts as its end."""
    received = b""
    with connected(server, request) as connection:
        try:
            connection.sendall(request)
            while part := connection.recv(65536):
                received += part
        except ConnectionError:
            pass
    return received


def connected(server: Served, request: bytes) -> socket.socket:
    """To a process that serves the path of the request."""
    path = request.split(b" ")[1].decode()
    return socket.create_connection(server.address_of(path), timeout=30)


def head(server: Served, method: str, path: str, extra: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}\r\n{extra}\r\n".encode()


def test_a_head_without_end_is_cut_off(server: Served) -> None:
    connection = http.client.HTTPConnection(*server.address_of("/api/v1/query"), timeout=30)
    connection.request("GET", "/api/v1/query?query=1", headers={"X": "x" * (100 << 10), **server.bearer})
    assert connection.getresponse().status == 200
    connection.close()
    for flood in (b"X: " + b"x" * (8 << 20), b"a: b\r\n" * (2 << 20)):
        answer = exchange(server, b"GET / HTTP/1.1\r\nHost: x\r\n" + flood)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")
    assert fetch(server.base + "/ready").status == 200


def test_a_body_behind_an_upgrade_is_refused_and_not_taken_for_an_empty_one(server: Served) -> None:
    request = head(server, "POST", "/api/v1/write", UPGRADE + "Content-Length: 7\r\n") + b"garbage"
    answer = exchange(server, request)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"without Upgrade" in answer


def test_an_upgrade_that_is_only_offered_is_ignored(server: Served) -> None:
    answer = exchange(server, head(server, "GET", "/api/v1/query?query=1", UPGRADE))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer.lower()


def test_administration_looks_at_the_credential_before_the_body(server: Served) -> None:
    request = b"POST /api/v1/admin/instances HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"
    with connected(server, request) as connection:
        connection.sendall(request)
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_basic_auth_needs_the_user_that_the_token_belongs_to(server: Served) -> None:
    for user, status in ((server.app_id, 200), (server.app_id + "x", 401), ("", 401)):
        answer = fetch(server.base + "/api/v1/query?query=1", headers=basic(user, server.token))
        assert answer.status == status


def basic(user: str, token: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()}
