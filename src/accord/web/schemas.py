"""What the JSON API takes and gives."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def storable(text: str) -> str:
    """Text that every database takes."""
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("holds a character that is no text (U+0000, or half of a surrogate pair)")
    return text


Text = Annotated[str, AfterValidator(storable)]
Id = Annotated[Text, Field(min_length=1, max_length=200)]
NewId = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_-]{8,64}$", description="Made by the client, such as a random UUID.")
]


class Body(BaseModel):
    """What is sent: a field that is not known is refused, so that a slip is not lost in silence."""

    model_config = ConfigDict(extra="forbid")


class Turn(BaseModel):
    """One message. `html` is there where the campaign shows Markdown; it is sanitised."""

    role: str
    text: str
    html: str | None = None


class Shown(BaseModel):
    """A question as it is to stand on the screen. Responses have no name but their place."""

    question: str
    form: Literal["pair", "thumb", "ranking"]
    prompt: list[Turn]
    responses: list[list[Turn]]


class Done(Shown):
    """A decision that can still be changed. `answer` is None where the question was skipped, for `reason`."""

    answer: dict[str, Any] | None
    vote: str | None
    comment: str
    tags: list[str]
    reason: str
    at: str


class More(Body):
    """How many questions the page would like, and which it holds already."""

    want: int = Field(default=3, ge=0, le=10)
    held: list[Id] = Field(default=[], max_length=50)


class Vote(More):
    """An answer. The same `id` again is the same vote, and is answered alike.

    answer     pair: `{"choice": "left" | "right" | "tie" | "both_bad", "strength": 1 | 2 | 3 | null}`, thumb:
               `{"desirable": true}`, ranking: `{"ranking": [[2], [0, 1]]}`: places on the screen, best first, equals
               together
    guideline  the version that was in view
    supersedes  the id of one's own vote that this one corrects
    """

    id: NewId
    question: Id
    answer: dict[str, Any]
    seconds: float | None = Field(default=None, ge=0, le=86_400)
    comment: Text = Field(default="", max_length=5_000)
    tags: list[Annotated[Text, Field(max_length=200)]] = Field(default=[], max_length=50)
    guideline: int | None = Field(default=None, ge=1, le=2**31 - 1)
    supersedes: NewId | None = None
    want: int = Field(default=0, ge=0, le=10)


class Skip(More):
    """A question that is left to others."""

    question: Id
    reason: Text = Field(default="", max_length=500)
    want: int = Field(default=0, ge=0, le=10)


class Undo(Body):
    """Takes back the answer to a question. `id` names the withdrawal: the same again is the same.

    vote  the vote that is meant, so that no later one is taken back; null for a skip
    """

    id: NewId
    question: Id
    vote: NewId | None = None


class FlagIn(Body):
    """Says that something is wrong with a question."""

    id: NewId
    question: Id
    reason: Text = Field(min_length=1, max_length=200)
    comment: Text = Field(default="", max_length=5_000)


class Feedback(BaseModel):
    """How an answer to a control question did. `best` is the place on the screen of the right response, -1 for a tie;
    for a thumb 1 is up and 0 down."""

    passed: bool
    best: int
    reason: str


class Saved(BaseModel):
    """The vote is on disk."""

    id: str
    saved: Literal[True] = True
    feedback: Feedback | None = None
    next: list[Shown] = []


class Standing(BaseModel):
    """How a campaign stands.

    guideline  the newest version
    mine       how many questions the caller has answered
    answers    that all have given, of those `wanted`
    """

    open: bool
    guideline: int
    mine: int
    answers: int
    wanted: int


class GuidelineShown(BaseModel):
    """The guideline as it is to be shown; `html` is sanitised."""

    version: int
    html: str
