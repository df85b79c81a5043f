"""Questions as curators see them: with sources, votes, flags and right answers."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from accord.feedback import AnnotatorKind, Assignment, Choice, Content, Flag, Question, Turn, text_of
from accord.store.material import Texts
from accord.web import schemas
from accord.web.schemas_curating import ControlIn, DecisionOut, FlagOut, QuestionDetail, QuestionOut, ResponseOut
from accord.web.site import Site


def listed(site: Site, questions: Sequence[Question]) -> list[QuestionOut]:
    """A page of questions."""
    texts = site.material.texts(questions)
    flags = site.campaigns.flags_on(question.id for question in questions)
    return [_told(question, texts, flags) for question in questions]


def detail(site: Site, question: Question) -> QuestionDetail:
    """All that is known of one question."""
    texts = site.material.texts([question])
    flags = site.campaigns.flags_on([question.id])
    kinds = {annotator.id: annotator.kind for annotator in site.store.annotators()}
    return QuestionDetail(
        question=_told(question, texts, flags),
        turns=_turns(texts.prompts[question.prompt_id].content),
        responses=[
            ResponseOut(id=id, source=texts.responses[id].source, turns=_turns(texts.responses[id].content))
            for id in question.response_ids
        ],
        decisions=[_decision(given, kinds) for given in site.progress.on_question(question.id)],
        flags=flags_told(flags),
    )


def flags_told(flags: Iterable[Flag]) -> list[FlagOut]:
    """Flags, in their order."""
    return [
        FlagOut(
            id=flag.id,
            question=flag.question_id,
            annotator=flag.annotator_id,
            reason=flag.reason,
            comment=flag.comment,
            at=flag.at,
            resolved=flag.resolved,
        )
        for flag in flags
    ]


def _told(question: Question, texts: Texts, flags: Iterable[Flag]) -> QuestionOut:
    waiting = Counter(flag.question_id for flag in flags if not flag.resolved)
    control = question.control
    return QuestionOut(
        id=question.id,
        campaign=question.campaign_id,
        prompt=text_of(texts.prompts[question.prompt_id].content),
        response_ids=list(question.response_ids),
        sources=[texts.responses[id].source for id in question.response_ids],
        overlap=question.overlap,
        answered=question.answered,
        open=question.open,
        control=ControlIn(right=control.right, reason=control.reason) if control else None,
        named=question.named,
        flags=waiting[question.id],
    )


def _decision(given: Assignment, kinds: Mapping[str, AnnotatorKind]) -> DecisionOut:
    said: Mapping[str, Any] = given.answer if given.turn is Turn.ANSWERED else {}
    ranking = said.get("ranking")
    return DecisionOut(
        annotator=given.annotator_id,
        kind=kinds.get(given.annotator_id, AnnotatorKind.HUMAN),
        at=given.at,
        seconds=given.seconds,
        prefers=_preferred(said, given.shown),
        strength=said.get("strength"),
        ranking=ranking and [[given.shown[place] for place in group] for group in ranking],
        shown=list(given.shown),
        comment=said.get("comment", ""),
        tags=said.get("tags", []),
        reason=given.reason,
        passed=given.passed,
    )


def _preferred(said: Mapping[str, Any], shown: Sequence[str]) -> str | None:
    if "desirable" in said:
        return "up" if said["desirable"] else "down"
    return {Choice.LEFT: shown[0], Choice.RIGHT: shown[-1]}.get(said.get("choice", ""), said.get("choice"))


def _turns(content: Content) -> list[schemas.Turn]:
    turns = [("", content)] if isinstance(content, str) else [(m.role, m.content) for m in content]
    return [schemas.Turn(role=role, text=text) for role, text in turns]
