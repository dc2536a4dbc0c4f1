"""`headrace load` without a server worth the name: what its options mean, and what it exits with."""

import json
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from headrace.cli import app
from headrace.load.asking import read_questions
from headrace.load.command import seconds_of, share, share_per_hour, start_of
from headrace.load.errors import LoadError
from tests.support.processes import free_port


@pytest.mark.parametrize(
    ("text", "seconds"), [("15s", 15), ("250ms", 0.25), ("1h30m", 5400), ("2d", 172_800), ("1.5", 1.5), ("0", 0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "15 s", "1h-5m", "-1", "nan", "inf", "1w"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        seconds_of(text)


def test_shares() -> None:
    assert (share("0.3"), share("30%"), share("0")) == (0.3, 0.3, 0)
    assert (share_per_hour("5%/h"), share_per_hour("5%"), share_per_hour("5")) == (0.05, 0.05, 0.05)
    for text in ("x", "1.1", "-1%", "nan"):
        with pytest.raises(typer.BadParameter):
            share(text)
    for text in ("x", "-1%", "5/h/h"):
        with pytest.raises(typer.BadParameter):
            share_per_hour(text)


def test_beginnings() -> None:
    assert start_of("1970-01-02T00:00:00+00:00") == 86_400_000
    assert start_of("86400") == 86_400_000
    assert abs(start_of("2h") - (time.time() - 7200) * 1000) < 60_000
    with pytest.raises(typer.BadParameter):
        start_of("yesterday")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["nowhere"], "http://HOST:PORT"),
        (["http://u:secret@h"], "--instances"),
        (["http://h", "--speed", "2", "--rate", "5"], "not both"),
        (["http://h", "--speed", "2"], "--from or --duration"),
        (["http://h", "--instances", "missing"], "APPID:TOKEN in each line"),
        (["http://h", "--instances", "shop:"], "entry 1"),
        (["http://h", "--instances", "empty"], "no instance"),
        (["http://h", "--jitter", "8s"], "jitter"),
        (["http://h", "--queries", "missing.yml"], "missing.yml"),
        (["http://h", "--interval", "soon"], "'soon' is no duration"),
    ],
)
def test_wrong_options_are_said_before_anything_is_sent(
    options: list[str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text("# nobody\n")
    answer = CliRunner(env={"TERMINAL_WIDTH": "200"}).invoke(app, ["load", *options])
    assert answer.exit_code == 2
    assert reason in answer.stderr
    assert "secret" not in answer.stderr


def test_no_server_is_one_line() -> None:
    answer = CliRunner().invoke(app, ["load", f"http://127.0.0.1:{free_port()}"])
    assert answer.exit_code == 2
    [line] = answer.stderr.splitlines()
    assert "no server takes writes" in line


def test_queries_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps([{"expr": "up"}, {"name": "r", "expr": "rate(x[5m])", "range": 3600, "step": 60}]))
    instant, ranged = read_questions(file)
    assert instant.path(1_500) == "/api/v1/query?query=up&time=1.500"
    assert "start=-3598.500&end=1.500&step=60" in ranged.path(1_500)
    for text, reason in (
        ("[", "cannot be read"),
        ("{}", "write a list"),
        ("[1]", "query 1"),
        ("[{expr: up, rang: 3}]", "query 1"),
        ("[{expr: up, range: x}]", "numbers of seconds"),
        ("[{expr: up, step: 0}]", "more than 0"),
    ):
        file.write_text(text)
        with pytest.raises(LoadError, match=reason):
            read_questions(file)
