"""What `headrace query` asks for, and what it says when that goes wrong."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from headrace.cli import app
from headrace.query.asking import Server
from headrace.query.errors import QueryError
from headrace.query.moments import moment_of, seconds_of
from headrace.query.running import request_of
from tests.support.processes import free_port

NOW_S = 1_700_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("now", NOW_S),
        ("2h", NOW_S - 7200),
        ("-2h", NOW_S - 7200),
        ("now-1h30m", NOW_S - 5400),
        ("1600000000.5", 1_600_000_000.5),
        ("2023-11-14T22:13:20Z", NOW_S),
        ("2023-11-14T22:13:20", NOW_S),
        ("2023-11-14T23:13:20+01:00", NOW_S),
    ],
)
def test_moments(text: str, seconds: float) -> None:
    assert moment_of(text, NOW_S) == seconds


@pytest.mark.parametrize("text", ["", "soon", "now+1h", "2023-13-01"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(QueryError, match="is no time: write now, 2h"):
        moment_of(text, NOW_S)


def test_lengths() -> None:
    assert (seconds_of("15s"), seconds_of("1h30m"), seconds_of("0.5")) == (15, 5400, 0.5)
    for text in ("", "0", "-1", "x", "nan", "inf"):
        with pytest.raises(QueryError, match="is no length of time"):
            seconds_of(text)


def test_requests() -> None:
    path, form = request_of("up", "1000", None, None, None)
    assert (path, form) == ("query", {"query": "up", "time": "1000.000"})
    path, form = request_of("up", None, "1000", "1600", None)
    assert (path, form["start"], form["end"], form["step"]) == ("query_range", "1000.000", "1600.000", "5.000")
    for wrong, message in (
        ((None, None, "1", None), "begins with --start"),
        (("1", "1", None, None), "give one of them"),
        ((None, "2", "1", None), "the end lies before the start"),
    ):
        with pytest.raises(QueryError, match=message):
            request_of("up", *wrong)


def test_the_token_is_never_shown_nor_taken_from_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_TOKEN", "of-the-variable")
    assert Server.of("http://h:1", None).token == "of-the-variable"
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    server = Server.of("http://h:1/", file)
    assert (server.url, server.token) == ("http://h:1", "s3cret")
    assert "s3cret" not in repr(server)
    with pytest.raises(QueryError, match="a URL is seen by others") as refused:
        Server.of("http://u:s3cret@h:1", None)
    assert "s3cret" not in str(refused.value)


def test_a_token_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="cannot be read: No such file"):
        Server.of("http://h:1", tmp_path / "absent")
    (tmp_path / "two").write_text("a\nb\n")
    with pytest.raises(QueryError, match="must hold one token"):
        Server.of("http://h:1", tmp_path / "two")
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(QueryError, match="it is not text"):
        Server.of("http://h:1", tmp_path / "bytes")


@pytest.mark.parametrize("url", ["localhost:9009", "ftp://h", "http://", "http://h/?a=1"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(QueryError, match="--url takes http://HOST:PORT"):
        Server.of(url, None)


def test_nobody_there() -> None:
    answer = CliRunner().invoke(app, ["query", "up", "--url", f"http://127.0.0.1:{free_port()}"])
    assert answer.exit_code == 1
    assert "does not answer" in answer.stderr
    assert "name a server with --url" in answer.stderr
