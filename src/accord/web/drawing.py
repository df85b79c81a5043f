"""From the answers in the store to questions for people."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from accord.feedback import AccordError, Campaign, Form, Question, Response, fingerprint, text_of
from accord.feedback.campaigns import MADE_UP
from accord.quality.naming import names_itself
from accord.quality.pairs import draw
from accord.store import Store
from accord.web.site import Site

#: How many responses a question shows; rankings may ask for more or fewer.
SIZES = {Form.PAIR: 2, Form.THUMB: 1, Form.RANKING: 4}

#: The campaign that a project has from the start.
FIRST = Campaign("which-is-better", "Which answer is better?", Form.PAIR, datetime.min.replace(tzinfo=UTC))
GUIDELINE = """\
Read the question and both answers. Then say which answer you would rather have got.

- **Right and helpful** comes before long, polite or well formatted.
- **Tie** if both serve equally well. **Both bad** if you would want neither.
- Take your time; skip what you cannot judge.
"""


def answers(store: Store, *, sources: Collection[str] = (), splits: Collection[str] = ()) -> Iterator[Response]:
    """The answers in the store that people may be asked about: all, or those by some sources to prompts of some splits.

    Those that were made up for control questions are left out, and those of the arena: somebody's own conversations,
    which were judged there.
    """
    asked = {prompt.id for split in splits for prompt in store.prompts(split)} if splits else None
    for response in store.responses(asked):
        for_questions = not (response.extra.get(MADE_UP) is True or response.extra.get("arena") is True)
        if for_questions and (not sources or response.source in sources):
            yield response


def questions(
    campaign: Campaign, responses: Iterable[Response], *, size: int | None = None, per_prompt: int = 2, seed: int = 0
) -> Iterator[Question]:
    """Questions on `responses`, drawn as `quality.pairs` says. The same responses together are the same question."""
    answers = {response.id: response for response in responses}
    sources = {response.source for response in answers.values() if response.source}
    names: dict[str, str] = {}

    def named(id: str) -> str:
        if id not in names:
            names[id] = names_itself(text_of(answers[id].content), sources) or ""
        return names[id]

    for drawn in draw(answers.values(), size or SIZES[campaign.form], per_prompt, seed):
        yield Question(
            question_id(campaign.id, drawn.response_ids),
            campaign.id,
            drawn.prompt_id,
            drawn.response_ids,
            drawn.rank,
            campaign.overlap,
            named=next(filter(None, map(named, drawn.response_ids)), ""),
        )


def question_id(campaign_id: str, response_ids: Iterable[str]) -> str:
    """What a question on these responses is called in its campaign."""
    return fingerprint("question", campaign_id, sorted(response_ids))


def first_campaign(site: Site) -> int:
    """Makes the first campaign where there is none and there is something to compare, and takes up new answers into it.

    Returns how many questions are new.
    """
    known = {campaign.id for campaign in site.campaigns.all()}
    if known and FIRST.id not in known:
        return 0
    made = replace(FIRST, created=datetime.now(UTC), overlap=1 if site.local else FIRST.overlap)
    campaign = site.campaigns.get(FIRST.id) if known else made
    found = list(questions(campaign, answers(site.store)))
    if found and not known:
        with suppress(AccordError):  # another server on this database has made it this moment
            site.campaigns.create(campaign, GUIDELINE, "Accord")
    return site.campaigns.add_questions(found)
