"""llmfao: crowd workers' votes on pairs of language models' answers (https://github.com/dustalov/llmfao).

`crowd-comparisons.csv` has the votes, `pairs-crowd.jsonl` the texts of each pair id: give both. The control questions
of `pairs-crowd-training.jsonl` may come too; the right answer to each is then a vote of the annotator
`llmfao:control`. Left is always model_x, so the sides are fixed. Empty answers are kept: people judged them.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from accord.exchange.bad_input import BadInput, shown
from accord.exchange.formats.form import Format
from accord.exchange.judgements import Votes, split_of
from accord.exchange.source import Record, Source, uncelled
from accord.feedback import Annotator, AnnotatorKind, Choice, Comparison, Message, Noun, Prompt, Response, Sides

WINNERS = {"left": Choice.LEFT, "right": Choice.RIGHT, "tie": Choice.TIE}
TEXTS = {"result_x", "result_y"}
#: What the votes say of the models: it is kept as the responses' source.
MODELS = ("model_x", "model_y", "left", "right")


class Pair(NamedTuple):
    """What a pair id stands for."""

    prompt_id: str
    left_id: str
    right_id: str


def _sniff(row: Mapping[str, Any]) -> bool:
    return {"model_x", "model_y"} <= row.keys() and not row.keys().isdisjoint(TEXTS | {"worker", "winner"})


def _read(sources: list[Source]) -> Iterator[Noun]:
    texts = [source for source in sources if TEXTS & source.first().values.keys()]
    votes = [source for source in sources if source not in texts]
    if not texts:
        raise BadInput(
            sources[0].path, 1, "id", "names pairs whose texts are not here (give pairs-crowd.jsonl with it)"
        )
    if not votes and not any("golden" in source.first().values for source in texts):
        raise BadInput(sources[0].path, 1, "file", "has texts and no votes (give crowd-comparisons.csv with it)")
    names = _model_names(votes)
    pairs: dict[str, Pair] = {}
    for source in texts:
        yield from _texts(source, names, pairs)
    for source in votes:
        yield from _votes(source, pairs)


def _model_names(votes: list[Source]) -> dict[str, str]:
    """Model numbers to the names that the votes give beside them."""
    names = {}
    for source in votes:
        for _, row in source.lines(lambda _: None):
            names.update({row.get("model_x"): row.get("left"), row.get("model_y"): row.get("right")})
    return {str(number): name for number, name in names.items() if name}


def _texts(source: Source, names: dict[str, str], pairs: dict[str, Pair]) -> Iterator[Noun]:
    votes = Votes()
    for record in source.records():
        pair_id = record.name("id")
        if pair_id in pairs:
            raise record.bad("id", f"{shown(pair_id)} stands twice (each pair has one row)")
        extra = record.others("id", "prompt", "text", "model_x", "result_x", "model_y", "result_y", "golden", "reason")
        if "prompt" in record.values:
            extra["prompt_number"] = record.values["prompt"]
        asked = (Message("user", record.text("text")),)
        prompt = Prompt(asked, split=split_of(record), extra=extra)
        left, right = (_response(record, prompt, side, names) for side in ("x", "y"))
        pairs[pair_id] = Pair(prompt.id, left.id, right.id)
        yield from (prompt, left, right)
        if record.values.get("golden") is not None:
            yield from _control(record, votes, pairs[pair_id])


def _response(record: Record, prompt: Prompt, side: str, names: dict[str, str]) -> Response:
    number = record.name(f"model_{side}")
    said = (Message("assistant", record.text(f"result_{side}", blank=True)),)
    return Response(prompt.id, said, source=names.get(number, f"model {number}"))


def _control(record: Record, votes: Votes, pair: Pair) -> Iterator[Noun]:
    choice = _winner(record, "golden")
    annotator = Annotator("llmfao:control", AnnotatorKind.DATASET)
    reason = record.values.get("reason") or ""
    yield annotator
    yield Comparison(
        votes.id("comparison", annotator.id, *pair, choice),
        annotator.id,
        *pair,
        choice,
        record.at,
        sides=Sides.FIXED,
        comment=record.checked("reason", reason, blank=True),
        extra={"control": True},
    )


def _votes(source: Source, pairs: dict[str, Pair]) -> Iterator[Noun]:
    votes = Votes()
    for record in source.records():
        pair_id = record.name("id")
        if pair_id not in pairs:
            raise record.bad("id", f"{shown(pair_id)} is no pair of the texts (give the pairs file that has it)")
        pair, choice = pairs[pair_id], _winner(record, "winner")
        annotator = Annotator(f"llmfao:{record.name('worker')}")
        extra = {"pair": uncelled(record.values["id"]), **record.others("id", "prompt", "worker", "winner", *MODELS)}
        yield annotator
        yield Comparison(
            votes.id("comparison", annotator.id, *pair, choice, extra),
            annotator.id,
            *pair,
            choice,
            record.at,
            sides=Sides.FIXED,
            extra=extra,
        )


def _winner(record: Record, field: str) -> Choice:
    value = record.text(field)
    if value not in WINNERS:
        raise record.bad(field, f"is {shown(value)}, expected one of {', '.join(WINNERS)}")
    return WINNERS[value]


LLMFAO = Format("id, model_x, model_y, worker, winner; and a file of id, text, result_x, result_y", _sniff, _read)
