"""`headrace load`: the options, and what they amount to."""

import asyncio
import json
import os
import re
import signal
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from headrace.load.asking import Question
    from headrace.load.run import Load
    from headrace.load.traffic import Tenant

TOKEN_VARIABLE = "HEADRACE_TOKEN"  # noqa: S105  its name
MAX_SEED = (1 << 31) - 1
USAGE_ERROR = 2
FAILED = 1

_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SHARE_PER_HOUR = re.compile(r"(\d+(?:\.\d+)?)%?(?:/h)?")


def seconds_of(text: str | float) -> float:
    """`15s`, `1h30m`, `250ms`, or a bare number of seconds. A default comes as the number that it is."""
    if isinstance(text, float):
        return text
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return float(sum(float(number) * _UNITS_S[unit] for number, unit in parts))
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise typer.BadParameter(f"{text!r} is no duration: write 15s, 250ms or 1h30m")
    return seconds


def share_per_hour(text: str | float) -> float:
    """`5%/h`, `5%` or `5`: 0.05 in an hour."""
    if isinstance(text, float):
        return text
    found = _SHARE_PER_HOUR.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no share per hour: write 5%/h")
    return float(found[1]) / 100


def share(text: str | float) -> float:
    """`0.3` or `30%`."""
    if isinstance(text, float):
        return text
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise typer.BadParameter(f"{text!r} is no share: write 0.3 or 30%")
    return value


