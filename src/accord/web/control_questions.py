"""From rows of a file to control questions in a campaign."""

from collections.abc import Sequence

from accord.exchange.control_questions import ControlRow
from accord.feedback import Campaign, Content, Control, Prompt, Question, Response
from accord.feedback.campaigns import MADE_UP
from accord.store import Store
from accord.store.controls import Controls, Marked
from accord.web.drawing import question_id


def add(store: Store, campaign: Campaign, rows: Sequence[ControlRow]) -> Marked:
    """Adds a control question for each row, all or none. A question that the campaign has becomes one.

    Answers that the project has are used, with who wrote them; the others are marked as made up for control questions.
    """
    prompts = [Prompt(row.prompt) for row in rows]
    there: dict[tuple[str, Content], str] = {}
    for response in store.responses({prompt.id for prompt in prompts}):
        there.setdefault((response.prompt_id, response.content), response.id)
    questions, made_up = [], []
    for n, (prompt, row) in enumerate(zip(prompts, rows, strict=True)):
        ids = []
        for content in row.responses:
            if (prompt.id, content) not in there:
                response = Response(prompt.id, content, extra={MADE_UP: True})
                made_up.append(response)
                there[prompt.id, content] = response.id
            ids.append(there[prompt.id, content])
        right = ids[row.right] if isinstance(row.right, int) else row.right
        control = Control(right, row.reason)
        shown = tuple(sorted(ids))
        questions.append(
            Question(
                question_id(campaign.id, shown),
                campaign.id,
                prompt.id,
                shown,
                n / len(rows),
                campaign.overlap,
                control=control,
            )
        )
    store.add([*prompts, *made_up])
    return Controls(store).add(questions)
