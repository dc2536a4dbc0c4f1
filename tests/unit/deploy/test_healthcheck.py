"""What containers ask a server: `python -m headrace.healthcheck`."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from headrace import healthcheck


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that gives one answer, whatever it is asked, and closes. Its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", 0, ""),
        (b'HTTP/1.1 503 Service Unavailable\r\n\r\n{"missing": "Kafka"}', 1, '503 {"missing": "Kafka"}'),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", 1, "404"),
        (b"SSH-2.0-OpenSSH\r\n", 1, "this is no HTTP"),
        (b"HTTP/1.1 \xff\xff\xff\r\n\r\n", 1, "this is no HTTP"),
        (b"", 1, "this is no HTTP"),
    ],
)
def test_only_a_ready_server_is_healthy(
    answer: bytes, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(answer) as address:
        monkeypatch.setattr(sys, "argv", ["healthcheck", address])
        assert healthcheck.main() == code
    assert said in capsys.readouterr().err


def test_nobody_there_is_unhealthy_and_no_crash(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    for listen in (address, "nonsense"):
        monkeypatch.setattr(sys, "argv", ["healthcheck"])
        monkeypatch.setenv("HEADRACE_LISTEN", listen)
        assert healthcheck.main() == 1
        assert listen in capsys.readouterr().err


@pytest.mark.parametrize(
    ("listen", "called"),
    [
        ("0.0.0.0:9009", ("127.0.0.1", 9009)),
        ("[::]:80", ("::1", 80)),
        ("[fe80::1]:80", ("fe80::1", 80)),
        ("host:1", ("host", 1)),
    ],
)
def test_a_server_on_every_address_is_called_on_loopback(listen: str, called: tuple[str, int]) -> None:
    assert healthcheck.address_of(listen) == called


def test_it_loads_nothing_of_the_server() -> None:
    """Eight containers ask every ten seconds."""
    script = "import sys, headrace.healthcheck; print(*{name.split('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
    assert not {"shared", "pydantic", "typer", "http", "asyncio"} & set(run.stdout.split())
