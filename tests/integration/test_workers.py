"""`--workers N`: one address, several processes, and what becomes of them. None of it needs Kafka or Redis."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.cluster import KEY, SECRET, Role
from tests.support.processes import fetch, free_port, run

NOWHERE = "127.0.0.1:1"
"""Where nothing listens: every role waits for its Redis there."""

SETTINGS = {
    "HEADRACE_KAFKA__BROKERS": NOWHERE,
    "HEADRACE_REDIS__URL": f"redis://{NOWHERE}",
    "HEADRACE_CLUSTER_SECRET": SECRET,
    "HEADRACE_KEY": KEY,
}


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Role]:
    """A distributor of two workers."""
    role = Role("distributor", "d", tmp_path, SETTINGS, "--workers", "2")
    try:
        role.start()
        eventually(lambda: all(f"worker {n}: waiting for Redis" in (role.missing() or "") for n in (0, 1)), role)
        yield role
    finally:
        role.kill()


def eventually(holds: Callable[[], bool], role: Role, *, timeout: float = 30) -> None:
    end = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < end, f"{role.missing()}\n{role.output()[-4000:]}"
        time.sleep(0.05)


def children(role: Role) -> list[int]:
    assert role.child is not None
    found = Path(f"/proc/{role.child.pid}/task/{role.child.pid}/children").read_text().split()
    return [int(pid) for pid in found]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_one_page_and_one_readiness_for_all_workers(pair: Role) -> None:
    page = fetch(pair.base + "/metrics").body.decode()
    assert 'headrace_worker_up{worker="0"} 1\nheadrace_worker_up{worker="1"} 1\n' in page
    for worker in (0, 1):
        assert f'process_resident_memory_bytes{{worker="{worker}"}}' in page
    assert fetch(pair.base + "/healthz").status == 200
    assert fetch(pair.base + "/api/v1/write", method="POST", data=b"").status == 503


def test_a_worker_that_dies_is_started_again(pair: Role) -> None:
    first, second = children(pair)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: len(children(pair)) == 2 and first not in children(pair), pair)
    assert second in children(pair)
    eventually(lambda: fetch(pair.base + "/metrics").body.count(b"headrace_worker_up{") == 2, pair)
    assert '"event": "worker_ended"' in pair.output()
    assert '"code": -9' in pair.output()


def test_a_stop_ends_all_of_them_in_order(pair: Role) -> None:
    pids = children(pair)
    assert pair.stop(timeout=20) == 0
    assert not any(map(is_alive, pids))
    assert pair.output().count('"event": "stopped"') == 2


def test_workers_do_not_outlive_their_supervisor(pair: Role) -> None:
    pids = children(pair)
    pair.kill()
    eventually(lambda: not any(map(is_alive, pids)), pair)


def test_an_address_in_use_is_one_line(pair: Role, tmp_path: Path) -> None:
    for workers in ("1", "2"):
        answer = run("querier", "--listen", f"127.0.0.1:{pair.port}", "--workers", workers, cwd=tmp_path, **SETTINGS)
        assert answer.returncode == 2
        [line] = answer.stderr.splitlines()
        assert "choose another HOST:PORT with --listen" in line


def test_what_a_worker_cannot_start_with_ends_all(tmp_path: Path) -> None:
    variables = {name: value for name, value in SETTINGS.items() if name != "HEADRACE_KEY"}
    arguments = ("distributor", "--listen", f"127.0.0.1:{free_port()}", "--workers", "2")
    answer = run(*arguments, cwd=tmp_path, HEADRACE_KEY_FILE="missing.key", **variables)
    assert answer.returncode == 2
    assert "key_file: missing.key is missing" in answer.stderr
    assert "openssl rand -hex 32 > missing.key" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("role", ["distributor", "ingester", "querier"])
def test_a_role_without_settings_says_all_it_needs(role: str, tmp_path: Path) -> None:
    answer = run(role, cwd=tmp_path)
    assert answer.returncode == 2
    for name in ("kafka.brokers", "redis.url", "cluster_secret"):
        assert f"headrace: {name} (HEADRACE_" in answer.stderr
    assert ("headrace: key (HEADRACE_KEY)" in answer.stderr) == (role != "ingester")


@pytest.mark.parametrize("role", ["distributor", "ingester", "querier"])
def test_a_role_alone_waits_and_stops(role: str, tmp_path: Path) -> None:
    arguments = ("--grpc-listen", f"127.0.0.1:{free_port()}") if role == "ingester" else ()
    process = Role(role, "alone", tmp_path, SETTINGS, *arguments)
    try:
        process.start()
        eventually(lambda: "Redis at 127.0.0.1:1 cannot be reached" in (process.missing() or ""), process)
        assert fetch(process.base + "/healthz").status == 200
        assert process.stop(timeout=20) == 0
        assert f'"role": "{role}", "name": "alone"' in process.output()
    finally:
        process.kill()


def test_workers_are_started_by_supervisors_only(tmp_path: Path) -> None:
    answer = run("worker", "querier", cwd=tmp_path)
    assert answer.returncode == 2
    assert "workers are started by a supervisor" in answer.stderr


def test_standalone_loads_nothing_of_a_cluster() -> None:
    """Half a second of its start, and what may be missing where nobody wants a cluster."""
    code = "import sys, headrace.cli, headrace.standalone; print(*{m.split('.')[0] for m in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"kafka", "redis", "grpc", "google"} & set(loaded)
