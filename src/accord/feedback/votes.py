"""What people say: who, when, about what, and in which words. Raw, and never overwritten."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class AnnotatorKind(StrEnum):
    """Who stands behind a vote."""

    HUMAN = "human"
    SIMULATED = "simulated"  # a program with a stated taste: must be called so wherever it is shown
    DATASET = "dataset"  # a file that says which response was preferred, and not by whom


@dataclass(frozen=True, slots=True)
class Annotator:
    """Somebody who votes. `id` is the name they are known by in their file or project."""

    id: str
    kind: AnnotatorKind = AnnotatorKind.HUMAN
    extra: Mapping[str, Any] = field(default_factory=dict)


class Choice(StrEnum):
    """The answer to "which is better?". `both_bad` is not a tie: nobody should learn from either."""

    LEFT = "left"
    RIGHT = "right"
    TIE = "tie"
    BOTH_BAD = "both_bad"


class Sides(StrEnum):
    """How it was decided what stood on the left: only shuffled sides let a side bias be told from a preference."""

    SHUFFLED = "shuffled"
    FIXED = "fixed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One annotator's judgement of two responses to one prompt, as they stood on the screen.

    id          made by whoever records the vote; the same id twice is one vote
    left_id, right_id   the responses as shown
    strength    1 (slightly) to 3 (much better), or None where it was not asked
    at          when, timezone-aware (UTC)
    seconds     how long it took, or None
    guideline   version of the guideline that the annotator had in view
    supersedes  id of the vote that this one corrects; the older one stays on record
    withdrawn   the annotator took back the vote that this one supersedes, and says nothing instead of it
    """

    id: str
    annotator_id: str
    prompt_id: str
    left_id: str
    right_id: str
    choice: Choice
    at: datetime
    sides: Sides = Sides.UNKNOWN
    strength: int | None = None
    comment: str = ""
    seconds: float | None = None
    guideline: str = ""
    supersedes: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    withdrawn: bool = False


@dataclass(frozen=True, slots=True)
class Rating:
    """One annotator's thumb up (`desirable`) or down for a single response. Other fields as in `Comparison`."""

    id: str
    annotator_id: str
    prompt_id: str
    response_id: str
    desirable: bool
    at: datetime
    comment: str = ""
    seconds: float | None = None
    guideline: str = ""
    supersedes: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    withdrawn: bool = False


Vote = Comparison | Rating
