"""What a check has found."""

from dataclasses import dataclass, field

from shared.errors import HeadraceError
from shared.native import CorruptError, UnsupportedError

DAMAGE = (HeadraceError, CorruptError, UnsupportedError, OSError, ValueError)
"""What reading something damaged raises."""


class CheckError(Exception):
    """What is to be checked cannot be looked at; the text says why."""


@dataclass(slots=True)
class Report:
    facts: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        verdict = f"{len(self.problems)} problems" if self.problems else "no problems"
        return "\n".join([*self.facts, *(f"PROBLEM {problem}" for problem in self.problems), verdict])
