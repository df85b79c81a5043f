"""What people are asked: campaigns, their guidelines, their questions, and who was shown what."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

#: What an annotator may say of a question that they do not answer, where the curator names nothing else.
SKIP_REASONS = ("I don't know this subject", "I don't understand it", "Too long", "I'd rather not")
#: What may be wrong with a question.
FLAG_REASONS = ("Offensive or harmful", "Private data", "A model names itself", "Broken text", "Something else")


class Form(StrEnum):
    """How a question is answered."""

    PAIR = "pair"  # which of two is better
    THUMB = "thumb"  # is this one good
    RANKING = "ranking"  # three or more, best first


#: How many responses a question of each form may have.
PLACES = {Form.PAIR: range(2, 3), Form.THUMB: range(1, 2), Form.RANKING: range(3, 11)}


@dataclass(frozen=True, slots=True)
class Campaign:
    """One kind of question and its rules. Its votes are votes like all others.

    strength       pairs: also ask how much better (1 to 3)
    overlap        how many annotators are to answer each question
    lease_minutes  how long a question stays reserved for the annotator who was shown it
    tags           reasons that an annotator may tick, defined by the curator
    markdown       show prompts and responses as Markdown; else as they are
    control_share  the share of questions that are control questions, where there are any
    feedback       tell annotators how they did on control questions
    """

    id: str
    title: str
    form: Form
    created: datetime
    strength: bool = False
    overlap: int = 3
    lease_minutes: float = 15.0
    tags: tuple[str, ...] = ()
    skip_reasons: tuple[str, ...] = SKIP_REASONS
    markdown: bool = False
    control_share: float = 0.1
    feedback: bool = True
    open: bool = True


@dataclass(frozen=True, slots=True)
class Guideline:
    """What annotators are told, in Markdown. Versions count from 1; a vote names the version that was in view."""

    campaign_id: str
    version: int
    text: str
    author: str
    at: datetime

    @property
    def name(self) -> str:
        """What a vote's `guideline` says."""
        return f"{self.campaign_id}/{self.version}"


#: In a response's `extra`: it was made up for a control question, and nobody is asked about it elsewhere.
MADE_UP = "control_question"


@dataclass(frozen=True, slots=True)
class Control:
    """The right answer to a control question, and why.

    right  pair: the better response's id, or `tie`; thumb: `up` or `down`; ranking: the id of the response that
           belongs first
    """

    right: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """Responses to one prompt that are put before people.

    rank      questions are asked in this order
    overlap   how many annotators are to answer it; control questions are for everybody
    answered  how many have
    open      whether it is still asked
    named     where a response tells which model wrote it: the words in which it does
    """

    id: str
    campaign_id: str
    prompt_id: str
    response_ids: tuple[str, ...]
    rank: float
    overlap: int
    control: Control | None = None
    named: str = ""
    answered: int = 0
    open: bool = True


class Turn(StrEnum):
    """How far an annotator has come with a question that they were given."""

    LEASED = "leased"
    ANSWERED = "answered"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Assignment:
    """A question as one annotator was shown it, and what became of it.

    shown    the responses' ids as they stood on the screen: left to right, or top to bottom
    until    the lease ends then, if nothing was said before
    at       when it was given, answered or skipped
    seconds  how long the answer took
    vote_id  the vote that stands, as the annotator's page named it
    answer   what it said, in terms of places on the screen: `{"choice", "strength"}`, `{"desirable"}` or `{"ranking"}`,
             with `comment` and `tags`
    reason   why it was skipped
    passed   whether a control question was answered rightly
    """

    question_id: str
    annotator_id: str
    campaign_id: str
    shown: tuple[str, ...]
    turn: Turn
    until: datetime
    at: datetime
    seconds: float | None = None
    vote_id: str | None = None
    answer: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    passed: bool | None = None


@dataclass(frozen=True, slots=True)
class Flag:
    """An annotator's word that something is wrong with a question."""

    id: str
    question_id: str
    campaign_id: str
    annotator_id: str
    reason: str
    comment: str
    at: datetime
    resolved: bool = False
