"""Frames from plain rows and back, so that a test reads like a table."""

from __future__ import annotations

import json

from shared import native

Labels = dict[str, str]
Rows = list[tuple[Labels, list[float | None]]]

STEP_MS = 60_000


def grid_of(steps: int) -> native.Grid:
    return (0, STEP_MS, steps)


def series_of(query: native.Query, rows: Rows) -> native.SeriesSet:
    """One sample per step; None leaves a gap."""
    return native.series_from_samples(
        query,
        [
            (
                labels,
                [step * STEP_MS for step, value in enumerate(values) if value is not None],
                [value for value in values if value is not None],
            )
            for labels, values in rows
        ],
    )


def frame_of(query: native.Query, rows: Rows) -> native.Frame:
    """A cell per step, absent where the row has None."""
    steps = max((len(values) for _, values in rows), default=1)
    return native.select_instant(query, series_of(query, rows), grid_of(steps), offset_ms=0, lookback_ms=1)


def rows_of(query: native.Query, frame: native.Frame) -> Rows:
    """Rows with any cell, sorted by labels."""
    text, _ = native.json_matrix(query, frame, grid_of(frame.steps), 0)
    rows: Rows = []
    for row in json.loads(text):
        values: list[float | None] = [None] * frame.steps
        for seconds, value in row["values"]:
            values[int(seconds * 1000) // STEP_MS] = float(value)
        rows.append((row["metric"], values))
    return rows


def match(query: native.Query, op: str, left: native.Frame, right: native.Frame, **options: object) -> Rows:
    """`left op right`, one-to-one on all labels unless `options` say otherwise."""
    defaults = {"card": "one-to-one", "on": False, "labels": [], "include": [], "return_bool": False}
    return rows_of(query, native.binary(query, op, left, right, **(defaults | options)))
