"""query and query_range: parameters in Prometheus's order, one answer put together from bytes."""

import time
from enum import Enum
from functools import partial
from typing import Any

from querier.api.execution import Executor, Job, Outcome
from querier.api.expressions import check_drawable, in_place_if_short
from querier.api.metadata import TRUNCATED
from querier.api.params import (
    Params,
    boolean,
    first,
    invalid,
    limit,
    lookback_ms,
    optional_time,
    parse_duration_ns,
    read_params,
    required_time,
    timeout_s,
)
from querier.api.visibility import consistency_of
from querier.promql import Features, Plan, prepare
from querier.promql.explain import explained
from querier.promql.profile import timed
from querier.promql.tokens import quoted
from shared.asgi.envelope import success, to_json
from shared.asgi.messages import ClientGoneError, Request, Response
from shared.asgi.router import Handler, Route
from shared.auth.authenticator import Authenticator
from shared.clock import Clock
from shared.errors import BadDataError, HeadraceError
from shared.model.instance import Instance
from shared.native import BadDataError as NativeBadDataError
from shared.native import CanceledError, ExecutionError, Grid
from shared.telemetry.catalogue import Catalogue

_NS_PER_MS = 1_000_000
_NO_STEP = "zero or negative query resolution step widths are not accepted. Try a positive integer"
_FAILURES = (HeadraceError, NativeBadDataError, ExecutionError, CanceledError, ClientGoneError)


class QueryApi:
    def __init__(
        self,
        authenticator: Authenticator,
        executor: Executor,
        clock: Clock,
        metrics: Catalogue,
        *,
        timeout_s: float,
        lookback_ms: int,
    ) -> None:
        self._authenticator = authenticator
        self._executor = executor
        self._clock = clock
        self._metrics = metrics
        self._timeout_s = timeout_s
        self._lookback_ms = lookback_ms

    def routes(self) -> dict[str, Route]:
        instant = self._counted("instant", self._instant)
        ranged = self._counted("range", self._range)
        return {
            "/api/v1/query": Route("query", {"GET": instant, "POST": instant}),
            "/api/v1/query_range": Route("query_range", {"GET": ranged, "POST": ranged}),
        }

    def _counted(self, kind: str, handler: Handler) -> Handler:
        seconds = self._metrics.query_seconds.labels(kind)
        succeeded = self._metrics.queries.labels("success")

        async def handle(request: Request) -> Response:
            began = time.perf_counter()
            try:
                response = await handler(request)
            except _FAILURES as error:
                self._metrics.queries.labels(getattr(error, "error_type", "failed")).inc()
                raise
            seconds.observe(time.perf_counter() - began)
            succeeded.inc()
            return response

        return handle

    async def _instant(self, request: Request) -> Response:
        instance = await self._authenticator.authenticate(request.headers.get(b"authorization"))
        params = await read_params(request)
        most = limit(params)
        at_ms = optional_time(params, "time", self._clock.now_ms())
        return await self._answer(request, instance, params, (at_ms, 1, 1), most, is_range=False, end_ms=at_ms)

    async def _range(self, request: Request) -> Response:
        instance = await self._authenticator.authenticate(request.headers.get(b"authorization"))
        params = await read_params(request)
        most = limit(params)
        start_ms = required_time(params, "start")
        end_ms = required_time(params, "end")
        if end_ms < start_ms:
            raise invalid("end", "end timestamp must not be before start time")
        grid = _grid(start_ms, end_ms, _step_ns(params), instance.limits.max_query_points)
        return await self._answer(request, instance, params, grid, most, is_range=True, end_ms=end_ms)

    async def _answer(
        self,
        request: Request,
        instance: Instance,
        params: Params,
        grid: Grid,
        most: int,
        *,
        is_range: bool,
        end_ms: int,
    ) -> Response:
        longest_s = min(self._timeout_s, instance.limits.max_query_seconds)
        deadline_s = timeout_s(params, longest_s)
        lookback = lookback_ms(params, self._lookback_ms)
        began = time.perf_counter()
        text = first(params, "query")
        plan = await in_place_if_short(
            text, partial(_plan, text, grid, instance.features, lookback, is_range=is_range, end_ms=end_ms)
        )
        planned_s = time.perf_counter() - began
        wanted = _explanation(params)
        if wanted is not Explanation.NONE:
            check_drawable(plan.expr)
        if wanted is Explanation.PLAN:
            return success(b'{"explain":', to_json(explained(plan)), b"}")
        if wanted is Explanation.ANALYSIS:
            plan = timed(plan)
        job = Job(
            instance,
            plan,
            deadline_s,
            most,
            consistency_of(request),
            is_partial=boolean(params, "partial_response"),
            is_traced=wanted is Explanation.ANALYSIS,
            pushes_down=boolean(params, "pushdown", default=True),
        )
        outcome = await self._executor.run(job, request)
        result = outcome.result
        warnings = [*outcome.warnings, *result.warnings]
        if result.is_truncated:
            warnings.append(TRUNCATED)
        parts = [b'{"resultType":"', result.type.encode(), b'","result":', result.json]
        if wanted is Explanation.ANALYSIS:
            parts += [b',"explain":', to_json(_analysis(plan, outcome, planned_s))]
        if stats := first(params, "stats"):
            parts += [b',"stats":', to_json(_stats(outcome, planned_s))]
            if stats not in {"true", "all"}:
                warnings.append(
                    f'value {quoted(stats)} for parameter "stats" is deprecated and will be rejected in the next '
                    'major release, use "true" or "all"'
                )
        return success(*parts, b"}", warnings=warnings, infos=result.infos)


