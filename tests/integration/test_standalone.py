"""A standalone server: its start, its folder, its end. What it answers is in test_served.py."""

import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Headrace, fetch, free_port, run
from tests.support.remote_write import some_samples


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Headrace]:
    process = Headrace(tmp_path)
    process.start()
    try:
        process.wait_ready()
        yield process
    finally:
        process.kill()


def test_flush_leaves_nothing_in_the_log(server: Headrace) -> None:
    assert server.write(some_samples()).status == 204
    assert server.metric("headrace_log_first_offset") < server.metric("headrace_log_end_offset")
    server.flush()
    assert server.metric("headrace_log_first_offset") == server.metric("headrace_log_end_offset")


def test_a_port_in_use_is_one_line_and_touches_nothing(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        answer = run("standalone", "--listen", listen, "--data", "data", cwd=tmp_path)
    assert answer.returncode == 2
    [line] = answer.stderr.splitlines()
    assert listen in line
    assert "--listen" in line
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_one_line_that_names_who_has_it(server: Headrace) -> None:
    assert server.child is not None
    known = (server.folder / "data" / "server.json").read_text()
    answer = run("standalone", "--listen", f"127.0.0.1:{free_port()}", "--data", "data", cwd=server.folder)
    assert answer.returncode == 2
    [line] = answer.stderr.splitlines()
    assert f"process {server.child.pid}" in line
    assert (server.folder / "data" / "server.json").read_text() == known
    assert server.query("1+1")[1] == "2"
    answer = run("fsck", "--data", "data", cwd=server.folder)
    assert answer.returncode == 2
    assert f"process {server.child.pid}" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--listen", "nowhere"], "listen (--listen): must be HOST:PORT"),
        (["--listen", "203.0.113.1:1"], "--listen"),
        (["--config", "missing.yml"], "missing.yml: cannot be read"),
        (["--listen", "127.0.0.1:0", "--data", "/proc/nothing"], "data folder /proc/nothing cannot be made"),
    ],
)
def test_a_start_that_cannot_be_says_why(arguments: list[str], message: str, tmp_path: Path) -> None:
    answer = run("standalone", *arguments, cwd=tmp_path)
    assert answer.returncode == 2
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr


def test_the_first_start_makes_an_instance_and_says_how_to_use_it(tmp_path: Path) -> None:
    server = Headrace(tmp_path)
    server.env = {}
    server.start()
    try:
        server.wait_ready()
        banner = server.output()
        [instance] = run("instances", "list", "--data", "data", cwd=tmp_path).stdout.split()
        assert f"url: {server.base}/api/v1/prom/write" in banner
        assert f'username: "{instance}"' in banner
        assert f"headrace instances show {instance} --token" in banner
        shown = json.loads(run("instances", "show", instance, "--token", "--data", "data", cwd=tmp_path).stdout)
        assert shown["token"] not in banner
        answer = fetch(server.base + "/api/v1/query?query=1", headers={"Authorization": f"Bearer {shown['token']}"})
        assert answer.status == 200
        file = tmp_path / "data" / "server.json"
        assert file.stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "data" / "token.key").stat().st_mode & 0o777 == 0o600
        assert server.stop() == 0
        assert not file.exists()
        assert shown["token"] not in server.output()
        server.start()
        server.wait_ready()
        assert run("instances", "list", "--data", "data", cwd=tmp_path).stdout.split() == [instance]
    finally:
        server.kill()


def test_the_command_line_without_a_server_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    stale = {"address": f"http://127.0.0.1:{free_port()}", "pid": 1, "admin_token": "x"}
    for _ in range(2):
        answer = run("instances", "list", "--data", "data", cwd=tmp_path)
        assert answer.returncode == 2
        assert "no Headrace is running on data: start it with" in answer.stderr
        assert "headrace standalone --data data`, or name its folder with --data" in answer.stderr
        (tmp_path / "data" / "server.json").write_text(json.dumps(stale))  # what a killed server leaves


