"""Real processes on loopback: started on free ports, waited for, and always ended."""

import base64
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

APP_ID = "it"
TOKEN = "integration-token-0123456789abcdef"
ADMIN_TOKEN = TOKEN


_PORTS = (10_000, 32_000)
"""Below those that the kernel gives to outgoing connections, which would take one that is free at the moment."""


def free_port() -> int:
    while True:
        port = random.SystemRandom().randrange(*_PORTS)
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def fetch(
    url: str,
    *,
    data: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    method: str | None = None,
    timeout: float = 60,
) -> Answer:
    """Any status is an answer; only a connection that fails raises (OSError)."""
    request = urllib.request.Request(url, data=data, headers=dict(headers or {}), method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as f:
            return Answer(f.status, dict(f.headers), f.read())
    except urllib.error.HTTPError as e:
        with e:
            return Answer(e.code, dict(e.headers), e.read())


def _dying_with_us() -> list[str]:
    """What to put before a command so that the kernel ends it with this process, however that ends.

    It holds for the thread that starts the child, so only the main thread can use it.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None or threading.current_thread() is not threading.main_thread():
        return []
    return [setpriv, "--pdeathsig", "KILL"]


@dataclass
class Process:
    """A child whose output goes to a file, so that a failure can show it."""

    argv: Sequence[str]
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "output").open("ab") as output:
            self.child = subprocess.Popen(
                [*_dying_with_us(), *self.argv],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                env={**os.environ, **self.env},
            )

    def output(self) -> str:
        return (self.folder / "output").read_text(errors="replace")

    def wait_until(self, url: str, *, timeout: float = 60) -> None:
        assert self.child is not None
        end = time.monotonic() + timeout
        last: object = None
        while time.monotonic() < end:
            assert self.child.poll() is None, (
                f"{self.argv[0]} ended with {self.child.returncode}:\n{self.output()[-4000:]}"
            )
            try:
                answer = fetch(url, timeout=5)
                if answer.status == 200:
                    return
                last = answer.body[:200]
            except OSError as e:
                last = e
            time.sleep(0.03)
        raise AssertionError(f"{url} did not answer 200 in {timeout} s ({last!r}):\n{self.output()[-4000:]}")

    def signal(self, number: int) -> None:
        assert self.child is not None
        self.child.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and gone when it returns."""
        if self.child is not None:
            self.child.kill()
            self.child.wait()

    def stop(self, *, timeout: float = 60) -> int:
        """SIGTERM; returns the exit code."""
        assert self.child is not None
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        try:
            return self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.argv[0]} ignored SIGTERM:\n{self.output()[-4000:]}") from None


def run(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command line, with no settings but `variables`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return subprocess.run(
        [sys.executable, "-m", "headrace", *arguments],
        cwd=cwd,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


PATIENCE_S = 30.0


class Api:
    """A Headrace as its clients see it: one address, and the credentials of one instance."""

    base: str
    app_id: str = APP_ID
    token: str = TOKEN

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def basic(self) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(f"{self.app_id}:{self.token}".encode()).decode()}

    def write(self, body: bytes, *, timeout: float = 30) -> Answer:
        headers = {
            **self.bearer,
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "snappy",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        }
        return fetch(self.base + "/api/v1/prom/write", data=body, headers=headers, timeout=timeout)

    def get(self, path: str, **parameters: str | float | Sequence[str]) -> Answer:
        query = urllib.parse.urlencode(parameters, doseq=True)
        return fetch(f"{self.base}{path}?{query}", headers=self.bearer)

    def query(self, expression: str, **parameters: str | float) -> Any:
        """The result, which holds all that was acknowledged before the call. A machine that is busy with tests may take
        longer for it than the wait of a query; then it is asked again.
        """
        end = time.monotonic() + PATIENCE_S
        while True:
            answer = self.get("/api/v1/query", query=expression, **parameters)
            assert answer.status == 200, answer.body
            found = answer.json()
            late = [text for text in found.get("warnings", ()) if "recent samples may be missing" in text]
            if not late:
                return found["data"]["result"]
            assert time.monotonic() < end, late

    def administer(self, method: str, path: str, body: object = None) -> Answer:
        """`path` is below /api/v1/admin."""
        headers = {"X-Headrace-Admin": ADMIN_TOKEN, "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        return fetch(f"{self.base}/api/v1/admin{path}", method=method, data=data, headers=headers, timeout=120)

    def flush(self) -> None:
        answer = self.administer("POST", "/flush")
        assert answer.status < 300, answer.body


class Headrace(Process, Api):
    """A standalone server with one known instance."""

    def __init__(self, folder: Path, *, port: int | None = None, env: Mapping[str, str] | None = None) -> None:
        self.port = port or free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        super().__init__(
            [
                sys.executable,
                "-m",
                "headrace",
                "standalone",
                "--listen",
                f"127.0.0.1:{self.port}",
                "--data",
                str(folder / "data"),
            ],
            folder,
            {
                "HEADRACE_BOOTSTRAP_APP_ID": APP_ID,
                "HEADRACE_BOOTSTRAP_TOKEN": TOKEN,
                "HEADRACE_ADMIN_TOKEN": ADMIN_TOKEN,
                **(env or {}),
            },
        )

    def wait_ready(self, *, timeout: float = 60) -> None:
        self.wait_until(self.base + "/ready", timeout=timeout)

    def metric(self, name: str) -> float:
        """The sum of its points."""
        return metric_of(self.base, name)


def metric_of(base: str, name: str) -> float:
    """The sum of a metric's points."""
    return sum(points_of(base, name).values())


def points_of(base: str, name: str) -> dict[str, float]:
    """A metric's points, by their labels as they are written."""
    lines = fetch(base + "/metrics").body.decode().splitlines()
    points = (line.rsplit(" ", 1) for line in lines if line.split("{")[0].split(" ")[0] == name)
    return {labels.removeprefix(name): float(value) for labels, value in points}
