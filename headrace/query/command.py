"""`headrace query`: the options, and what is printed."""

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from headrace.load.command import TOKEN_VARIABLE
from headrace.query.errors import QueryError

DEFAULT_URL = "http://127.0.0.1:9009"
FAILED = 1


class Output(Enum):
    """How an answer is shown."""

    TABLE = "table"
    GRAPH = "graph"
    JSON = "json"


def query(
    expression: Annotated[str, typer.Argument(help="In PromQL.", metavar="EXPR", show_default=False)],
    url: Annotated[
        str, typer.Option(envvar="HEADRACE_URL", help="Address of a server, or of a gateway to a cluster.")
    ] = DEFAULT_URL,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help=f"A file with the token of an instance; by default {TOKEN_VARIABLE} holds it.", show_default=False
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--time", help="When, of an instant query: now, 2h (ago), 2026-01-31T12:00:00Z.", metavar="TIME"),
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="Makes it a range query from this time on.", metavar="TIME", show_default=False)
    ] = None,
    end: Annotated[
        str | None, typer.Option(help="End of the range; by default now.", metavar="TIME", show_default=False)
    ] = None,
    step: Annotated[
        str | None,
        typer.Option(help="Step of the range; by default a 120th of it.", metavar="LENGTH", show_default=False),
    ] = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="How to show the answer.")] = Output.TABLE,
    explain: Annotated[bool, typer.Option("--explain", help="Show the plan; run nothing.")] = False,
    analyze: Annotated[bool, typer.Option("--analyze", help="Run it, and show what each part took.")] = False,
    timeout: Annotated[str, typer.Option(help="Longest that it may take.", metavar="LENGTH")] = "2m",
) -> None:
    """Ask a server in PromQL, and show the answer as a table, as a graph in the terminal, or as JSON."""
    from headrace.query import running  # the other commands need none of it

    try:
        path, form = running.request_of(expression, at, start, end, step)
        if explain or analyze:
            form["explain"] = "analyze" if analyze else "1"
        answer = running.answer_of(url, token_file, path, form, timeout)
        print(running.shown(answer, output.value, is_explained=explain or analyze))
    except QueryError as error:
        for line in str(error).splitlines():
            print(f"headrace: {line}", file=sys.stderr)
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:  # the connection is closed, so the server stops too
        raise typer.Exit(130) from None
    for kind in ("warnings", "infos"):
        for text in answer.get(kind, ()):
            print(f"headrace: {text}", file=sys.stderr)
