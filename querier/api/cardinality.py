"""status/tsdb: which metrics and labels an instance has most of, over the last hour."""

import asyncio
import json

from querier.api.execution import Executor, Job
from querier.api.params import first, parse_integer, read_params
from querier.promql import prepare
from querier.storage import Consistency, Storage
from shared.asgi.envelope import success, to_json
from shared.asgi.messages import Request, Response
from shared.asgi.router import Route
from shared.auth.authenticator import Authenticator
from shared.clock import Clock
from shared.errors import BadDataError
from shared.native import Names, Query

DEFAULT_ROWS = 10
MAX_ROWS = 10_000
SPAN_MS = 3_600_000

Rows = list[dict[str, str | int]]


class CardinalityApi:
    """Label pairs are not counted: that would be one aggregation over all series for each label."""

    def __init__(
        self, authenticator: Authenticator, storage: Storage, executor: Executor, clock: Clock, *, timeout_s: float
    ) -> None:
        self._authenticator = authenticator
        self._storage = storage
        self._executor = executor
        self._clock = clock
        self._timeout_s = timeout_s

    def routes(self) -> dict[str, Route]:
        return {"/api/v1/status/tsdb": Route("status", {"GET": self._tsdb})}

    async def _tsdb(self, request: Request) -> Response:
        instance = await self._authenticator.authenticate(request.headers.get(b"authorization"))
        rows = _rows(first(await read_params(request), "limit"))
        now_ms = self._clock.now_ms()
        query = f'sort_desc(count by (__name__) (last_over_time({{__name__!=""}}[{SPAN_MS}ms])))'
        plan = prepare(query, (now_ms, 1, 1), is_range=False)
        job = Job(instance, plan, self._timeout_s, 0, Consistency.DEFAULT)
        counted = json.loads((await self._executor.run(job, request)).result.json)
        by_name: Rows = [{"name": s["metric"].get("__name__", ""), "value": int(s["value"][1])} for s in counted]
        reading = await self._storage.read(instance, Consistency.EVENTUAL)
        budget = Query(max_bytes=instance.limits.max_query_bytes)
        names = await reading.names(budget, (), now_ms - SPAN_MS, now_ms)
        values, lengths = await asyncio.to_thread(_of_labels, names)
        head = {
            "numSeries": sum(int(row["value"]) for row in by_name),
            "numLabelPairs": sum(int(row["value"]) for row in values),
            "chunkCount": 0,
            "minTime": now_ms - SPAN_MS,
            "maxTime": now_ms,
        }
        data = {
            "headStats": head,
            "seriesCountByMetricName": by_name[:rows],
            "labelValueCountByLabelName": values[:rows],
            "memoryInBytesByLabelName": lengths[:rows],
            "seriesCountByLabelValuePair": [],
        }
        return success(to_json(data))


def _rows(text: str) -> int:
    if not text:
        return DEFAULT_ROWS
    try:
        rows = parse_integer(text)
    except ValueError:
        rows = 0
    if rows < 1:
        raise BadDataError("limit must be a positive number")
    if rows > MAX_ROWS:
        raise BadDataError(f"limit must not exceed {MAX_ROWS}")
    return rows


def _of_labels(names: Names) -> tuple[Rows, Rows]:
    """How many values each label has, and how many bytes they are; the largest first."""
    counts: Rows = []
    lengths: Rows = []
    for name in names.label_names():
        values = names.label_values(name)
        counts.append({"name": name, "value": len(values)})
        lengths.append({"name": name, "value": sum(len(value.encode()) for value in values)})
    for rows in (counts, lengths):
        rows.sort(key=lambda row: (-int(row["value"]), row["name"]))
    return counts, lengths
