"""The test language against a running server: loaded by remote write, asked over HTTP, each segment an instance.

Before anything is asked, some of the samples are in blocks of the store and the others in memory: of every three
windows one is wholly here, one wholly there, and in the third each sample lies elsewhere than its neighbours. So an
answer has to be merged from both.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from querier.promql import Features, Result
from shared import native
from shared.errors import BadDataError, ExecutionError, HeadraceError
from tests.support.keepalive import Asker
from tests.support.processes import ADMIN_TOKEN

from .expectation import Answer
from .language import Eval, Load
from .runner import Target
from .storage import loaded
from .writing import written

WINDOW_MS = 600_000
"""The server's, so that most loads span several."""

_ADMIN = {"X-Headrace-Admin": ADMIN_TOKEN, "Content-Type": "application/json"}
_ERRORS: dict[str, type[HeadraceError]] = {"bad_data": BadDataError, "execution": ExecutionError}


def is_stored_first(at_ms: int, index: int) -> bool:
    """Whether a sample is among those that are brought into the store."""
    return (True, False, index % 2 == 0)[at_ms // WINDOW_MS % 3]


@dataclass(frozen=True)
class Instance(Target):
    """A fresh instance of a server, and what it is asked."""

    server: Asker
    headers: Mapping[str, str]
    features: Features
    is_asked_twice: bool = False

    @classmethod
    def make(cls, server: Asker, features: Features) -> "Instance":
        body = json.dumps({"features": asdict(features)}).encode()
        status, answer = server.post("/api/v1/admin/instances", body, _ADMIN)
        assert status == 200, answer
        token = json.loads(answer)["data"]["token"]
        return cls(server, {"Authorization": f"Bearer {token}"}, features)

    def load(self, command: Load) -> None:
        """All of it."""
        self.load_part(command, None)

    def load_part(self, command: Load, first: bool | None) -> None:
        """What `is_stored_first`, or what is not, or all."""
        series = [
            (labels, [sample for sample in samples if first in (None, is_stored_first(sample.time_ms, sample.place))])
            for labels, samples in loaded(command)
        ]
        series = [(labels, samples) for labels, samples in series if samples]
        if not series:
            return
        body, headers = written(series)
        status, answer = self.server.post("/api/v1/prom/write", body, {**self.headers, **headers})
        assert status == 204, answer

    def query(
        self, text: str, grid: native.Grid, shown: native.Grid, *, is_range: bool, end_ms: int
    ) -> tuple[Result, Answer]:
        start_ms, step_ms, _ = grid
        if is_range:
            form = {"query": text, "start": _seconds(start_ms), "end": _seconds(end_ms), "step": _seconds(step_ms)}
        else:
            form = {"query": text, "time": _seconds(start_ms)}
        path = "/api/v1/query_range" if is_range else "/api/v1/query"
        status, body = self.server.post(path, form, self.headers)
        answer = json.loads(body)
        if status != 200:
            raise _ERRORS[answer["errorType"]](answer["error"].removeprefix('invalid parameter "query": '))
        result = _result(answer)
        return result, Answer(result, None, shown)


def _result(answer: Any) -> Result:
    data = answer["data"]
    return Result(
        type=data["resultType"],
        json=json.dumps(data["result"]).encode(),
        warnings=answer.get("warnings", []),
        infos=answer.get("infos", []),
        is_truncated=False,
    )


def _seconds(time_ms: int) -> str:
    return f"{time_ms / 1000:.3f}"


def leading_loads(commands: list[Load | Eval]) -> list[Load]:
    """Those before the first evaluation."""
    loads: list[Load] = []
    for command in commands:
        if not isinstance(command, Load):
            break
        loads.append(command)
    return loads
