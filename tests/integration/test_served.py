"""What a Headrace answers and keeps, standalone and as a cluster alike."""

import json
import secrets
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.cluster import within_change
from tests.support.processes import ADMIN_TOKEN, Answer, fetch, run
from tests.support.remote_write import body, some_samples
from tests.support.served import Served

EVERY_ROUTE = [
    ("GET", "/api/v1/query?query=1"),
    ("POST", "/api/v1/query?query=1"),
    ("GET", "/api/v1/query_range?query=1&start=1&end=2&step=1"),
    ("GET", "/api/v1/series?match[]=up"),
    ("GET", "/api/v1/labels"),
    ("GET", "/api/v1/label/job/values"),
    ("GET", "/api/v1/metadata"),
    ("GET", "/api/v1/format_query?query=1"),
    ("GET", "/api/v1/parse_query?query=1"),
    ("GET", "/api/v1/query_exemplars?query=up"),
    ("GET", "/api/v1/rules"),
    ("GET", "/api/v1/alerts"),
    ("GET", "/api/v1/targets"),
    ("GET", "/api/v1/status/buildinfo"),
    ("GET", "/api/v1/status/runtimeinfo"),
    ("GET", "/api/v1/status/flags"),
    ("GET", "/api/v1/status/config"),
    ("GET", "/api/v1/status/tsdb"),
    ("GET", "/api/v1/status/rejections"),
    ("GET", "/api/v1/status/usage"),
    ("GET", "/api/v1/features"),
    ("POST", "/api/v1/write"),
    ("POST", "/api/v1/prom/write"),
    ("POST", "/api/v1/import/prometheus"),
    ("PUT", "/metrics/job/x/instance/y"),
    ("POST", "/metrics/job@base64/eA"),
    ("DELETE", "/metrics/job/x"),
    ("PUT", "/api/v1/push/wipe"),
    ("GET", "/api/v1/push/groups"),
    ("GET", "/api/v1/push/metrics"),
]


def test_every_path_takes_both_schemes_and_nothing_else(server: Served) -> None:
    for method, path in EVERY_ROUTE:
        url = server.base + path
        data, kind = (body(), {"Content-Type": "application/x-protobuf"}) if path.endswith("write") else (None, {})
        for headers in (server.bearer, server.basic):
            answer = fetch(url, method=method, data=data, headers={**kind, **headers})
            assert answer.status in {200, 202, 204}, (path, answer.body)
        for wrong in ({}, {"Authorization": "Bearer nobody-knows-this-token"}, {"Authorization": "Basic eDp5"}):
            answer = fetch(url, method=method, data=data, headers={**kind, **wrong})
            assert answer.status == 401, path
            assert answer.json()["status"] == "error"
            assert "Basic" in answer.headers["www-authenticate"]


def test_probes_and_metrics_need_no_credential(server: Served) -> None:
    for path in ("/ready", "/healthz", "/-/ready", "/-/healthy"):
        assert fetch(server.base + path).status == 200
        assert fetch(server.base + path, method="HEAD").status == 200
    host, port = server.address_of("/metrics")
    assert b"headrace_build_info{" in fetch(f"http://{host}:{port}/metrics").body


def test_what_is_written_survives_a_stop_and_a_kill(server: Served) -> None:
    assert server.write(some_samples()).status == 204
    before = server.query("up")
    assert len(before) == 3
    at = before[0]["value"][0]
    assert server.stop() == 0
    server.start()
    server.wait_ready()
    assert server.held_samples() == 0  # drained: nothing was replayed
    assert server.query("up", time=at) == before
    assert server.write(some_samples(5)).status == 204
    server.kill()
    server.start()
    server.wait_ready()
    assert len(server.query("up")) == 5
    assert server.query("up", time=at) == before


def test_flush_leaves_nothing_in_memory(server: Served) -> None:
    assert server.write(some_samples()).status == 204
    assert server.held_samples() > 0
    for headers in (server.bearer, {"X-Headrace-Admin": "wrong-wrong-wrong-wrong"}):
        assert fetch(server.base + "/api/v1/admin/flush", method="POST", headers=headers).status == 401
    server.flush()
    assert server.held_samples() == 0
    assert len(server.query("up")) == 3


