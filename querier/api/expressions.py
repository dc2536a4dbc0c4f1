"""Queries as text: format_query and parse_query."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from querier.api.params import first, invalid, read_params
from querier.api.tree import tree
from querier.promql.ast import Expr
from querier.promql.errors import ParseError
from querier.promql.features import Features
from querier.promql.format import pretty
from querier.promql.height import height
from querier.promql.parser import parse
from shared.asgi.envelope import success, to_json
from shared.asgi.messages import Request, Response
from shared.asgi.router import Route
from shared.auth.authenticator import Authenticator

MAX_LEVELS = 200
LONG_QUERY = 4096
"""Characters; parsing and planning one takes some 10 ms."""

T = TypeVar("T")


async def in_place_if_short(query: str, work: Callable[[], T]) -> T:
    """The result of `work` on a query, done in a thread if the query is long."""
    return work() if len(query) <= LONG_QUERY else await asyncio.to_thread(work)


def parse_parameter(text: str, features: Features) -> Expr:
    """The tree of a `query` parameter; its errors name the parameter."""
    try:
        return parse(text, features)
    except ParseError as error:
        raise invalid("query", error) from None


def _formatted(text: str, features: Features) -> bytes:
    return to_json(pretty(_drawable(text, features)))


def _drawn(text: str, features: Features) -> bytes:
    return to_json(tree(_drawable(text, features)))


def _drawable(text: str, features: Features) -> Expr:
    """Lines are indented by their level, and JSON nests with it: both grow with the square of a chain's length."""
    expr = parse_parameter(text, features)
    check_drawable(expr)
    return expr


def check_drawable(expr: Expr) -> None:
    """Raises BadDataError."""
    if height(expr) > MAX_LEVELS:
        raise invalid("query", f"expression has more than {MAX_LEVELS} levels of operators")


class ExpressionApi:
    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    def routes(self) -> dict[str, Route]:
        return {
            "/api/v1/format_query": Route("format_query", {"GET": self._format, "POST": self._format}),
            "/api/v1/parse_query": Route("parse_query", {"GET": self._parse, "POST": self._parse}),
        }

    async def _format(self, request: Request) -> Response:
        return await self._answer(request, _formatted)

    async def _parse(self, request: Request) -> Response:
        return await self._answer(request, _drawn)

    async def _answer(self, request: Request, answer: Callable[[str, Features], bytes]) -> Response:
        instance = await self._authenticator.authenticate(request.headers.get(b"authorization"))
        text = first(await read_params(request), "query")
        return success(await in_place_if_short(text, partial(answer, text, instance.features)))
