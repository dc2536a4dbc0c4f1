"""The load generator against a real server, which is killed while it writes."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.load.run import Delivery, Load, Reading, Servers
from headrace.load.traffic import Tenant, Traffic
from tests.support.processes import APP_ID, TOKEN, Headrace, fetch


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Headrace]:
    process = Headrace(tmp_path)
    process.start()
    try:
        process.wait_ready()
        yield process
    finally:
        process.kill()


def headrace_load(server: Headrace, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "headrace", "load", server.base, *options],
        cwd=server.folder,
        env={**os.environ, "HEADRACE_TOKEN": TOKEN},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


async def acknowledged(load: Load, more: int) -> None:
    wanted = load.writes.requests + more
    await until(lambda: load.writes.requests >= wanted)


async def test_everything_acknowledged_survives_a_kill_in_the_middle(server: Headrace) -> None:
    traffic = Traffic(
        series=2_000, batch=200, interval_s=1.0, jitter_ms=3, churn=100, restarts=100, late=0.1, twice=0.1, altered=0.1
    )
    # From two and a half hours ago on, so that what is sent falls into several windows.
    delivery = Delivery(senders=4, speed=300.0, start_ms=time.time_ns() // 1_000_000 - 9_000_000)
    load = Load(Servers.parse(server.base), [Tenant(APP_ID, TOKEN)], traffic, delivery, Reading(checks_per_s=50.0))
    await load.preflight()
    running = asyncio.create_task(load.run())
    await acknowledged(load, 200)
    await asyncio.to_thread(server.kill)
    await until(lambda: load.checks.outages.current is not None)
    await asyncio.to_thread(server.start)
    await asyncio.to_thread(server.wait_ready)
    await acknowledged(load, 200)
    await asyncio.to_thread(server.flush)
    await acknowledged(load, 200)
    load.stop()
    await running
    assert (load.writes.lost, load.checks.failed, load.checks.errors.total) == (0, 0, 0), load.checks.examples
    assert load.writes.retries > 0
    assert load.checks.right > 0
    [*_, outage] = load.checks.outages.past
    assert outage.ended_s is not None
    verified = await load.verify()
    assert verified.passed, verified.checks
    assert verified.checks.right == load.writes.samples > 100_000


def test_the_command_reports_and_ends_well(server: Headrace) -> None:
    command = headrace_load(
        server,
        *("--series", "2000", "--duration", "3s", "--rate", "50000", "--interval", "5s", "--verify"),
        *("--queries", "default", "--query-rate", "20", "--progress", "0.5s", "--report", "report.json"),
    )
    text, progress = command.communicate(timeout=100)
    assert command.returncode == 0, text + progress
    report = json.loads((server.folder / "report.json").read_text())
    assert report["verify"]["passed"]
    assert report["verify"]["samples_right"] == report["writes"]["samples"] > 0
    assert report["checks"]["samples_right"] > 0
    assert report["queries"]["errors"] == {}
    assert set(report["queries"]["since_due"]) >= {"all", "rate_by_job"}
    assert "acknowledged samples are there once, bit for bit" in text
    assert len(progress.splitlines()) >= 3
    assert "samples/s" in progress
    assert TOKEN not in text + progress + json.dumps(report)


def test_the_command_fails_when_data_is_refused_and_stops_at_a_signal(server: Headrace) -> None:
    old = headrace_load(server, "--series", "100", "--duration", "1s", "--from", "1h", "--speed", "100")
    old.communicate(timeout=60)
    assert old.returncode == 0
    limits = {"X-Headrace-Admin": TOKEN, "Content-Type": "application/json"}
    path = f"{server.base}/api/v1/admin/instances/{APP_ID}/limits"
    assert fetch(path, data=b'{"max_age_s": 60}', headers=limits, method="PATCH").status == 200
    refused = headrace_load(server, "--series", "100", "--duration", "1s", "--from", "1h", "--speed", "100")
    text, _ = refused.communicate(timeout=60)
    assert refused.returncode == 1
    assert "status 400" in text
    endless = headrace_load(server, "--series", "100", "--interval", "0.2s", "--verify", "--progress", "0.1s")
    assert endless.stderr is not None
    endless.stderr.readline()
    endless.send_signal(signal.SIGINT)
    text, _ = endless.communicate(timeout=60)
    assert endless.returncode == 0, text
    assert "verified" in text
