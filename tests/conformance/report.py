"""`python -m tests.conformance.report DIR`: every evaluation that fails, and how many pass."""

import sys
from pathlib import Path

from .promqltest.runner import run_file


def main() -> None:
    passed = total = 0
    for path in sorted(Path(sys.argv[1]).glob("*.test")):
        for outcome in run_file(path):
            total += 1
            passed += outcome.failure is None
            if outcome.failure:
                print(f"{outcome.file}:{outcome.line}\t{outcome.query[:100]}\t{outcome.failure[:300]}")
    print(f"{passed} of {total} pass")


if __name__ == "__main__":
    main()
