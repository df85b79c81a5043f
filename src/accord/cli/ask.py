"""`accord ask`: questions for people, from the answers in the project."""

import json
from datetime import UTC, datetime
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accord.cli.project import find_project, open_store
from accord.feedback import AccordError, Campaign, Form

if TYPE_CHECKING:
    from accord.store.campaigns import Campaigns

EXAMPLES = (
    "[bold]accord ask[/bold]  which of two answers is better, two questions a prompt",
    '[bold]accord ask --campaign style --title "Which is clearer?" --strength --overlap 5[/bold]  another campaign',
    "[bold]accord ask --campaign style --source first --source second[/bold]  more for it, of two models",
    "[bold]accord ask --campaign style --per-prompt 0 --control right.jsonl[/bold]  control questions for it",
)
#: form -> the campaign that questions go to where none is named: its id, and its title
WHERE = {
    Form.PAIR: ("which-is-better", "Which answer is better?"),
    Form.THUMB: ("is-it-good", "Is this a good answer?"),
    Form.RANKING: ("best-first", "Put the answers in order"),
}


def command(
    campaign: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="The campaign; it is made if there is none.", show_default="which-is-better, by form"
        ),
    ] = None,
    title: Annotated[str | None, typer.Option(help="What annotators see, of a new campaign.")] = None,
    form: Annotated[
        Form | None, typer.Option(help="How questions are answered, in a new campaign.", show_default="pair")
    ] = None,
    strength: Annotated[bool, typer.Option("--strength", help="Also ask how much better, in a new campaign.")] = False,
    overlap: Annotated[
        int | None, typer.Option(min=1, help="People for each question, in a new campaign.", show_default="3")
    ] = None,
    per_prompt: Annotated[int, typer.Option(min=0, help="Questions for each prompt, at most.")] = 2,
    size: Annotated[
        int | None, typer.Option(min=1, help="Answers in each question, for rankings.", show_default="4")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of drawing: another one draws other questions.")] = 0,
    source: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only answers by this model. Repeatable.", show_default="all"),
    ] = None,
    control: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Control questions: rows of prompt, responses, right, reason.")
    ] = None,
    project: Annotated[Path | None, typer.Option(help="The project folder.", show_default="found upwards")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make questions for people from the answers in the project.

    People answer them in the web app: accord serve. The same again makes no questions twice; new answers, another seed
    or more for each prompt make new ones.
    """
    from accord.exchange.control_questions import read_controls
    from accord.feedback.campaigns import PLACES
    from accord.store.campaigns import Campaigns
    from accord.web import control_questions, drawing

    wanted = {"title": title, "form": form, "strength": strength or None, "overlap": overlap}
    with open_store(find_project(project)) as store:
        campaigns = Campaigns(store)
        known, asked = _campaign(campaigns, campaign, {name: value for name, value in wanted.items() if value})
        if size is not None and size not in PLACES[asked.form]:
            places = PLACES[asked.form]
            expected = f"{places[0]} to {places[-1]}" if len(places) > 1 else f"{places[0]}"
            raise AccordError(f"--size {size}: a question of this campaign has {expected} answers")
        rows = list(read_controls(control, asked.form)) if control else []
        found = []
        if per_prompt:
            answers = drawing.answers(store, sources=source or ())
            found = list(drawing.questions(asked, answers, size=size, per_prompt=per_prompt, seed=seed))
        if not found and not rows:
            raise AccordError(_nothing(store.counts(), source))
        if not known:
            campaigns.create(asked, drawing.GUIDELINE if asked.form is Form.PAIR else "", "accord ask")
        new = campaigns.add_questions(found)
        marked = control_questions.add(store, asked, rows) if rows else None
    told = {
        "campaign": asked.id,
        "title": asked.title,
        "new_campaign": not known,
        "drawn": len(found),
        "new": new,
        "named": sum(bool(question.named) for question in found),
        "controls": marked.added if marked else 0,
        "controls_changed": marked.marked if marked else 0,
    }
    print(json.dumps(told)) if as_json else _tell(told)


command.__doc__ = "\n\n".join([cleandoc(command.__doc__ or ""), "Examples:", *EXAMPLES])


def _campaign(campaigns: "Campaigns", id: str | None, wanted: dict[str, Any]) -> tuple[bool, Campaign]:
    """The campaign as it stands, or as it is to be made; and whether it is there."""
    form = wanted.get("form", Form.PAIR)
    default_id, default_title = WHERE[form]
    id = id or default_id
    there = {campaign.id: campaign for campaign in campaigns.all()}
    if id not in there:
        if form is not Form.PAIR and "strength" in wanted:
            raise AccordError("--strength: only pairs have one (leave it out)")
        return False, Campaign(_checked_id(id), **{"title": default_title, "form": form} | wanted, created=_now())
    for name, value in wanted.items():
        if getattr(there[id], name) != value:
            raise AccordError(
                f"--{name}: campaign {id} has {getattr(there[id], name)} "
                "(leave it out, name another --campaign, or change its settings in `accord serve`)"
            )
    return True, there[id]


def _now() -> datetime:
    return datetime.now(UTC)


def _checked_id(id: str) -> str:
    """`id`, where it can stand in an address. Raises AccordError."""
    from accord.store.campaigns import is_campaign_id

    if not is_campaign_id(id):
        raise AccordError(f"--campaign {id}: write small letters, digits and hyphens, at most 40 (and not new)")
    return id


def _nothing(counts: dict[str, int], source: list[str] | None) -> str:
    if not counts["responses"]:
        return "the project has no answers: accord import FILE, or accord sample --store --n 2"
    if source:
        return f"--source {' '.join(source)}: no prompt has enough different answers of theirs"
    return "no prompt has enough different answers for a question: accord sample --store --n 4"


def _tell(told: dict[str, Any]) -> None:
    print(f"{'New campaign' if told['new_campaign'] else 'Campaign'} {told['campaign']}: {told['title']}")
    if told["drawn"]:
        there = told["drawn"] - told["new"]
        more = f", {there:,} {'was' if there == 1 else 'were'} there already" if there else ""
        print(f"  {told['new']:,} new {'question' if told['new'] == 1 else 'questions'}{more}")
    if told["controls"] or told["controls_changed"]:
        print(f"  {told['controls']:,} new control questions, {told['controls_changed']:,} that were there")
    if told["named"]:
        print(f"  in {told['named']:,} a model seems to name itself: look at them in accord serve")
    print("\nNext: accord serve   people answer there")
