"""Runs a query: a place, what it may see, its series, its evaluation, all before its deadline."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from querier.api.places import Places
from querier.promql import Plan, Result, Select, evaluate
from querier.reading import Reading
from querier.storage import Consistency, Storage
from querier.tracing import Trace
from shared.asgi.leaving import Leaving
from shared.asgi.messages import Request
from shared.errors import TimedOutError
from shared.model.instance import Instance
from shared.native import Query, SeriesSet
from shared.telemetry.catalogue import Catalogue

INLINE_NS = 500_000
"""Below this estimate a query is evaluated on the event loop: a thread and back would cost a good part of it."""

# Measured per series, per value printed, and per stretch of samples read; what an estimate needs, no more.
_SERIES_NS = 350
_STEP_NS = 200
_STRETCH_NS = 20
_STRETCH_MS = 15_000
_CHARACTER_NS = 100  # a thousand small operators count, too

SELECTS = 4
"""Selections of one query that are read at the same time."""

# Prometheus's texts, by which clients know the errors.
_EVALUATING = "query timed out in expression evaluation"
_WAITING = "query timed out in query queue"


@dataclass(frozen=True, slots=True)
class Job:
    """A planned query and the conditions under which it runs."""

    instance: Instance
    plan: Plan
    timeout_s: float
    limit: int
    consistency: Consistency
    is_partial: bool = False
    is_traced: bool = False
    """Its selections are watched."""
    pushes_down: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """`warnings` are those of reading; those of evaluating are in `result`. Times are seconds."""

    result: Result
    warnings: Sequence[str]
    queued_s: float
    selected_s: float
    evaluated_s: float
    samples_read: int
    peak_samples: int
    peak_bytes: int
    traces: Sequence[Trace] = ()
    """One for each selection, of a query that is traced."""


class Executor:
    """Evaluates on the event loop what is small, in a small pool of threads what is not."""

    def __init__(self, storage: Storage, *, threads: int, metrics: Catalogue) -> None:
        self._storage = storage
        self._places = Places()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="query")
        self._metrics = metrics
        metrics.queries_running.observe_value(lambda: self._places.running)
        metrics.queries_waiting.observe_value(lambda: self._places.waiting)

    async def run(self, job: Job, request: Request) -> Outcome:
        """Raises TimedOutError, ClientGoneError, and what storage and evaluation raise."""
        limits = job.instance.limits
        query = Query(
            max_samples=limits.max_query_samples,
            max_series=limits.max_query_series,
            max_bytes=limits.max_query_bytes,
            delays_names=job.plan.features.delayed_name_removal,
            uses_starts=job.plan.features.use_start_timestamps,
            uses_types=job.plan.features.type_and_unit_labels,
        )
        if job.timeout_s <= 0:
            raise TimedOutError(f"{_EVALUATING}: {_allowance(job)}")
        progress = _Progress()
        try:
            async with asyncio.timeout(job.timeout_s), Leaving(request.receive):
                return await self._run(job, query, progress)
        except TimeoutError:
            raise TimedOutError(self._why_late(job, progress)) from None

    def _why_late(self, job: Job, progress: "_Progress") -> str:
        if progress.has_place:
            return f"{_EVALUATING}: {_allowance(job)}"
        most, running = job.instance.limits.max_concurrent_queries, self._places.running_of(job.instance)
        return f"{_WAITING}: {_allowance(job)}; the limit max_concurrent_queries is {most}, and {running} are running"

    def close(self) -> None:
        """Nobody asks any more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _run(self, job: Job, query: Query, progress: "_Progress") -> Outcome:
        asked = time.perf_counter()
        await self._places.take(job.instance)
        progress.has_place = True
        try:
            began = time.perf_counter()
            reading = await self._storage.read(
                job.instance, job.consistency, is_partial=job.is_partial, pushes_down=job.pushes_down
            )
            traces = [Trace() for _ in job.plan.selects] if job.is_traced else []
            sets = await _select(reading, job.plan, query, traces)
            selected = time.perf_counter()
            if _estimate_ns(job.plan, sets) <= INLINE_NS:
                result = evaluate(job.plan, sets, query, job.limit)
            else:
                result = await self._in_thread(job, sets, query)
            done = time.perf_counter()
        finally:
            self._places.leave(job.instance)
        self._metrics.query_samples.inc(query.samples_read)
        return Outcome(
            result,
            reading.warnings,
            queued_s=began - asked,
            selected_s=selected - began,
            evaluated_s=done - selected,
            samples_read=query.samples_read,
            peak_samples=query.peak_samples,
            peak_bytes=query.peak_bytes,
            traces=traces,
        )

    async def _in_thread(self, job: Job, sets: Sequence[SeriesSet], query: Query) -> Result:
        """Cancels the evaluation with its task, and waits until the thread has let go."""
        work = self._pool.submit(evaluate, job.plan, sets, query, job.limit)
        evaluating = asyncio.wrap_future(work)
        try:
            await asyncio.wait({evaluating})
            return evaluating.result()
        finally:
            if not evaluating.done() and not work.cancel():  # a thread is at it
                query.cancel()
                await asyncio.wait({evaluating})
                evaluating.exception()  # that of the cancellation: nobody is there to read it


@dataclass(slots=True)
class _Progress:
    has_place: bool = False


def _allowance(job: Job) -> str:
    """What allowed no more."""
    return (
        f"it may take {job.timeout_s:g} s, the least of the parameter timeout, the setting query.timeout_s and the "
        f"instance's limit max_query_seconds, which is {job.instance.limits.max_query_seconds:g}"
    )


async def _select(reading: Reading, plan: Plan, query: Query, traces: Sequence[Trace]) -> list[SeriesSet]:
    """The series of each selection of the plan, watched by the trace of its number if there are any. Some are read at
    the same time: most of it is waiting for others.
    """
    places = asyncio.Semaphore(SELECTS)

    async def read(index: int, select: Select) -> SeriesSet:
        async with places:
            began = time.perf_counter()
            source = reading.traced(traces[index]) if traces else reading
            series = await source.select(query, select.matchers, select.min_ms, select.max_ms, select.fold)
            if traces:
                traces[index].seconds = time.perf_counter() - began
                traces[index].series = len(series)
            return series

    if len(plan.selects) == 1:
        return [await read(0, plan.selects[0])]
    try:
        async with asyncio.TaskGroup() as tasks:
            reads = [tasks.create_task(read(index, select)) for index, select in enumerate(plan.selects)]
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    return [done.result() for done in reads]


def _estimate_ns(plan: Plan, sets: Sequence[SeriesSet]) -> int:
    """A subquery costs its own steps, also without any series."""
    steps = plan.grid[2]
    found = sum(len(series) for series in sets)
    return (
        len(plan.query) * _CHARACTER_NS
        + plan.inner_steps * (1 + found) * _STEP_NS
        + sum(
            len(series) * (_SERIES_NS + steps * _STEP_NS + (select.max_ms - select.min_ms) // _STRETCH_MS * _STRETCH_NS)
            for select, series in zip(plan.selects, sets, strict=True)
        )
    )