def test_bootstrap_sets_the_token_at_every_start(server: Headrace) -> None:
    assert fetch(server.base + "/api/v1/labels", headers=server.basic).status == 200
    assert server.stop() == 0
    server.env = {**server.env, "HEADRACE_BOOTSTRAP_TOKEN": "another-token-0123456789"}
    server.start()
    server.wait_ready()
    assert fetch(server.base + "/api/v1/labels", headers=server.bearer).status == 401
    another = {"Authorization": "Bearer another-token-0123456789"}
    assert fetch(server.base + "/api/v1/labels", headers=another).status == 200


def test_config_check(tmp_path: Path) -> None:
    (tmp_path / "good.yml").write_text("listen: 127.0.0.1:1\n")
    (tmp_path / "bad.yml").write_text("lissen: 127.0.0.1:1\n")
    assert run("config", "check", "good.yml", cwd=tmp_path).returncode == 0
    answer = run("config", "check", "bad.yml", cwd=tmp_path, HEADRACE_QUERY__THREADS="many")
    assert answer.returncode == 2
    assert "did you mean listen?" in answer.stderr
    assert "query.threads (HEADRACE_QUERY__THREADS)" in answer.stderr
    assert "HEADRACE_PORT" in run("config", "check", cwd=tmp_path, HEADRACE_PORT="x").stderr


def test_fsck_accepts_a_good_folder_and_finds_a_flipped_bit(server: Headrace) -> None:
    assert server.write(some_samples(100)).status == 204
    server.flush()
    assert server.write(some_samples(10)).status == 204
    server.signal(signal.SIGKILL)
    server.kill()
    answer = run("fsck", "--data", "data", cwd=server.folder)
    assert answer.returncode == 0, answer.stdout
    assert "no problems" in answer.stdout
    [pack] = (server.folder / "data" / "store" / "packs").iterdir()
    content = bytearray(pack.read_bytes())
    content[len(content) // 2] ^= 1
    pack.write_bytes(content)
    answer = run("fsck", "--data", "data", cwd=server.folder)
    assert answer.returncode == 1
    assert "PROBLEM" in answer.stdout
    assert "Traceback" not in answer.stderr
    assert run("fsck", "--data", "elsewhere", cwd=server.folder).returncode == 2


def test_a_damaged_log_stops_the_start_with_its_place(server: Headrace) -> None:
    for _ in range(3):
        assert server.write(some_samples(100)).status == 204
    server.kill()
    [segment] = (server.folder / "data" / "log").glob("*")
    content = bytearray(segment.read_bytes())
    content[len(content) // 4] ^= 1
    segment.write_bytes(content)
    server.start()
    assert server.child is not None
    assert server.child.wait(60) == 2
    assert segment.name in server.output()
    assert "Traceback" not in server.output()


def test_a_second_signal_does_not_wait_for_the_drain(server: Headrace) -> None:
    assert server.write(some_samples()).status == 204
    before = server.query("up")
    packs = server.folder / "data" / "store" / "packs"
    packs.rename(packs.with_name("away"))  # nothing can be stored, so the drain would try for a minute
    server.signal(signal.SIGTERM)
    while "ingester_failed" not in server.output():
        time.sleep(0.01)
    assert server.stop(timeout=30) == 0
    assert "drain_incomplete" in server.output()
    packs.with_name("away").rename(packs)
    server.start()
    server.wait_ready()
    assert server.query("up", time=before[0]["value"][0]) == before


def test_version_and_help(tmp_path: Path) -> None:
    assert run("version", cwd=tmp_path).stdout.startswith("headrace ")
    assert "standalone" in run("--help", cwd=tmp_path).stdout


def test_partitions_stay_as_the_folder_was_made(server: Headrace) -> None:
    assert server.write(some_samples()).status == 204
    assert server.stop() == 0
    server.env = {**server.env, "HEADRACE_PARTITIONS": "7"}
    server.start()
    server.wait_ready()
    assert '"in_force": 4, "setting": 7, "event": "partitions_are_fixed"' in server.output()
    assert len(server.query("up")) == 3


def test_a_lost_key_is_said_before_a_token_is_asked_for(server: Headrace) -> None:
    assert server.stop() == 0
    (server.folder / "data" / "token.key").unlink()
    answer = run("standalone", "--listen", "127.0.0.1:0", "--data", "data", cwd=server.folder)
    assert answer.returncode == 2
    [line] = answer.stderr.splitlines()
    assert "data/token.key is missing" in line
    assert "bring it back" in line
