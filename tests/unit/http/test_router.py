"""What all routes have in common: dispatch, errors as envelopes, CORS, compression, metrics."""

import json
import threading
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest

from shared import native
from shared.asgi.envelope import MAX_NOTES, success
from shared.asgi.messages import Request, Response
from shared.asgi.router import HttpMetrics, Route, Router, compress
from shared.asgi.types import Receive, Scope, Send
from shared.errors import HeadraceError, LimitedError, NotFoundError, UnauthorizedError, UnavailableError
from shared.telemetry.metrics import Counter, Histogram

LONG = json.dumps(["x" * 100] * 100).encode()


class App:
    """A router with one route for each kind of answer."""

    def __init__(self) -> None:
        self.ready = True
        self.raises: Exception | None = None
        self.metrics = HttpMetrics(Counter("r", "", ("route", "code")), Histogram("s", "", ("route",)))
        self.router = Router(
            {
                "/ok": Route("ok", {"GET": self.ok, "POST": self.ok}),
                "/long": Route("long", {"GET": self.long}),
                "/huge": Route("huge", {"GET": self.huge}),
                "/raw": Route("raw", {"GET": self.long}, public=False),
                "/raise": Route("raise", {"GET": self.fail}),
                "/echo": Route("echo", {"POST": self.echo}),
                "/live": Route("live", {"GET": self.ok}, early=True),
            },
            fallback=self.fallback,
            fallback_prefixes=("/admin",),
            metrics=self.metrics,
            check_ready=self.check_ready,
        )
        self.router.add({}, {("/label/", "/values"): Route("values", {"GET": self.ok})})

    def check_ready(self) -> None:
        if not self.ready:
            raise UnavailableError("not ready: replaying", retry_after_s=2)

    async def ok(self, _: Request) -> Response:
        return success(b"1")

    async def long(self, _: Request) -> Response:
        return success(LONG)

    async def huge(self, _: Request) -> Response:
        return success(b" " * (1 << 20) + b"1")

    async def fail(self, _: Request) -> Response:
        assert self.raises is not None
        raise self.raises

    async def echo(self, request: Request) -> Response:
        return Response(200, await request.body(10))

    async def fallback(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": b"admin"})


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
async def client(app: App) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app.router)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://h", headers={"accept-encoding": ""}) as client:
        yield client


async def test_a_route_answers_with_the_envelope(client: httpx.AsyncClient) -> None:
    answer = await client.get("/ok")
    assert (answer.status_code, answer.text) == (200, '{"status":"success","data":1}')
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["vary"] == "Accept-Encoding, Origin"
    assert (await client.get("/label/x/values")).status_code == 200


async def test_an_unknown_path_is_404_and_a_wrong_method_405_with_allow(client: httpx.AsyncClient) -> None:
    answer = await client.get("/nowhere")
    assert answer.status_code == 404
    assert answer.json()["errorType"] == "not_found"
    for method in ("DELETE", "HEAD", "PUT"):
        answer = await client.request(method, "/ok")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST, OPTIONS")


@pytest.mark.parametrize(
    ("path", "clean"), [("/ok/", "/ok"), ("/ok//", "/ok"), ("/label//x/values/", "/label/x/values")]
)
async def test_an_unclean_path_is_redirected(path: str, clean: str, client: httpx.AsyncClient) -> None:
    answer = await client.get(path + "?a=b%2B")
    assert (answer.status_code, answer.headers["location"]) == (301, clean + "?a=b%2B")
    assert (await client.post(path)).status_code == 308


async def test_options_and_cors(client: httpx.AsyncClient) -> None:
    answer = await client.options("/ok", headers={"origin": "http://grafana"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-headers"] == "Accept, Authorization, Content-Type, Origin"
    assert "access-control-allow-origin" not in (await client.options("/ok")).headers


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("deflate, gzip", "deflate"),
        ("br, gzip", "gzip"),
        ("gzip;q=1", None),
        ("", None),
        ("br", None),
    ],
)
async def test_a_long_answer_is_compressed_if_asked(
    accepted: str, coding: str | None, client: httpx.AsyncClient
) -> None:
    async with client.stream("GET", "/long", headers={"accept-encoding": accepted}) as answer:
        raw = b"".join([part async for part in answer.aiter_raw()])
    assert answer.headers.get("content-encoding") == coding
    assert int(answer.headers["content-length"]) == len(raw)
    plain = raw if coding is None else zlib.decompress(raw, 31 if coding == "gzip" else 15)
    assert plain == b'{"status":"success","data":' + LONG + b"}"


