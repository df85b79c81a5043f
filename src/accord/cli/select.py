"""`accord select`: what to ask people next, where a vote tells most."""

import json
from collections.abc import Collection, Sequence
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from accord.cli.project import find_project, open_store
from accord.feedback import AccordError, Campaign, Form, beginning

if TYPE_CHECKING:
    from accord.store.campaigns import Campaigns

EXAMPLES = (
    "[bold]accord select --count 50 --out next.jsonl[/bold]  the 50 pairs to ask about next",
    "[bold]accord select --count 50 --campaign which-is-better[/bold]  the same, asked before all others there",
    "[bold]accord select --scores next.scored.jsonl[/bold]  as a reward model with several heads is unsure",
    "[bold]accord select --annotators ann --annotators bob --budget 40 --overlap 2[/bold]  who is to answer what",
)
SHOWN = 10  # rows of the table
NUMBERS = 38  # letters of a row that its texts leave to numbers


def command(
    count: Annotated[int, typer.Option(min=1, help="Pairs to choose, at most.")] = 100,
    per_prompt: Annotated[
        int, typer.Option(min=1, help="Of one prompt, at most; the random share pays no heed to it.")
    ] = 2,
    random_share: Annotated[float, typer.Option(min=0, max=1, help="The share that chance alone chooses.")] = 0.1,
    annotators: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Who is to answer. Repeatable.", show_default="whoever comes"),
    ] = None,
    budget: Annotated[
        int | None, typer.Option(min=1, help="Votes of each of these annotators.", show_default="as many as it takes")
    ] = None,
    overlap: Annotated[int, typer.Option(min=1, help="How many of these annotators for each pair.")] = 1,
    scores: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What accord score wrote, by a model with reward_heads above 1."),
    ] = None,
    column: Annotated[str, typer.Option(help="What the columns with the scores are called.")] = "score",
    source: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only answers by this model. Repeatable.", show_default="all"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the pairs to this .jsonl, .json, .csv or .parquet.")] = None,
    campaign: Annotated[
        str | None, typer.Option(metavar="ID", help="Add them to this campaign of pairs, before its other questions.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of drawing.")] = 0,
    project: Annotated[Path | None, typer.Option(help="The project folder.", show_default="found upwards")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Choose what to ask people next: the pairs of answers on which a vote tells most.

    How much is counted in nats: what the votes so far leave open, or, of answers in the scores file, what the reward
    model's heads differ about. Pairs are drawn by that, spread over prompts, some by chance alone; the probability of
    each choice and the weight that makes the chosen a fair sample are written beside it. The file has `completions`,
    which accord score reads.
    """
    from accord.cli.select_scores import read_scores
    from accord.cli.selecting import material, questions, rank, rows
    from accord.exchange.writing import write_rows
    from accord.quality.select import assign, choose
    from accord.store.campaigns import Campaigns

    names = sorted(set(annotators or ()))
    most = _affordable(count, names, budget, overlap)
    known = read_scores(scores, column) if scores else None
    with open_store(find_project(project)) as store:
        campaigns = Campaigns(store)
        target = _campaign(campaigns, campaign) if campaign else None
        asked = campaigns.question_ids(target.id) if target else set()
        found = material(
            store, sources=source or (), annotators=names, campaign=target.id if target else "", asked=asked
        )
        if not found.pairs:
            raise AccordError(_nothing(store.counts(), bool(asked), source))
        ranking = rank(found, known)
        if known and not ranking.scored_P.any():
            raise AccordError(
                f"{scores}: has none of the project's answers (accord select --out writes a file to score)"
            )
        prompts = [pair[0] for pair in found.pairs]
        chosen = choose(
            ranking.information_P, prompts, most, random_share=random_share, per_prompt=per_prompt, seed=seed
        )
        who = None
        if names:
            budgets = dict.fromkeys(names, budget or most)
            who = assign([found.voted[one.pair] for one in chosen], budgets, overlap, seed)
            chosen, who = [one for one, by in zip(chosen, who, strict=True) if by], [by for by in who if by]
        if not chosen:
            raise AccordError("no vote would tell anything: all is decided (--random-share 1 asks all the same)")
        made = list(rows(found, ranking, chosen, who))
        if out:
            write_rows(out, made)
        new = campaigns.add_questions(questions(target, found, chosen)) if target else None
    told = {
        "candidates": len(found.pairs),
        "with_votes": int((ranking.votes_P > 0).sum()),
        "scored": int(ranking.scored_P.sum()),
        "chosen": len(made),
        "prompts": len({row["prompt_id"] for row in made}),
        "information": round(sum(row["information"] for row in made), 6),
        "annotators": {name: sum(name in by for by in who) for name in names} if who else {},
        "out": str(out) if out else None,
        "campaign": campaign,
        "new": new,
    }
    print(json.dumps(told | {"pairs": made}, ensure_ascii=False)) if as_json else _tell(told, made)


command.__doc__ = "\n\n".join([cleandoc(command.__doc__ or ""), "Examples:", *EXAMPLES])


def _affordable(count: int, names: Sequence[str], budget: int | None, overlap: int) -> int:
    """How many pairs the annotators' budgets allow. Raises AccordError for numbers that do not go together."""
    if budget and not names:
        raise AccordError("--budget: whose? Name them: --annotators ann --annotators bob")
    if overlap > max(len(names), 1):
        raise AccordError(f"--overlap {overlap}: name so many: --annotators ann --annotators bob")
    if budget is None:
        return count
    return min(count, max(len(names) * budget // overlap, 1))


def _campaign(campaigns: "Campaigns", id: str) -> Campaign:
    """The campaign of pairs that is called so. Raises AccordError."""
    there = {campaign.id: campaign for campaign in campaigns.all()}
    if id not in there:
        known = ", ".join(there) or "none"
        raise AccordError(f"--campaign {id}: there is none (there is {known}; accord ask --campaign {id} makes it)")
    if there[id].form is not Form.PAIR:
        raise AccordError(f"--campaign {id}: its questions are of another form ({there[id].form}); name one of pairs")
    return there[id]


def _nothing(counts: dict[str, int], asked: bool, source: Collection[str] | None) -> str:
    if not counts["responses"]:
        return "the project has no answers: accord import FILE, or accord sample --store --n 2"
    if asked:
        return "all pairs of answers have been asked about already: accord sample --store --n 4 makes more"
    if source:
        return f"--source {' '.join(source)}: no prompt has two different answers of theirs"
    return "no prompt has two different answers: accord sample --store --n 2"


def _tell(told: dict[str, Any], made: Sequence[dict[str, Any]]) -> None:
    """The first of the chosen as a table, then what there is in all."""
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for head in ("", "prompt", "A", "B", "votes", "nats", "probability"):
        table.add_column(head, justify="left" if head in ("prompt", "A", "B") else "right", no_wrap=True)
    width = max((console.width - NUMBERS) // 3, 8)
    for place, row in enumerate(made[:SHOWN], 1):
        texts = (escape(_line(content, width)) for content in (row["prompt"], *row["completions"]))
        figures = (f"{row['votes']}", f"{row['information']:.3f}", f"{row['probability']:.2g}")
        table.add_row(str(place), *texts, *figures)
    console.print(table)
    if len(made) > SHOWN:
        console.print(f"[dim]… and {len(made) - SHOWN:,} more[/dim]")
    by = "the reward model's heads" if told["scored"] else "the votes so far"
    print(
        f"\n{told['chosen']:,} of {told['candidates']:,} pairs, on {told['prompts']:,} prompts, by what {by} leave open"
    )
    for name, n in told["annotators"].items():
        print(f"  {name}: {n:,} questions")
    if told["campaign"]:
        print(f"{told['new']:,} new questions in campaign {told['campaign']}, asked first: accord serve")
    if told["out"]:
        print(f"→ {told['out']}")
    elif not told["campaign"]:
        print("Nothing was kept: --out FILE.jsonl writes them, --campaign ID asks them")


def _line(content: str | list[dict[str, str]], width: int) -> str:
    """The last thing that was said, on one line of so many letters."""
    return beginning(content if isinstance(content, str) else content[-1]["content"], width)
