"""Queries as text: format_query, parse_query, and the exemplars of a query's selectors."""

from querier.api.params import MAX_TIME_MS, MIN_TIME_MS, first, invalid, optional_time, read_params
from querier.api.tree import tree
from querier.promql.ast import Expr
from querier.promql.errors import ParseError
from querier.promql.format import pretty
from querier.promql.parser import parse
from shared.asgi.envelope import success, to_json
from shared.asgi.messages import Request, Response
from shared.asgi.router import Route
from shared.auth.authenticator import Authenticator
from shared.errors import BadDataError


def parse_parameter(text: str) -> Expr:
    """The tree of a `query` parameter; its errors name the parameter."""
    try:
        return parse(text)
    except ParseError as error:
        raise invalid("query", error) from None


class ExpressionApi:
    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    def routes(self) -> dict[str, Route]:
        return {
            "/api/v1/format_query": Route("format_query", {"GET": self._format, "POST": self._format}),
            "/api/v1/parse_query": Route("parse_query", {"GET": self._parse, "POST": self._parse}),
            "/api/v1/query_exemplars": Route("query_exemplars", {"GET": self._exemplars, "POST": self._exemplars}),
        }

    async def _format(self, request: Request) -> Response:
        return success(to_json(pretty(await self._expression(request))))

    async def _parse(self, request: Request) -> Response:
        return success(to_json(tree(await self._expression(request))))

    async def _exemplars(self, request: Request) -> Response:
        """Exemplars are not kept yet: the answer is empty, the checks are Prometheus's."""
        await self._authenticator.authenticate(request.headers.get(b"authorization"))
        params = await read_params(request)
        start = optional_time(params, "start", MIN_TIME_MS)
        end = optional_time(params, "end", MAX_TIME_MS)
        if end < start:
            raise BadDataError("end timestamp must not be before start timestamp")
        parse(first(params, "query"))  # its error is answered without the parameter's name here
        return success(b"[]")

    async def _expression(self, request: Request) -> Expr:
        await self._authenticator.authenticate(request.headers.get(b"authorization"))
        return parse_parameter(first(await read_params(request), "query"))
