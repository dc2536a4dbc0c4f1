"""The client: answers in every form, and every way in which none comes."""

import asyncio

import pytest

from headrace.load.errors import LoadError, RequestError, UnreachableError
from headrace.load.http import Address, Client
from tests.support.processes import free_port
from tests.unit.load.fake import FakeServer, Reply, Request


def client(*urls: str, timeout_s: float = 30) -> Client:
    return Client([Address.parse(url) for url in urls], timeout_s=timeout_s)


@pytest.mark.parametrize(
    ("url", "address", "text"),
    [
        ("http://h", Address("h", 80), "http://h:80"),
        ("https://h/prom/", Address("h", 443, "/prom", tls=True), "https://h:443/prom"),
        ("http://[::1]:9/x/y", Address("::1", 9, "/x/y"), "http://[::1]:9/x/y"),
    ],
)
def test_urls_of_servers(url: str, address: Address, text: str) -> None:
    assert Address.parse(url) == address
    assert str(address) == text


@pytest.mark.parametrize("url", ["h:9009", "ftp://h", "http://", "http://h:x", "http://h?a=b", "http://h#x", ""])
def test_what_is_no_url_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(LoadError, match="http://HOST:PORT"):
        Address.parse(url)


def test_a_secret_in_a_url_is_refused_and_not_repeated() -> None:
    for url in ("http://user:secret@h", "http://user:secret@h?x"):
        with pytest.raises(LoadError) as refused:
            Address.parse(url)
        assert "secret" not in str(refused.value)


async def test_a_connection_serves_many_requests(fake: FakeServer) -> None:
    asking = client(fake.address + "/below")
    for number in range(3):
        answer = await asking.request("POST", f"/{number}", "X-A: b\r\n", b"\x00")
        assert answer.status == 204
    asking.close()
    assert [request.path for request in fake.requests] == ["/below/0", "/below/1", "/below/2"]
    assert {request.headers["x-a"] for request in fake.requests} == {"b"}


async def test_answers_in_pieces_and_without_keep_alive(fake: FakeServer) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    closing = b"HTTP/1.1 503 x\r\nRetry-After: 7\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbusy"
    replies = [Reply(raw=chunked), Reply(raw=closing, close=True), Reply(200)]

    async def next_reply(_request: Request) -> Reply:
        return replies.pop(0)

    fake.queries = next_reply
    asking = client(fake.address)
    assert (await asking.request("GET", "/")).body == b"abcde"
    answer = await asking.request("GET", "/")
    assert (answer.status, answer.text, answer.retry_after_s) == (503, "busy", 7)
    assert (await asking.request("GET", "/")).status == 200
    asking.close()


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", close=True), "closed"),
        (Reply(raw=b"", close=True), "closed"),
        (Reply(raw=b"what is this\r\n\r\n"), "protocol"),
    ],
)
async def test_no_answer_is_an_error_of_a_kind(fake: FakeServer, reply: Reply, kind: str) -> None:
    async def bad(_request: Request) -> Reply:
        return reply

    fake.queries = bad
    asking = client(fake.address)
    with pytest.raises(RequestError) as failed:
        await asking.request("GET", "/")
    assert failed.value.kind == kind
    fake.queries = FakeServer().queries
    assert (await asking.request("GET", "/?query=1&time=1")).status == 200
    asking.close()


async def test_a_deadline_ends_a_request(fake: FakeServer) -> None:
    held = asyncio.Event()

    async def hold(_request: Request) -> None:
        await held.wait()

    fake.queries = hold
    asking = client(fake.address, timeout_s=0.05)
    with pytest.raises(RequestError) as failed:
        await asking.request("GET", "/")
    assert failed.value.kind == "timeout"
    held.set()


async def test_the_next_server_is_asked_where_one_is_away(fake: FakeServer) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(UnreachableError, match=nobody):
        await client(nobody).request("GET", "/")
    asking = client(nobody, fake.address)
    assert (await asking.request("GET", "/?query=1&time=1")).status == 200
    asking.close()
