"""What the doctor has to say: how bad it is, what it is, and what to do about it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """error: training would fail, or its result mean nothing. warning: it would be worse. note: good to know."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """name     what scripts know it by
    what     what was found, in plain words
    remedy   what to do about it
    count    how many rows, pairs or examples it concerns
    where    ids of some of them
    """

    severity: Severity
    name: str
    what: str
    remedy: str
    count: int = 0
    where: tuple[str, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """`facts` describe the data in numbers; `problems` are all findings, the worst first."""

    facts: Mapping[str, Any]
    problems: Sequence[Finding]

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.problems if finding.severity is Severity.ERROR]

    def to_json(self) -> dict[str, Any]:
        """One JSON object: {"facts": …, "problems": […], "errors": how many}."""
        return {"facts": self.facts, "problems": [asdict(f) for f in self.problems], "errors": len(self.errors)}


def counted(n: int, one: str, many: str = "") -> str:
    """ "1 pair", "1,800 pairs"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def percent(part: float, whole: float) -> str:
    """ "12 %", and "under 1 %" rather than 0 where there is something."""
    share = 100 * part / whole if whole else 0.0
    return "under 1 %" if 0 < share < 0.5 else f"{share:.0f} %"
