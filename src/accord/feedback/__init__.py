"""The nouns of preference learning. Frozen dataclasses, standard library only; every other layer speaks them."""

from accord.feedback.content import Content, Message, Prompt, Response, fingerprint, from_json, text_of, to_json
from accord.feedback.errors import AccordError
from accord.feedback.labels import PairLabel, ResponseLabel
from accord.feedback.votes import Annotator, AnnotatorKind, Choice, Comparison, Rating, Sides, Vote

Noun = Prompt | Response | Annotator | Comparison | Rating

__all__ = [
    "AccordError",
    "Annotator",
    "AnnotatorKind",
    "Choice",
    "Comparison",
    "Content",
    "Message",
    "Noun",
    "PairLabel",
    "Prompt",
    "Rating",
    "Response",
    "ResponseLabel",
    "Sides",
    "Vote",
    "fingerprint",
    "from_json",
    "text_of",
    "to_json",
]