def start_of(text: str) -> int:
    """In ms: a time like 2026-01-31T12:00:00Z, seconds since the epoch, or a time ago like 2h."""
    if _DURATION.match(text) and not text.isdigit():
        return time.time_ns() // 1_000_000 - round(seconds_of(text) * 1000)
    try:
        return round(float(text) * 1000)
    except ValueError:
        pass
    try:
        return round(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time: write 2h (ago), 2026-01-31T12:00:00Z or seconds") from None


def _time(text: str, default: str | bool = False) -> Any:
    return typer.Option(help=text, parser=seconds_of, metavar="TIME", show_default=default)


def _share(text: str, default: str | bool = False) -> Any:
    return typer.Option(help=text, parser=share, metavar="SHARE", show_default=default)


def _per_hour(text: str, default: str) -> Any:
    return typer.Option(help=text, parser=share_per_hour, metavar="P%/h", show_default=default)


def _optional(text: str, *, metavar: str | None = None, minimum: float | None = None) -> Any:
    return typer.Option(help=text, metavar=metavar, min=minimum, show_default=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is left to say when the run is over."""

    report: dict[str, object]
    text: str
    failures: int
    wrong: int
    """Samples that were not as they must be."""


def load(
    url: Annotated[str, typer.Argument(help="Where to write: http://HOST:PORT, or several by commas.", metavar="URL")],
    query_url: Annotated[str | None, _optional("Where to ask, if elsewhere.", metavar="URL")] = None,
    write_path: Annotated[str, typer.Option(help="The path of remote write.", metavar="PATH")] = "/api/v1/write",
    instances: Annotated[
        str | None,
        _optional(
            "Instances to write for: a file with APPID:TOKEN in each line, or the same by commas. "
            f"Without it, the token in {TOKEN_VARIABLE} if there is one.",
            metavar="FILE|APPID:TOKEN,…",
        ),
    ] = None,
    series: Annotated[int, typer.Option(help="Series of each instance at any one time.", min=1)] = 10_000,
    interval: Annotated[float, _time("Scrape interval.", "15s")] = 15.0,
    batch: Annotated[int, typer.Option(help="Samples in a body: the series of one target.", min=1)] = 500,
    jitter: Annotated[float, _time("Scrapes are off by at most this.")] = 0.0,
    churn: Annotated[float, _per_hour("Targets replaced in an hour, with all their series.", "0%")] = 0.0,
    restarts: Annotated[float, _per_hour("Targets in an hour whose counters restart.", "5%")] = 0.05,
    histograms: Annotated[float, _share("Series that belong to classic histograms.", "0.3")] = 0.3,
    late: Annotated[float, _share("Bodies sent some intervals late.")] = 0.0,
    duplicates: Annotated[float, _share("Bodies sent twice.")] = 0.0,
    conflicts: Annotated[float, _share("Bodies sent again with other values: the first must stay.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Equal seeds and starts make equal data.", min=0, max=MAX_SEED)] = 1,
    run: Annotated[str, typer.Option(help="The label `run` of all series.", show_default="from seed and start")] = "",
    duration: Annotated[float | None, _time("How long to write; by default until Ctrl-C.")] = None,
    senders: Annotated[int, typer.Option(help="Connections that write.", min=1, max=4096)] = 8,
    start: Annotated[
        int | None,
        typer.Option(
            "--from",
            help="Begin with the data of this time: 2h (ago), 2026-01-31T12:00:00Z.",
            parser=start_of,
            metavar="TIME",
            show_default="now",
        ),
    ] = None,
    speed: Annotated[
        float | None, _optional("How much faster than time, until the data has caught up with now.", minimum=0.001)
    ] = None,
    rate: Annotated[float | None, _optional("The same, as samples per second.", metavar="N", minimum=0.001)] = None,
    queries: Annotated[
        str | None, _optional("Queries to ask meanwhile: a YAML file, or `default`.", metavar="FILE|default")
    ] = None,
    query_rate: Annotated[float, typer.Option(help="Queries per second.", min=0)] = 1.0,
    check_rate: Annotated[
        float | None, _optional("Answers compared per second while it writes; 1 with --verify.", minimum=0)
    ] = None,
    settle: Annotated[float, _time("How long a server may take to show what it acknowledged.", "0s")] = 0.0,
    verify: Annotated[bool, typer.Option("--verify", help="Read back every acknowledged sample in the end.")] = False,
    timeout: Annotated[float, _time("Longest a request waits.", "30s")] = 30.0,
    drain: Annotated[float, _time("How long to retry what is not acknowledged at the end.", "30s")] = 30.0,
    max_errors: Annotated[int, typer.Option(help="It fails with more failed bodies and queries than this.", min=0)] = 0,
    progress: Annotated[float, _time("Between two lines of progress, off a terminal.", "10s")] = 10.0,
    report: Annotated[Path | None, _optional("Write the report here, as JSON.", metavar="FILE.json")] = None,
) -> None:
    """Write made-up series by remote write, on schedule, and tell how the server bore it.

    Each body is timed from when it was due, is sent again until it is acknowledged, and can be read back in the end
    (--verify). Works with any server that takes remote write 1.0 and answers Prometheus's query API.
    """
    from headrace.load.errors import LoadError
    from headrace.load.run import Delivery, Load, Reading, Servers
    from headrace.load.traffic import Traffic

    if speed is not None and rate is not None:
        _fail("give --speed or --rate, not both")
    try:
        tenants = _tenants(instances)
        traffic = Traffic(
            series=series,
            interval_s=interval,
            batch=batch,
            jitter_ms=round(jitter * 1000),
            churn=churn,
            restarts=restarts,
            histograms=histograms,
            late=late,
            twice=duplicates,
            altered=conflicts,
            seed=seed,
            run=run,
        )
        factor = speed or (rate * interval / (series * len(tenants)) if rate else 1.0)
        delivery = Delivery(
            senders=senders,
            speed=factor,
            start_ms=_start(start, factor, duration),
            timeout_s=timeout,
            drain_s=drain,
        )
        reading = Reading(
            checks_per_s=check_rate if check_rate is not None else float(verify),
            settle_s=settle,
            questions=_questions(queries),
            queries_per_s=query_rate,
        )
        made = Load(Servers.parse(url, query_url, write_path=write_path), tenants, traffic, delivery, reading)
        outcome = _run(made, duration, progress_s=progress, verify=verify)
    except LoadError as error:
        _fail(str(error))
    print(outcome.text)
    if report is not None:
        report.write_text(json.dumps(outcome.report, indent=2) + "\n")
    if outcome.wrong or outcome.failures > max_errors:
        raise typer.Exit(FAILED)


def _run(load: "Load", duration_s: float | None, *, progress_s: float, verify: bool) -> Outcome:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_all(load, duration_s, progress_s=progress_s, verify=verify))


async def _all(load: "Load", duration_s: float | None, *, progress_s: float, verify: bool) -> Outcome:
    from headrace.load.alarm import Alarm
    from headrace.load.report import Progress, failures, text
    from headrace.load.report import report as as_json

    await load.preflight()
    over = Alarm()
    progress = asyncio.create_task(Progress(load, sys.stderr, progress_s).run(over))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, load.stop)
    try:
        await load.run(duration_s)
    finally:
        over.ring()
        await progress
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    verified = await load.verify() if verify else None
    wrong = load.checks.failed + (0 if verified is None or verified.passed else max(1, verified.checks.failed))
    return Outcome(as_json(load, verified), text(load, verified), failures(load, verified), wrong)


def _start(start_ms: int | None, speed: float, duration_s: float | None) -> int | None:
    """Faster than time it begins so far back that it is at now in the end."""
    if start_ms is not None or speed <= 1:
        return start_ms
    if duration_s is None:
        _fail("faster than time needs a beginning or an end: give --from or --duration")
    return time.time_ns() // 1_000_000 - round((speed - 1) * duration_s * 1000)


def _tenants(instances: str | None) -> "list[Tenant]":
    from headrace.load.traffic import Tenant

    if instances is None:
        return [Tenant(token=os.environ.get(TOKEN_VARIABLE))]
    text = instances.replace(",", "\n")
    if ":" not in instances or Path(instances).is_file():
        try:
            text = Path(instances).read_text()
        except OSError as error:
            _fail(f"--instances: {instances}: {error.strerror}: name a file with APPID:TOKEN in each line")
    tenants = []
    for number, line in enumerate((line.strip() for line in text.splitlines()), 1):
        if not line or line.startswith("#"):
            continue
        app_id, colon, token = line.partition(":")
        if not colon or not token:
            _fail(f"--instances: entry {number} is not APPID:TOKEN")
        tenants.append(Tenant(app_id.strip(), token.strip()))
    if not tenants:
        _fail("--instances: there is no instance in it")
    return tenants


def _questions(queries: str | None) -> "tuple[Question, ...]":
    from headrace.load.asking import DEFAULT_QUESTIONS, read_questions

    if queries is None:
        return ()
    return DEFAULT_QUESTIONS if queries == "default" else read_questions(Path(queries))


def _fail(message: str) -> NoReturn:
    print(f"headrace: {message}", file=sys.stderr)
    raise typer.Exit(USAGE_ERROR)
