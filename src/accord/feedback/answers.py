"""What an annotator answers, in terms of places on the screen, and the votes that this makes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import combinations
from typing import Any

from accord.feedback.campaigns import Assignment, Control, Form
from accord.feedback.votes import Choice, Comparison, Rating, Sides, Vote


@dataclass(frozen=True, slots=True)
class PairAnswer:
    """Which of two is better; `strength` 1 to 3 says how much, where it was asked."""

    choice: Choice
    strength: int | None = None


@dataclass(frozen=True, slots=True)
class ThumbAnswer:
    """Whether the one response is good."""

    desirable: bool


@dataclass(frozen=True, slots=True)
class RankingAnswer:
    """Places on the screen, counted from 0, best first; those in one group are equally good: ((2,), (0, 1))."""

    groups: tuple[tuple[int, ...], ...]


Answer = PairAnswer | ThumbAnswer | RankingAnswer


@dataclass(frozen=True, slots=True)
class Said:
    """An answer with what goes with it. Fields as in `Comparison`; `vote_id` is made by the annotator's page.

    answer     as it was sent: `answer_of` reads it
    guideline  the version that was in view, None where the page did not say
    """

    vote_id: str
    question_id: str
    answer: Mapping[str, Any]
    seconds: float | None = None
    comment: str = ""
    tags: tuple[str, ...] = ()
    guideline: int | None = None
    supersedes: str | None = None


def answer_json(answer: Answer) -> dict[str, Any]:
    """The answer as it is kept and sent."""
    match answer:
        case PairAnswer(choice, strength):
            return {"choice": str(choice), "strength": strength}
        case ThumbAnswer(desirable):
            return {"desirable": desirable}
        case RankingAnswer(groups):
            return {"ranking": [list(group) for group in groups]}


def answer_of(form: Form, value: Mapping[str, Any], places: int) -> Answer:
    """The inverse of `answer_json`, for a question of `form` about so many responses.

    Raises ValueError, saying what is expected, where `value` is no answer to it.
    """
    match form, dict(value):
        case Form.PAIR, {"choice": str(choice), **rest} if choice in list(Choice):
            strength = rest.get("strength")
            sided = choice in (Choice.LEFT, Choice.RIGHT)
            if strength is None or (sided and type(strength) is int and 1 <= strength <= 3):
                return PairAnswer(Choice(choice), strength)
            raise ValueError("strength: 1, 2 or 3 with left or right, else null")
        case Form.THUMB, {"desirable": bool(desirable)}:
            return ThumbAnswer(desirable)
        case Form.RANKING, {"ranking": list(groups)} if _is_ranking(groups, places):
            return RankingAnswer(tuple(tuple(group) for group in groups))
    expected = {
        Form.PAIR: 'pair: {"choice": "left" | "right" | "tie" | "both_bad", "strength": 1 | 2 | 3 | null}',
        Form.THUMB: 'thumb: {"desirable": true | false}',
        Form.RANKING: f'ranking: {{"ranking": [[place, …], …]}} with each place from 0 to {places - 1} once',
    }
    raise ValueError(f"answer: expected a {expected[form]}")


def _is_ranking(groups: list[Any], places: int) -> bool:
    if not all(isinstance(group, list) and group and all(type(place) is int for place in group) for group in groups):
        return False
    return sorted(place for group in groups for place in group) == list(range(places))


def votes(said: Said, answer: Answer, given: Assignment, prompt_id: str, at: datetime) -> list[Vote]:
    """The votes that an answer makes: one, or for a ranking one on each pair of the ranked.

    The votes of a ranking have ids of their own, made from the ranking's (`numbered`); so have those that they correct.
    """
    extra: dict[str, Any] = {"campaign": given.campaign_id, "question": given.question_id}
    if said.tags:
        extra["tags"] = list(said.tags)
    common: dict[str, Any] = {
        "annotator_id": given.annotator_id,
        "prompt_id": prompt_id,
        "at": at,
        "comment": said.comment,
        "seconds": said.seconds,
        "guideline": f"{given.campaign_id}/{said.guideline}" if said.guideline else "",
    }
    match answer:
        case ThumbAnswer(desirable):
            (response_id,) = given.shown
            common |= {"response_id": response_id, "supersedes": said.supersedes, "extra": extra}
            return [Rating(said.vote_id, desirable=desirable, **common)]
        case PairAnswer(choice, strength):
            left, right = given.shown
            pairs = [(left, right, choice, strength)]
        case RankingAnswer(groups):
            place = {position: n for n, group in enumerate(groups) for position in group}
            extra["ranking"] = [[given.shown[position] for position in group] for group in groups]
            pairs = [
                (given.shown[a], given.shown[b], _nearer(place[a], place[b]), None)
                for a, b in combinations(range(len(given.shown)), 2)
            ]
    return [
        Comparison(
            numbered(said.vote_id, n),
            left_id=left,
            right_id=right,
            choice=choice,
            strength=strength,
            sides=Sides.SHUFFLED,
            supersedes=said.supersedes and numbered(said.supersedes, n),
            extra=extra,
            **common,
        )
        for n, (left, right, choice, strength) in enumerate(pairs, 1)
    ]


def numbered(vote_id: str, n: int) -> str:
    """The id of the nth (from 1) of the votes that one answer makes: the answer's own, then with `.2`, `.3`, …."""
    return vote_id if n == 1 else f"{vote_id}.{n}"


def withdrawn(vote: Vote, id: str, at: datetime) -> Vote:
    """The withdrawal of `vote`."""
    return replace(vote, id=id, at=at, supersedes=vote.id, withdrawn=True)


def passed(answer: Answer, shown: tuple[str, ...], control: Control) -> bool:
    """Whether an answer to a control question is right."""
    match answer:
        case PairAnswer(Choice.LEFT):
            return control.right == shown[0]
        case PairAnswer(Choice.RIGHT):
            return control.right == shown[1]
        case PairAnswer():
            return control.right == "tie"
        case ThumbAnswer(desirable):
            return control.right == ("up" if desirable else "down")
        case RankingAnswer(groups):
            return len(groups[0]) == 1 and shown[groups[0][0]] == control.right


def _nearer(left: int, right: int) -> Choice:
    return Choice.TIE if left == right else Choice.LEFT if left < right else Choice.RIGHT
