"""Prometheus's client for Java, pushing. `scripts/java.sh` puts it into `.tools/`."""

import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.support.tools import ROOT

JARS = ROOT / ".tools" / "java" / "jars"
PROGRAM = Path(__file__).parent / "java" / "PushFromJava.java"


class JavaClient:
    """A running `PushFromJava.java`."""

    def __init__(self, address: str, user: str) -> None:
        """Skips the test, which in CI is a failure, where the client or a Java that compiles is not here."""
        self._process = subprocess.Popen(
            [_java(), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{JARS}/*", PROGRAM, address, user],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, action: str, *, token: str, form: str = "protobuf") -> str:
        """`push`, `pushAdd` or `delete`; "ok", or "failed" and why."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{form} {token} {action}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()


def _java() -> str:
    found = shutil.which("java")
    if found is not None and JARS.is_dir():
        modules = subprocess.run(
            [found, "--list-modules"], capture_output=True, text=True, check=True, timeout=60
        ).stdout
        if "jdk.compiler@" in modules:
            return found
    message = "Prometheus's client for Java, or a java that compiles, is not here: run scripts/java.sh"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
