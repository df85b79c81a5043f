"""What the JSON API takes from curators and gives to them. The pages' forms fill the same bodies."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, model_validator

from accord.feedback import AnnotatorKind, Form
from accord.feedback.campaigns import SKIP_REASONS
from accord.web.schemas import Body, Text, Turn, storable

Only = Literal["all", "open", "done", "control", "flagged", "named", "closed"]
ExportForm = Literal["dpo", "kto", "reward", "votes"]
FileType = Literal["jsonl", "csv", "parquet"]
Split = Literal["", "train", "test"]


def _each_once(words: list[str]) -> list[str]:
    return list(dict.fromkeys(words))


Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(storable)]
Note = Annotated[str, StringConstraints(max_length=5_000), AfterValidator(storable)]
Long = Annotated[str, StringConstraints(max_length=50_000), AfterValidator(storable)]
Lines = Annotated[list[Line], Field(max_length=30), AfterValidator(_each_once)]


class Settings(Body):
    """A campaign's rules. `strength` is for pairs: also ask how much better."""

    title: Line
    form: Form
    strength: bool = False
    overlap: int = Field(default=3, ge=1, le=1000, description="How many people are to answer each question.")
    lease_minutes: float = Field(
        default=15,
        gt=0,
        le=10_080,
        allow_inf_nan=False,
        description="How long a question stays reserved for whom it is shown to.",
    )
    tags: Lines = Field(default=[], description="Reasons that an annotator may tick.")
    skip_reasons: Lines = Field(default=list(SKIP_REASONS))
    markdown: bool = Field(default=False, description="Show prompts and responses as Markdown.")
    control_share: float = Field(
        default=0.1, ge=0, le=1, allow_inf_nan=False, description="The share of questions that are control questions."
    )
    feedback: bool = Field(default=True, description="Tell annotators how they did on control questions.")
    open: bool = True

    @model_validator(mode="after")
    def _only_pairs_have_strength(self) -> Self:
        if self.strength and self.form is not Form.PAIR:
            raise ValueError("strength: only pairs have one (leave it out)")
        return self


class NewCampaign(Settings):
    """A campaign and the first version of its guideline."""

    guideline: Long = ""


class Totals(BaseModel):
    """Questions that are asked or done, the answers that they want and have. Control questions count in `controls`."""

    questions: int
    done: int
    wanted: int
    answers: int
    controls: int
    flags: int = Field(description="That nobody has dealt with.")
    named: int = Field(description="Questions in which a response tells its model.")


class CampaignOut(Settings):
    """A campaign as it stands."""

    id: str
    created: datetime
    totals: Totals


class NewGuideline(Body):
    """The text, in Markdown, that takes the place of the one that stands."""

    text: Long


class GuidelineOut(BaseModel):
    """One version, and how many answers were given while it was in view."""

    version: int
    text: str
    author: str
    at: datetime
    votes: int


class Draw(Body):
    """Which questions to make. `size` is for rankings; no `sources` or `splits` means all."""

    per_prompt: int = Field(default=2, ge=1, le=100, description="Questions for each prompt, at most.")
    size: int | None = Field(default=None, ge=1, le=10, description="Responses in each question.")
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    sources: list[Text] = Field(default=[], max_length=1000)
    splits: list[Split] = Field(default=[], max_length=3)
    dry_run: bool = Field(default=False, description="Only count.")


class Drawn(BaseModel):
    """How many questions were drawn, how many of them are new, and in how many a response tells its model."""

    drawn: int
    new: int
    named: int


class ControlIn(Body):
    """The right answer: for pairs a response's id or `tie`, for thumbs `up` or `down`, for rankings the id of the
    response that belongs first."""

    right: Line
    reason: Note = ""


class QuestionOut(BaseModel):
    """A question. `sources` say who wrote its responses, which annotators never see; `named` are the words in which a
    response tells its model; `flags` those that nobody dealt with."""

    id: str
    campaign: str
    prompt: str
    response_ids: list[str]
    sources: list[str]
    overlap: int
    answered: int
    open: bool
    control: ControlIn | None
    named: str
    flags: int


class QuestionPage(BaseModel):
    """Fifty questions, and how many there are."""

    questions: list[QuestionOut]
    total: int


class ResponseOut(BaseModel):
    """A response with who wrote it, which annotators never see."""

    id: str
    source: str
    turns: list[Turn]


class DecisionOut(BaseModel):
    """What somebody decided. `prefers` is a response's id, or `tie`, `both_bad`, `up` or `down`; `ranking` has ids,
    best first, equals together; both are None where the question was skipped, for `reason`."""

    annotator: str
    kind: AnnotatorKind
    at: datetime
    seconds: float | None
    prefers: str | None
    strength: int | None
    ranking: list[list[str]] | None
    shown: list[str] = Field(description="The responses as they stood on the screen.")
    comment: str
    tags: list[str]
    reason: str
    passed: bool | None


class FlagOut(BaseModel):
    """What an annotator says is wrong with a question."""

    id: str
    question: str
    annotator: str
    reason: str
    comment: str
    at: datetime
    resolved: bool


class QuestionDetail(BaseModel):
    """All that is known of a question."""

    question: QuestionOut
    turns: list[Turn]
    responses: list[ResponseOut]
    decisions: list[DecisionOut]
    flags: list[FlagOut]


class QuestionChange(Body):
    """Whether the question is asked."""

    open: bool


class Controls(BaseModel):
    """Control questions that are new, and questions that were there and are control questions now."""

    added: int
    marked: int


class Column(BaseModel):
    """Answers from `start` on, for `seconds` of the list's."""

    start: datetime
    answers: int


class PaceOut(BaseModel):
    """Answers a day, since when that is counted, and when the last wanted answer is there if it goes on like this."""

    per_day: float
    since: datetime
    ends: datetime | None


class ProgressOut(BaseModel):
    """How far a campaign has come. `answers_by_kind` counts `left`, `right`, `tie`, `both_bad`, `up`, `down` …"""

    totals: Totals
    skips: int
    pace: PaceOut | None
    over_time: list[Column]
    column_seconds: int
    answers_by_kind: dict[str, int]
    strengths: dict[int, int]


class ShareOut(BaseModel):
    """`k` in `n`, and the 95 % interval of the share."""

    k: int
    n: int
    low: float
    high: float


class AnnotatorOut(BaseModel):
    """How somebody works. `left` is the share of the left one among the answers that prefer one; `seconds` a median."""

    annotator: str
    kind: AnnotatorKind
    answers: int
    skips: int
    seconds: float | None
    last: datetime
    left: ShareOut | None
    ties: ShareOut | None
    passed: ShareOut | None


class AgreementOut(BaseModel):
    """Krippendorff's α and the share of pairs of answers that agree, each with its 95 % interval; None where there is
    none yet. Counts are of questions with the answers of two people or more; control questions are left out."""

    alpha: float | None
    low: float | None
    high: float | None
    observed: float | None
    observed_low: float | None
    observed_high: float | None
    items: int
    votes: int
    annotators: int
    meaning: str


class ImportWish(Body):
    """How files are read. `split` is what all their rows are for, whatever they say."""

    format: str | None = None
    split: Split = ""
    dry_run: bool = False


class Imported(BaseModel):
    """What was in the files: new nouns, votes that were there before, and what the project has now; and how many
    questions the first campaign gained."""

    added: dict[str, int]
    already_there: dict[str, int]
    total: dict[str, int]
    questions: int
