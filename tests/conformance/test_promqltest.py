"""Prometheus's language tests and our own. What cannot pass yet is listed, and must fail."""

import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from querier.promql import ALL_FEATURES, Features

from .promqltest.runner import run_file

_HERE = Path(__file__).parent
OURS = sorted((_HERE / "cases").glob("*.test"))
_UPSTREAM = Path(os.environ.get("PROMQLTEST_DIR", _HERE.parents[2] / "shared" / "promqltest"))
THEIRS = sorted(_UPSTREAM.glob("*.test"))


def known_failures() -> dict[str, dict[int, str]]:
    """File → line → why it fails."""
    known: dict[str, dict[int, str]] = defaultdict(dict)
    reason = ""
    for line in (_HERE / "known_failures.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            reason = line.strip("[]")
        elif line and not line.startswith("#"):
            file, *numbers = line.split()
            for number in numbers:
                assert int(number) not in known[file], f"{file}:{number} is listed twice"
                known[file][int(number)] = reason
    return known


def features_of(path: Path) -> Features:
    """All is on but what changes the meaning of a query: each of that has a file of its own."""
    return replace(
        ALL_FEATURES,
        delayed_name_removal=path.stem == "delayed_names",
        type_and_unit_labels=path.stem == "types",
    )


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_our_cases(path: Path) -> None:
    outcomes = list(run_file(path, features_of(path)))
    assert outcomes
    assert [outcome for outcome in outcomes if outcome.failure] == []


@pytest.mark.skipif(not THEIRS, reason=f"no .test files in {_UPSTREAM}; set PROMQLTEST_DIR")
@pytest.mark.parametrize("path", THEIRS, ids=lambda path: path.stem)
def test_cases_of_prometheus(path: Path) -> None:
    known = known_failures()[path.name]
    outcomes = list(run_file(path))
    assert outcomes
    unexpected = [
        f"{path.name}:{outcome.line} {outcome.query}: {outcome.failure}"
        for outcome in outcomes
        if outcome.failure and outcome.line not in known
    ]
    surprising = [
        f"{path.name}:{outcome.line} passes although it is listed under {known[outcome.line]!r}"
        for outcome in outcomes
        if not outcome.failure and outcome.line in known
    ]
    gone = sorted(known.keys() - {outcome.line for outcome in outcomes})
    assert unexpected + surprising == []
    assert gone == [], f"known_failures.txt names lines of {path.name} without an evaluation"