class Explanation(Enum):
    """What the parameter `explain` asks for besides, or instead of, the answer."""

    NONE = "none"
    PLAN = "plan"  # the plan, without running it
    ANALYSIS = "analysis"  # the answer, and what each part of the plan took


def _explanation(params: Params) -> Explanation:
    if first(params, "explain") == "analyze":
        return Explanation.ANALYSIS
    return Explanation.PLAN if boolean(params, "explain") else Explanation.NONE


def _analysis(plan: Plan, outcome: Outcome, planned_s: float) -> dict[str, Any]:
    explanation = explained(plan)
    for select, trace in zip(explanation["selects"], outcome.traces, strict=True):
        select["took"] = trace.shown()
    explanation["took"] = {
        "planSeconds": planned_s,
        "queueSeconds": outcome.queued_s,
        "selectSeconds": outcome.selected_s,
        "evaluateSeconds": outcome.evaluated_s,
        "samplesRead": outcome.samples_read,
        "peakSamples": outcome.peak_samples,
        "peakBytes": outcome.peak_bytes,
    }
    return explanation


def _plan(text: str, grid: Grid, features: Features, lookback: int, *, is_range: bool, end_ms: int) -> Plan:
    try:
        return prepare(text, grid, features, lookback_ms=lookback, is_range=is_range, end_ms=end_ms)
    except (BadDataError, NativeBadDataError) as error:
        raise invalid("query", error) from None


def _step_ns(params: Params) -> int:
    try:
        step_ns = parse_duration_ns(first(params, "step"))
    except ValueError as error:
        raise invalid("step", error) from None
    if step_ns < _NS_PER_MS:  # Prometheus lets steps below a millisecond through, and then fails on them
        raise invalid("step", _NO_STEP)
    return step_ns


def _grid(start_ms: int, end_ms: int, step_ns: int, most: int) -> Grid:
    """As Prometheus counts, one point more than `most` is allowed."""
    if (points := (end_ms - start_ms) * _NS_PER_MS // step_ns) > most:
        raise BadDataError(
            f"exceeded maximum resolution of {most:,} points per timeseries. "
            "Try decreasing the query resolution (?step=XX) or raising the instance's limit max_query_points: "
            f"the query has {points}"
        )
    step_ms = step_ns // _NS_PER_MS
    return start_ms, step_ms, (end_ms - start_ms) // step_ms + 1


def _stats(outcome: Outcome, planned_s: float) -> dict[str, dict[str, float]]:
    """By Prometheus's names, and the most memory that the query held at one time. Sorting and printing are part of
    evaluating here and show no time of their own.
    """
    prepared_s = planned_s + outcome.selected_s
    return {
        "timings": {
            "evalTotalTime": prepared_s + outcome.evaluated_s,
            "resultSortTime": 0,
            "queryPreparationTime": prepared_s,
            "innerEvalTime": outcome.evaluated_s,
            "execQueueTime": outcome.queued_s,
            "execTotalTime": prepared_s + outcome.evaluated_s + outcome.queued_s,
        },
        "samples": {
            "totalQueryableSamples": outcome.samples_read,
            "samplesRead": outcome.samples_read,
            "peakSamples": outcome.peak_samples,
        },
        "memory": {"peakBytes": outcome.peak_bytes},
    }
