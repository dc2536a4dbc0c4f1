"""What a stranger on the socket may try: each connection is bounded, and nobody else notices."""

import base64
import http.client
import socket
from collections.abc import Iterator

import pytest

from tests.support.processes import APP_ID, TOKEN, Headrace, fetch

UPGRADE = "Connection: Upgrade\r\nUpgrade: h2c\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headrace]:
    process = Headrace(tmp_path_factory.mktemp("hostile"))
    process.start()
    try:
        process.wait_ready()
        yield process
    finally:
        process.kill()


def exchange(server: Headrace, request: bytes) -> bytes:
    """All that comes back until the server closes the connection; a reset counts as its end."""
    host, port = server.base.removeprefix("http://").split(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        try:
            connection.sendall(request)
            while part := connection.recv(65536):
                received += part
        except ConnectionError:
            pass
    return received


def head(method: str, path: str, extra: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n{extra}\r\n".encode()


def test_a_head_without_end_is_cut_off(server: Headrace) -> None:
    connection = http.client.HTTPConnection(server.base.removeprefix("http://"), timeout=30)
    connection.request(
        "GET", "/api/v1/query?query=1", headers={"X": "x" * (100 << 10), "Authorization": f"Bearer {TOKEN}"}
    )
    assert connection.getresponse().status == 200
    connection.close()
    for flood in (b"X: " + b"x" * (8 << 20), b"a: b\r\n" * (2 << 20)):
        answer = exchange(server, b"GET / HTTP/1.1\r\nHost: x\r\n" + flood)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")
    assert fetch(server.base + "/ready").status == 200


def test_a_body_behind_an_upgrade_is_refused_and_not_taken_for_an_empty_one(server: Headrace) -> None:
    request = head("POST", "/api/v1/write", UPGRADE + "Content-Length: 7\r\n") + b"garbage"
    answer = exchange(server, request)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"without Upgrade" in answer


def test_an_upgrade_that_is_only_offered_is_ignored(server: Headrace) -> None:
    answer = exchange(server, head("GET", "/api/v1/query?query=1", UPGRADE))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer.lower()


def test_administration_looks_at_the_credential_before_the_body(server: Headrace) -> None:
    request = b"POST /api/v1/admin/instances HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"
    host, port = server.base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(request)
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_basic_auth_needs_the_user_that_the_token_belongs_to(server: Headrace) -> None:
    for user, status in ((APP_ID, 200), (APP_ID + "x", 401), ("", 401)):
        answer = fetch(server.base + "/api/v1/query?query=1", headers=basic(user))
        assert answer.status == status


def basic(user: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{TOKEN}".encode()).decode()}