def test_instances_from_the_command_line(server: Served) -> None:
    def cli(*arguments: str) -> str:
        answer = server.instances(*arguments)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    def as_team(token: str, path: str = "/api/v1/query?query=up") -> Callable[[], Answer]:
        return lambda: fetch(server.base + path, headers={"Authorization": f"Bearer {token}"})

    assert server.write(some_samples()).status == 204
    team = f"team-{secrets.token_hex(4)}"
    token = cli("create", "--app-id", team).split()[-1]
    assert {server.app_id, team} <= set(cli("list").split())
    assert within_change(as_team(token), 200).json()["data"]["result"] == []  # nobody reads another's data
    fresh = cli("rotate-token", team).strip()
    within_change(as_team(token), 401)
    within_change(as_team(fresh), 200)
    cli("set-limit", team, "max_query_points=5", "max_age_s=none")
    assert json.loads(cli("show", team))["limits"]["max_query_points"] == 5
    within_change(as_team(fresh, "/api/v1/query_range?query=1&start=0&end=10&step=1"), 400)
    features = "/api/v1/parse_query?query=pi()%20%2B%20start()"
    assert "set-feature APPID experimental_functions=on" in as_team(fresh, features)().body.decode()
    cli("set-feature", team, "experimental_functions=on")
    within_change(as_team(fresh, features), 200)
    cli("delete", team, "--yes")
    within_change(as_team(fresh), 401)
    for arguments, message in (
        (["show", team], f"there is no instance {team}"),
        (["set-limit", server.app_id, "max_serie=1"], "there is no limit max_serie"),
        (["set-limit", server.app_id, "max_series"], "NAME=VALUE"),
        (["set-feature", server.app_id, "fast=on"], "there is no feature fast"),
        (["create", "--app-id", server.app_id], "already"),
        (["create", "--token", "short"], "16 to 512 characters"),
    ):
        answer = server.instances(*arguments)
        assert answer.returncode == 2
        assert message in answer.stderr


def test_usage_is_shown_to_the_instance_and_to_the_operator(server: Served) -> None:
    def used() -> tuple[int, float, int]:
        answer = server.get("/api/v1/status/usage").json()["data"]
        return answer["activeSeries"], answer["samplesPerSecond"], answer["storedBytes"]

    assert used() == (0, 0, 0)
    at_ms = int(time.time() * 1000)
    series = [({"__name__": "m", "n": str(n)}, [(at_ms - t * 1000, 1.0) for t in range(30)]) for n in range(40)]
    assert server.write(body(series)).status == 204
    assert len(server.query("m")) == 40
    active, rate, stored = used()
    assert (active, stored) == (40, 0)
    assert 1200 / 66 < rate <= 1200 / 60, "once, not for each zone"
    [row] = json.loads(server.instances("usage", server.app_id, "-o", "json").stdout)
    assert (row["app_id"], row["active_series"], row["stored_bytes"]) == (server.app_id, 40, 0)
    server.flush()
    active, rate, stored = used()
    assert active == 0
    assert 0 < rate <= 1200 / 60
    assert 200 < stored < 20_000
    table = [line.split() for line in server.instances("usage").stdout.splitlines()]
    assert table[0] == ["APPID", "SERIES", "SAMPLES/S", "STORED", "BYTES"]
    [line] = [line for line in table if line[0] == server.app_id]
    assert (line[1], int(line[3])) == ("0", stored)
    missing = server.instances("usage", "nobody")
    assert (missing.returncode, missing.stderr) == (2, "headrace: there is no instance nobody\n")
    assert fetch(server.base + "/api/v1/admin/usage", headers=server.bearer).status == 401


def test_questions_from_the_command_line(server: Served, tmp_path: Path) -> None:
    assert server.write(some_samples()).status == 204

    def ask(*arguments: str, token: str = server.token) -> subprocess.CompletedProcess[str]:
        return run("query", *arguments, "--url", server.base, cwd=tmp_path, HEADRACE_TOKEN=token)

    assert ask("count(up)").stdout.split() == ["series", "value", "{}", "3"]
    assert json.loads(ask("count(up)", "-o", "json").stdout)["data"]["resultType"] == "vector"
    assert "up{" in ask("up", "--start", "5m", "-o", "graph").stdout
    assert "AggregateInstant op=count" in ask("count(up)", "--explain").stdout
    assert "samples read" in ask("count(up)", "--analyze").stdout
    for arguments, token, message in (
        (["up{"], server.token, 'invalid parameter "query": 1:4: parse error'),
        (["up"], "a-token-that-nobody-knows", "the server does not know this token"),
        (["up"], "", "give it with --token-file or in HEADRACE_TOKEN"),
    ):
        answer = ask(*arguments, token=token)
        assert answer.returncode == 1
        assert message in answer.stderr
        assert "Traceback" not in answer.stderr


def test_admin_api_answers_in_envelopes(server: Served) -> None:
    admin = {"X-Headrace-Admin": ADMIN_TOKEN, "Content-Type": "application/json"}
    base = server.base + "/api/v1/admin/instances"
    for method, url, data, status, kind in (
        ("GET", base + "/nobody", None, 404, "not_found"),
        ("GET", base + "/a/b/c", None, 404, "not_found"),
        ("PUT", base, None, 405, "bad_data"),
        ("POST", base, b"{", 400, "bad_data"),
        ("POST", base, b'{"limits": 3}', 400, "bad_data"),
        ("POST", base, b'{"unknown": 3}', 400, "bad_data"),
        ("POST", base, b'{"app_id": "a b"}', 400, "bad_data"),
        ("POST", base, json.dumps({"app_id": server.app_id}).encode(), 409, "conflict"),
    ):
        answer = fetch(url, method=method, data=data, headers=admin)
        assert (answer.status, answer.json()["errorType"]) == (status, kind), answer.body
        assert fetch(url, method=method, data=data, headers={"Content-Type": "application/json"}).status in {
            401,
            status,
        }
    assert fetch(base, headers=server.bearer).status == 401
    config = fetch(server.base + "/config", headers=admin)
    assert config.status == 200
    assert ADMIN_TOKEN.encode() not in config.body
