"""Queries and forms that cost far more than they look like."""

import pytest

from querier.api.execution import INLINE_NS, _estimate_ns
from querier.promql import prepare
from tests.support.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
HEAVY = r'a{x=~"(\\pL{9}){3}"}'
"""Some 2.5 MB once compiled."""


async def error_of(server: Server, path: str, query: str) -> str:
    answer = await server.get(path, query=query)
    assert answer.status_code == 400, answer.text[:300]
    error: str = answer.json()["error"]
    return error


@pytest.mark.parametrize("path", ["/api/v1/format_query", "/api/v1/parse_query"])
async def test_a_long_chain_is_not_drawn(path: str, server: Server) -> None:
    assert "more than 200 levels" in await error_of(server, path, " + ".join("a" * 2000))
    for query in (" + ".join("a" * 200), "-(" * 60 + "a" + ")" * 60, "sum(" * 120 + "a" + ")" * 120):
        assert (await server.get(path, query=query)).status_code == 200


async def test_regular_expressions_share_a_bound(server: Server) -> None:
    assert (await server.get("/api/v1/query", query=HEAVY)).status_code == 200
    message = "regular expressions take more than 67108864 bytes together"
    assert message in await error_of(server, "/api/v1/query", " or ".join([HEAVY] * 20))
    answer = await server.get("/api/v1/labels", **{"match[]": [HEAVY] * 20})
    assert (answer.status_code, message in answer.json()["error"]) == (400, True)
    many = " or ".join(f'a{{x=~"node-{i}.*"}}' for i in range(100))
    assert (await server.get("/api/v1/query", query=many)).status_code == 200


@pytest.mark.parametrize("query", ["a[" + "+".join("1" * 3000) + "]", "a offset (" + "^".join("1" * 3000) + ")"])
async def test_a_duration_has_a_bound_of_operators(query: str, server: Server) -> None:
    error = await error_of(server, "/api/v1/query", query)
    assert "duration has more than 128 operators" in error or "nested more than" in error


async def test_steps_of_a_subquery_keep_an_evaluation_off_the_event_loop() -> None:
    plan = prepare("max_over_time(vector(1)[10d:1s])", (0, 1, 1), is_range=False)
    assert plan.inner_steps == 864_000
    assert _estimate_ns(plan, []) > INLINE_NS
    assert _estimate_ns(prepare("1 + 1", (0, 1, 1), is_range=False), []) < INLINE_NS


@pytest.mark.parametrize("name", ["time", "lookback_delta", "timeout"])
@pytest.mark.parametrize("value", ["9" * 100_000 + "y", "0x" + "_" * 100_000 + "p", "1." + "9" * 100_000 + "x"])
async def test_a_long_text_that_is_no_number_is_seen_through_at_once(name: str, value: str, server: Server) -> None:
    answer = await server.client.post(
        "/api/v1/query", data={"query": "1", name: value}, headers={**server.bearer, **FORM}
    )
    assert answer.status_code == 400


async def test_parts_of_a_form_do_not_nest(server: Server) -> None:
    nested = b"".join(
        b'--b%d\r\nContent-Disposition: form-data; name="x"\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n'
        % (i, i + 1)
        for i in range(3000)
    )
    headers = {**server.bearer, "Content-Type": "multipart/form-data; boundary=b0"}
    answer = await server.client.post("/api/v1/query?query=1", content=nested, headers=headers)
    assert answer.status_code == 200
    headers["Content-Type"] = "multipart/form-data"
    answer = await server.client.post("/api/v1/query?query=1", content=nested, headers=headers)
    assert (answer.status_code, "boundary" in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize(
    "growing", ['label_join(Q, "x", "", "x", "x")', 'label_replace(Q, "x", "$1$1$1$1", "x", "(.*)")']
)
async def test_label_values_do_not_grow_without_end(growing: str, server: Server) -> None:
    query = 'label_replace(vector(1), "x", "seed", "", "")'
    for _ in range(40):
        query = growing.replace("Q", query)
    answer = await server.get("/api/v1/query", query=query)
    assert answer.status_code == 422
    assert "makes a label value longer than 65536 bytes" in answer.json()["error"]
