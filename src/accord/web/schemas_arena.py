"""What the JSON API of the Arena takes and gives. Nothing here tells an annotator which models there are."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from accord.feedback import Choice
from accord.web.schemas import Body, Id, NewId, Text

Side = Literal["left", "right"]
#: Tokens of an answer.
MOST_TOKENS = 2048


class Ask(Body):
    """A message to both models."""

    message: Annotated[Text, Field(min_length=1, max_length=20_000, pattern=r"\S")]
    temperature: float = Field(default=0.7, ge=0, le=2, allow_inf_nan=False, description="0 takes the likeliest word.")
    max_new_tokens: int = Field(default=512, ge=1, le=MOST_TOKENS, description="Answers are cut after so many tokens.")


class ArenaVote(Body):
    """Which answer is better. The same `id` again is the same vote, and is answered alike."""

    id: NewId
    round: Id
    choice: Choice
    seconds: float | None = Field(default=None, ge=0, le=86_400)


class ArenaSkip(Body):
    """Leaves a round without a vote."""

    round: Id


class ArenaSaved(BaseModel):
    """The vote is on disk. The conversation goes on from the answer that was on the side `goes_on`."""

    id: str
    saved: Literal[True] = True
    goes_on: Side


class ArenaMessage(BaseModel):
    """One message of a conversation."""

    role: str
    text: str


class ArenaAnswer(BaseModel):
    """What one of the two said so far. `finished`: it ended by itself, and was not cut."""

    text: str
    finished: bool


class ArenaRound(BaseModel):
    """A message that waits for its answers (`answering`), or for a vote on them; `stopped`: somebody stopped them."""

    id: str
    message: str
    left: ArenaAnswer
    right: ArenaAnswer
    answering: bool
    stopped: bool


class ArenaConversation(BaseModel):
    """A conversation as it stands. `round` is null where the next message may come."""

    id: str
    messages: list[ArenaMessage]
    round: ArenaRound | None


class Happening(BaseModel):
    """A line of the stream. Empty lines mean nothing.

    event  `round` (the first: its id), `waiting` (others come first: `before` of them), `loading`, `piece` (the next
           words of one side), `end` (of one side's answer), and as the last one `done` (vote now), `dropped` (stopped
           before there was something to vote on: the message counts as not sent) or `error` (likewise; `why`)
    """

    event: Literal["round", "waiting", "loading", "piece", "end", "done", "dropped", "error"]
    round: str | None = None
    before: int | None = None
    side: Side | None = None
    text: str | None = None
    finished: bool | None = None
    stopped: bool | None = None
    why: str | None = None


class ContenderOut(BaseModel):
    """A model that may meet others. `base` is the name of the one that it began as, `meets` whether it is drawn."""

    name: str
    base: str
    meets: bool


class Contenders(BaseModel):
    """All contenders. `chosen`: a curator said which of them meet; else it is the newest run and what it began with."""

    contenders: list[ContenderOut]
    chosen: bool


class ContendersIn(Body):
    """The names of those that meet from now on, two or more; none: the default."""

    contenders: list[Annotated[Text, Field(max_length=1000)]] = Field(max_length=1000)


class ArenaStanding(BaseModel):
    """How two contenders stand against each other. `share` is how often `first` is preferred among the answers that
    are not both bad, a tie for half, with its 95 % interval (Wilson's); null where there is none. `named` counts votes
    on answers of which one tells its model."""

    first: str
    second: str
    votes: int
    wins: int
    ties: int
    losses: int
    both_bad: int
    annotators: int
    named: int
    share: float | None
    low: float | None
    high: float | None
    meaning: str
