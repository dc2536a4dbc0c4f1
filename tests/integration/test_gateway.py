"""`deploy/nginx.conf` on a real nginx, in front of servers that only say which role they play."""

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import Mock

import pytest

from distributor.push import PushSettings
from distributor.routes import routes as distributor_routes
from headrace.admin import create_app
from headrace.admin_token import AdminGate
from tests.support.gateway import TEMPLATE, Gateway, rendered, variables
from tests.support.processes import fetch
from tests.support.server import ADMIN, serving

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Upstream"

    def do_GET(self) -> None:
        self.server.requests.append((self.command, self.path))
        self.body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.answer(self)

    do_POST = do_GET  # noqa: N815  the names that http.server looks for

    def send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Upstream(ThreadingHTTPServer):
    """Answers with its role's name, or as `answer` does."""

    daemon_threads = True

    def __init__(self, role: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str]] = []
        self.answer: Answer = lambda handler: handler.send(200, role.encode())
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


class World:
    def __init__(self, folder: Path) -> None:
        self.distributors = [Upstream("distributor"), Upstream("distributor")]
        self.queriers = [Upstream("querier"), Upstream("querier")]
        self.gateway = Gateway(
            folder,
            distributors=[upstream.address for upstream in self.distributors],
            queriers=[upstream.address for upstream in self.queriers],
        )

    @property
    def base(self) -> str:
        return self.gateway.base

    def requests(self) -> int:
        return sum(len(upstream.requests) for upstream in (*self.distributors, *self.queriers))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.gateway.start()
    try:
        world.gateway.wait_until(world.base + "/ready", timeout=30)
        yield world
    finally:
        world.gateway.kill()
        for upstream in (*world.distributors, *world.queriers):
            upstream.stop()


def abrupt(handler: Handler) -> None:
    """Takes the request and is gone, as a killed process is."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def refusing(handler: Handler) -> None:
    handler.send(503, b"not ready")


def test_the_template_asks_for_what_the_compose_file_gives() -> None:
    compose = (TEMPLATE.parents[1] / "docker-compose.yml").read_text()
    for name in variables(TEMPLATE.read_text()):
        script = (TEMPLATE.parent / "gateway.envsh").read_text()
        assert f"      {name}: " in compose or f"export {name}" in script, name
    assert rendered("${A} $host", A="1") == "1 $host"


async def test_every_path_reaches_the_role_that_serves_it(world: World, tmp_path: Path) -> None:
    exact, patterns = distributor_routes(
        Mock(), Mock(), max_inflight_bytes=1, push=PushSettings(interval_ms=1000, ttl_ms=0)
    )
    writing = {*exact, *(f"{prefix}NAME{suffix}" for prefix, suffix in patterns)}
    async with serving(tmp_path / "data") as server:
        administration = create_app(server.front.known_instances, AdminGate(ADMIN), {})
        every = {*server.front.router.paths(), *(str(getattr(route, "path", "")) for route in administration.routes)}
    for path in sorted(every):
        expected = "distributor" if path in writing else "querier"
        answer = fetch(world.base + path, method="GET")
        if path == "/metrics":
            assert answer.status == 404
            assert b"scrape the processes" in answer.body
        else:
            assert (answer.status, answer.body.decode()) == (200, expected), path


def test_a_write_goes_to_another_distributor_when_one_fails(world: World) -> None:
    for failure in (abrupt, refusing):
        world.distributors[0].answer = failure
        for _ in range(4):
            answer = fetch(world.base + "/api/v1/write", data=b"x" * 1_000_000)
            assert (answer.status, answer.body) == (200, b"distributor"), failure
    world.distributors[0].stop()
    assert fetch(world.base + "/api/v1/prom/write", data=b"x").status == 200


def test_a_query_goes_to_another_querier_when_one_fails_even_as_a_form(world: World) -> None:
    for failure in (abrupt, refusing):
        world.queriers[1].answer = failure
        for _ in range(4):
            for data in (None, b"query=up"):
                assert fetch(world.base + "/api/v1/query?query=up", data=data).status == 200, failure


@pytest.mark.parametrize("path", ["/api/v1/admin/instances", "/api/v1/admin/flush"])
def test_what_administers_is_not_sent_twice(world: World, path: str) -> None:
    for upstream in world.queriers:
        upstream.answer = abrupt
    before = world.requests()
    answer = fetch(world.base + path, data=b"{}")
    assert answer.status == 503
    assert world.requests() == before + 1


def test_without_any_server_the_answer_is_an_envelope_that_says_so(world: World) -> None:
    for upstream in (*world.distributors, *world.queriers):
        upstream.answer = abrupt
    for path in ("/api/v1/query?query=up", "/api/v1/write"):
        answer = fetch(world.base + path, data=b"x")
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "2"
        assert answer.json()["status"] == "error"
        assert "try again" in answer.json()["error"]


def test_a_refusal_of_a_role_passes_as_it_is(world: World) -> None:
    for upstream in (*world.distributors, *world.queriers):
        upstream.answer = lambda handler: handler.send(422, json.dumps({"error": "as it is"}).encode())
    for path in ("/api/v1/query?query=up", "/api/v1/write", "/api/v1/admin/instances"):
        answer = fetch(world.base + path, data=b"x")
        assert (answer.status, answer.json()) == (422, {"error": "as it is"})


def test_a_body_too_large_for_the_gateway_is_refused_in_words(world: World) -> None:
    answer = fetch(world.base + "/api/v1/write", data=bytes((64 << 20) + 1))
    assert answer.status == 413
    assert "client_max_body_size" in answer.json()["error"]


def test_an_answer_passes_through_as_it_comes(world: World) -> None:
    go_on = threading.Event()

    def in_parts(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "10")
        handler.end_headers()
        handler.wfile.write(b"first")
        handler.wfile.flush()
        assert go_on.wait(30)
        handler.wfile.write(b"other")

    for upstream in world.queriers:
        upstream.answer = in_parts
    connection = http.client.HTTPConnection("127.0.0.1", world.gateway.port, timeout=30)
    try:
        connection.request("GET", "/api/v1/query_range?query=up")
        answer = connection.getresponse()
        assert answer.read(5) == b"first"  # while the rest is not there yet
        go_on.set()
        assert answer.read() == b"other"
    finally:
        connection.close()


def test_connections_to_the_roles_are_kept(world: World) -> None:
    ports: set[int] = set()

    def note(handler: Handler) -> None:
        ports.add(handler.client_address[1])
        handler.send(200, b"")

    for upstream in world.queriers:
        upstream.answer = note
    for _ in range(20):
        assert fetch(world.base + "/api/v1/query?query=up").status == 200
    assert len(ports) < 20
