"""What the pages of annotators are told: questions as they are to stand on the screen, and what was saved."""

from collections.abc import Sequence

from accord.feedback import Content
from accord.store.asking import Asking, Cast, Item, Saved
from accord.web import schemas
from accord.web.markup import rendered


def keep_all(asking: Asking, answers: Sequence[Cast]) -> list[schemas.Saved | Exception]:
    """Keeps answers as `Asking.answer_all` does, and gives what is told of each."""
    outcomes = asking.answer_all(answers)
    return [outcome if isinstance(outcome, Exception) else saved(outcome) for outcome in outcomes]


def saved(kept: Saved) -> schemas.Saved:
    """What the annotator's page is told of a vote."""
    return schemas.Saved(
        id=kept.vote_id,
        feedback=_feedback(kept) if kept.campaign.feedback else None,
        next=[shown(item) for item in kept.next],
    )


def shown(item: Item) -> schemas.Shown:
    """What the annotator's page may know of a question."""
    return schemas.Shown(
        question=item.assignment.question_id,
        form=item.campaign.form.value,
        prompt=_turns(item.prompt.content, item.campaign.markdown),
        responses=[_turns(response.content, item.campaign.markdown) for response in item.responses],
    )


def _turns(content: Content, markdown: bool) -> list[schemas.Turn]:
    turns = [("", content)] if isinstance(content, str) else [(m.role, m.content) for m in content]
    return [schemas.Turn(role=role, text=text, html=rendered(text) if markdown else None) for role, text in turns]


def _feedback(kept: Saved) -> schemas.Feedback | None:
    control, given = kept.question.control, kept.assignment
    if control is None or given.passed is None:
        return None
    return schemas.Feedback(passed=given.passed, best=_place(given.shown, control.right), reason=control.reason)


def _place(places: tuple[str, ...], right: str) -> int:
    if right in places:
        return places.index(right)
    return {"up": 1, "down": 0}.get(right, -1)