@pytest.mark.parametrize(("path", "on_the_loop"), [("/long", True), ("/huge", False)])
async def test_compressing_a_huge_answer_does_not_hold_up_others(
    path: str, on_the_loop: bool, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def noted(response: Response, accepted: bytes) -> None:
        threads.append(threading.get_ident())
        compress(response, accepted)

    monkeypatch.setattr("shared.asgi.router.compress", noted)
    answer = await client.get(path, headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json()["status"] == "success"
    assert [thread == threading.get_ident() for thread in threads] == [on_the_loop]


async def test_short_and_raw_answers_are_not_compressed(client: httpx.AsyncClient) -> None:
    for path in ("/ok", "/raw"):
        assert "content-encoding" not in (await client.get(path, headers={"accept-encoding": "gzip"})).headers


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (UnauthorizedError("who?"), 401, "unauthorized"),
        (NotFoundError("where?"), 404, "not_found"),
        (LimitedError("slowly", retry_after_s=7), 429, "limited"),
        (UnavailableError("later", retry_after_s=7), 503, "unavailable"),
        (HeadraceError("odd"), 500, "internal"),
        (native.BadDataError("bytes"), 400, "bad_data"),
        (native.TooLargeError("many"), 413, "bad_data"),
        (native.ExecutionError("no"), 422, "execution"),
        (native.CanceledError("gone"), 503, "canceled"),
        (native.CorruptError("flipped"), 500, "internal"),
    ],
)
async def test_expected_errors_have_their_status(
    error: Exception, status: int, kind: str, app: App, client: httpx.AsyncClient
) -> None:
    app.raises = error
    answer = await client.get("/raise")
    assert answer.status_code == status
    assert answer.json() == {"status": "error", "errorType": kind, "error": str(error)}
    assert answer.headers.get("retry-after") == ("7" if "retry_after_s" in vars(error) else None)
    assert ("www-authenticate" in answer.headers) == (status == 401)


async def test_a_bug_is_not_shown_to_the_client(app: App, client: httpx.AsyncClient) -> None:
    app.raises = KeyError("token-of-somebody")
    answer = await client.get("/raise")
    assert answer.status_code == 500
    assert "token-of-somebody" not in answer.text
    assert answer.json()["errorType"] == "internal"


async def test_before_all_is_ready_only_early_routes_answer(app: App, client: httpx.AsyncClient) -> None:
    app.ready = False
    answer = await client.get("/ok")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert (await client.get("/nowhere")).status_code == 503
    assert (await client.get("/live")).status_code == 200


async def test_the_fallback_answers_its_paths_and_is_counted(app: App, client: httpx.AsyncClient) -> None:
    assert (await client.get("/admin/x")).text == "admin"
    await client.get("/ok")
    await client.get("/nowhere")
    counted = {tuple(value for _, value in labels): count for _, labels, count in app.metrics.requests.points()}
    assert counted == {("admin", "299"): 1, ("ok", "200"): 1, ("unknown", "404"): 1}


async def test_a_body_is_bounded_whether_or_not_its_length_is_declared(client: httpx.AsyncClient) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"abc"

    async def few() -> AsyncIterator[bytes]:
        yield b"abc"
        yield b"def"

    assert (await client.post("/echo", content=b"x" * 10)).content == b"x" * 10
    assert (await client.post("/echo", content=few())).content == b"abcdef"
    assert (await client.post("/echo", content=b"x" * 11)).status_code == 413
    assert (await client.post("/echo", content=parts())).status_code == 413
    answer = await client.post("/echo", content=b"x", headers={"content-length": "9" * 30})
    assert answer.status_code == 413


def test_warnings_are_sorted_distinct_and_capped() -> None:
    answer = json.loads(success(b"[]", warnings=["b", "a", "b"], infos=[f"{n:02}" for n in range(MAX_NOTES + 3)]).body)
    assert answer["warnings"] == ["a", "b"]
    assert answer["infos"] == [f"{n:02}" for n in range(MAX_NOTES)] + ["3 more info annotations omitted"]
    assert list(answer) == ["status", "data", "warnings", "infos"]
