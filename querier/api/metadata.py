"""series, labels, label values and metadata: what there is, without its samples."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from querier.api.expressions import in_place_if_short
from querier.api.matchers import label_name, matcher_sets, selector_sets
from querier.api.params import (
    MAX_TIME_MS,
    MIN_TIME_MS,
    Params,
    boolean,
    first,
    invalid,
    limit,
    optional_time,
    parse_integer,
    read_params,
)
from querier.api.visibility import consistency_of
from querier.reading import Reading
from querier.storage import Storage
from shared.asgi.envelope import success, to_json
from shared.asgi.leaving import Leaving
from shared.asgi.messages import Request, Response
from shared.asgi.router import Route
from shared.auth.authenticator import Authenticator
from shared.errors import BadDataError, TimedOutError
from shared.model.instance import Instance
from shared.native import Matcher, Names, Query, json_exemplars

TRUNCATED = "results truncated due to limit"

_VALUES_PREFIX = b"/api/v1/label/"
_VALUES_SUFFIX = b"/values"

_TYPES = ("unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset")

_DIRECT_S = 0.001
"""Collecting that took longer than this found much; rendering it then is no work for the event loop either."""


class MetadataApi:
    def __init__(self, authenticator: Authenticator, storage: Storage, *, timeout_s: float) -> None:
        self._authenticator = authenticator
        self._storage = storage
        self._timeout_s = timeout_s

    def routes(self) -> dict[str, Route]:
        return {
            "/api/v1/series": Route("series", {"GET": self._series, "POST": self._series}),
            "/api/v1/labels": Route("labels", {"GET": self._labels, "POST": self._labels}),
            "/api/v1/metadata": Route("metadata", {"GET": self._metadata}),
            "/api/v1/query_exemplars": Route("query_exemplars", {"GET": self._exemplars, "POST": self._exemplars}),
        }

    def patterns(self) -> dict[tuple[str, str], Route]:
        return {(_VALUES_PREFIX.decode(), _VALUES_SUFFIX.decode()): Route("label_values", {"GET": self._values})}

    async def _series(self, request: Request) -> Response:
        instance = await self._authenticator.authenticate(request.headers.get(b"authorization"))
        params = await read_params(request)
        selectors = params.get("match[]")
        if not selectors:
            raise BadDataError("no match[] parameter provided")
        most = limit(params)
        start, end = _times(params)
        try:
            sets = await _sets(selectors)
        except BadDataError as error:
            raise invalid("match[]", error) from None
        began = time.perf_counter()
        warnings, names = await self._names(request, instance, params, sets, start, end)
        if time.perf_counter() - began > _DIRECT_S:
            data, cut = await asyncio.to_thread(names.series_json, most)
        else:
            data, cut = names.series_json(most)
        return success(data, warnings=[*warnings, TRUNCATED] if cut else warnings)

    async def _labels(self, request: Request) -> Response:
        instance = await self._authenticator.authenticate(request.headers.get(b"authorization"))
        params = await read_params(request)
        most = limit(params)
        start, end = _times(params)
        sets = await _sets(params.get("match[]", ()))
        warnings, names = await self._names(request, instance, params, sets, start, end)
        return _list(names.label_names(), most, warnings)

    async def _values(self, request: Request) -> Response:
        instance = await self._authenticator.authenticate(request.headers.get(b"authorization"))
        name = label_name(request.raw_path[len(_VALUES_PREFIX) : -len(_VALUES_SUFFIX)])
        params = await read_params(request)
        most = limit(params)
        start, end = _times(params)
        sets = await _sets(params.get("match[]", ()))
        warnings, names = await self._names(request, instance, params, sets, start, end, name)
        return _list(names.label_values(name), most, warnings)

    async def _metadata(self, request: Request) -> Response:
        instance = await self._authenticator.authenticate(request.headers.get(b"authorization"))
        params = await read_params(request)
        most = _number(params, "limit")
        _number(params, "limit_per_metric")  # one description is kept of a family, so this limit cuts nothing
        wanted = first(params, "metric")
        async with self._bounded(request):
            reading = await self._read(request, instance, params)
            families = sorted((await reading.metadata()).items())
        if wanted:
            families = [family for family in families if family[0] == wanted]
        if most >= 0:
            families = families[:most]
        described = {
            name: [{"type": _TYPES[kind], "help": text, "unit": unit}] for name, (kind, text, unit) in families
        }
        return success(to_json(described), warnings=reading.warnings)

    async def _exemplars(self, request: Request) -> Response:
        """Of the series that any selector of a query matches. Its parse errors do not name the parameter."""
        instance = await self._authenticator.authenticate(request.headers.get(b"authorization"))
        params = await read_params(request)
        start, end = _times(params)
        if end < start:
            raise BadDataError("end timestamp must not be before start timestamp")
        text = first(params, "query")
        sets = await in_place_if_short(text, partial(selector_sets, text, instance.features))
        if not sets:
            return Response(204, b"", None)
        async with self._bounded(request):
            reading = await self._read(request, instance, params)
            found = await reading.exemplars(sets, start, end)
            return success(await asyncio.to_thread(json_exemplars, found), warnings=reading.warnings)

    @asynccontextmanager
    async def _bounded(self, request: Request) -> AsyncIterator[None]:
        """Ends with the time that a query may take, and with the client."""
        try:
            async with asyncio.timeout(self._timeout_s), Leaving(request.receive):
                yield
        except TimeoutError:
            raise TimedOutError(f"not found in {self._timeout_s:g} s: narrow the selectors or the time range") from None

    async def _read(self, request: Request, instance: Instance, params: Params) -> Reading:
        is_partial = boolean(params, "partial_response")
        return await self._storage.read(instance, consistency_of(request), is_partial=is_partial)

    async def _names(
        self,
        request: Request,
        instance: Instance,
        params: Params,
        sets: Sequence[Sequence[Matcher]],
        start: int,
        end: int,
        label: str | None = None,
    ) -> tuple[list[str], Names]:
        async with self._bounded(request):
            reading = await self._read(request, instance, params)
            query = Query(max_bytes=instance.limits.max_query_bytes)
            names = await reading.names(query, sets, start, end, label)
        return reading.warnings, names


async def _sets(selectors: Sequence[str]) -> list[list[Matcher]]:
    return await in_place_if_short("".join(selectors), partial(matcher_sets, selectors))


def _times(params: Params) -> tuple[int, int]:
    return optional_time(params, "start", MIN_TIME_MS), optional_time(params, "end", MAX_TIME_MS)


def _number(params: Params, name: str) -> int:
    """-1: not given."""
    text = first(params, name)
    if not text:
        return -1
    try:
        return parse_integer(text)
    except ValueError:
        raise BadDataError(f"{name} must be a number") from None


def _list(values: list[str], most: int, warnings: list[str]) -> Response:
    if most and len(values) > most:
        return success(to_json(values[:most]), warnings=[*warnings, TRUNCATED])
    return success(to_json(values), warnings=warnings)
