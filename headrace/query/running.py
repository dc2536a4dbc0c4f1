"""From options to what is printed."""

import json
import math
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from headrace.query import graph, table, tree
from headrace.query.answer import series_of
from headrace.query.asking import Server
from headrace.query.errors import QueryError
from headrace.query.moments import moment_of, seconds_of

POINTS = 120
"""Of a range without a step: about what a terminal shows."""


def request_of(
    expression: str, at: str | None, start: str | None, end: str | None, step: str | None
) -> tuple[str, dict[str, str]]:
    """Path and parameters. Raises QueryError."""
    now_s = time.time()
    if start is None:
        if end is not None or step is not None:
            raise QueryError("--end and --step belong to a range, which begins with --start")
        return "query", {"query": expression, "time": f"{moment_of(at or 'now', now_s):.3f}"}
    if at is not None:
        raise QueryError("--time is of an instant query, --start of a range: give one of them")
    start_s, end_s = moment_of(start, now_s), moment_of(end or "now", now_s)
    if end_s < start_s:
        raise QueryError("the end lies before the start")
    step_s = max(1, math.ceil((end_s - start_s) / POINTS)) if step is None else seconds_of(step)
    form = {"query": expression, "start": f"{start_s:.3f}", "end": f"{end_s:.3f}", "step": f"{step_s:.3f}"}
    return "query_range", form


def answer_of(url: str, token_file: Path | None, path: str, form: Mapping[str, str], timeout: str) -> dict[str, Any]:
    """Raises QueryError."""
    return Server.of(url, token_file).ask(path, form, seconds_of(timeout))


def shown(answer: Mapping[str, Any], output: Literal["table", "graph", "json"], *, is_explained: bool) -> str:
    """The answer as it is printed. Raises QueryError for what cannot be shown like that."""
    data = answer["data"]
    if output == "json":
        return json.dumps(answer, indent=2, ensure_ascii=False)
    if is_explained:
        if "explain" not in data:
            raise QueryError("this server does not explain queries")
        return tree.drawn(data["explain"])
    if data.get("resultType") == "string":
        return str(data["result"][1])
    series = series_of(data)
    is_matrix = data["resultType"] == "matrix"
    if output == "table":
        return table.of_matrix(series) if is_matrix else table.of_vector(series)
    if not is_matrix:
        return graph.of_vector(series)
    terminal = shutil.get_terminal_size((100, 30))
    return graph.of_matrix(series, terminal.columns, min(terminal.lines - 6, 20), colours=sys.stdout.isatty())
