"""The nouns of preference learning. Frozen dataclasses, standard library only; every other layer speaks them."""

from accord.feedback.answers import Answer, PairAnswer, RankingAnswer, Said, ThumbAnswer
from accord.feedback.campaigns import (
    FLAG_REASONS,
    SKIP_REASONS,
    Assignment,
    Campaign,
    Control,
    Flag,
    Form,
    Guideline,
    Question,
    Turn,
)
from accord.feedback.content import (
    Content,
    Message,
    Prompt,
    Response,
    beginning,
    fingerprint,
    from_json,
    text_of,
    to_json,
)
from accord.feedback.errors import AccordError
from accord.feedback.labels import COIN, LabelMethod, PairLabel, ResponseLabel
from accord.feedback.people import Invite, Role, Token, User
from accord.feedback.votes import Annotator, AnnotatorKind, Choice, Comparison, Rating, Sides, Vote

Noun = Prompt | Response | Annotator | Comparison | Rating

__all__ = [
    "COIN",
    "FLAG_REASONS",
    "SKIP_REASONS",
    "AccordError",
    "Annotator",
    "AnnotatorKind",
    "Answer",
    "Assignment",
    "Campaign",
    "Choice",
    "Comparison",
    "Content",
    "Control",
    "Flag",
    "Form",
    "Guideline",
    "Invite",
    "LabelMethod",
    "Message",
    "Noun",
    "PairAnswer",
    "PairLabel",
    "Prompt",
    "Question",
    "RankingAnswer",
    "Rating",
    "Response",
    "ResponseLabel",
    "Role",
    "Said",
    "Sides",
    "ThumbAnswer",
    "Token",
    "Turn",
    "User",
    "Vote",
    "beginning",
    "fingerprint",
    "from_json",
    "text_of",
    "to_json",
]
