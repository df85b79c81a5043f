"""Training rows: what trainers read, in TRL's forms, and beside them how sure people were."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from accord.feedback import (
    AccordError,
    Content,
    Message,
    PairLabel,
    Prompt,
    Response,
    ResponseLabel,
    fingerprint,
    to_json,
)

Row = dict[str, Any]


class Split(NamedTuple):
    """Whole prompts for training and for testing: no text is in both."""

    train: list[Prompt]
    test: list[Prompt]


def split_prompts(prompts: Iterable[Prompt], test_fraction: float = 0.1) -> Split:
    """Which prompts to train on and which to keep for testing.

    Where prompts are marked, the marks hold: if any is marked `test` those are the test, and what is not marked is for
    training. (The same text marked both ways is for testing.) Where none is, a hash of each prompt's text decides:
    about `test_fraction` of them are for testing, at least one of two or more unless the fraction is 0, and a prompt
    stays where it was when others are added.
    """
    keyed = [(fingerprint("prompt", to_json(prompt.content)), prompt) for prompt in prompts]
    marks: dict[str, set[str]] = {}
    for key, prompt in keyed:
        marks.setdefault(key, set()).add(prompt.split)
    tested = {key for key, splits in marks.items() if "test" in splits}
    if not tested and test_fraction > 0:
        unmarked = sorted(key for key, splits in marks.items() if splits == {""})
        low = sum(int(key, 16) < test_fraction * 16 ** len(key) for key in unmarked)
        tested = set(unmarked[: min(max(low, 1), len(marks) - 1)])
    return Split([p for key, p in keyed if key not in tested], [p for key, p in keyed if key in tested])


def preference_rows(
    prompts: Iterable[Prompt], responses: Iterable[Response], pair_labels: Iterable[PairLabel]
) -> Iterator[Row]:
    """{"id", "prompt", "chosen", "rejected", "p_chosen", "weight", …extra columns} for each label.

    If people called any of the pairs alike, all rows have `p_tie` as well, whichever prompts are given: the rows of
    every split have the same columns. Labels of prompts that are not given are passed over, so the rows of one split
    are those of its prompts. Raises AccordError where a label speaks of a response that is not given.
    """
    asked, said = {p.id: p for p in prompts}, {r.id: r for r in responses}
    labels = list(pair_labels)
    ties = any(label.p_tie > 0 for label in labels)
    for label in labels:
        if label.prompt_id in asked:
            prompt = asked[label.prompt_id]
            chosen, rejected = _response(said, label.chosen_id), _response(said, label.rejected_id)
            asked_json, chosen_json, rejected_json = alike(prompt.content, chosen.content, rejected.content)
            row = {
                "id": fingerprint("preference", prompt.id, chosen.id, rejected.id),
                "prompt": asked_json,
                "chosen": chosen_json,
                "rejected": rejected_json,
                "p_chosen": label.p_chosen,
                "p_tie": label.p_tie,
                "weight": label.weight,
            }
            row = _with_extra(row, prompt.extra, label.extra)
            yield row if ties else {column: value for column, value in row.items() if column != "p_tie"}


def unpaired_rows(
    prompts: Iterable[Prompt], responses: Iterable[Response], response_labels: Iterable[ResponseLabel]
) -> Iterator[Row]:
    """{"id", "prompt", "completion", "label", "p_desirable", "weight", …} for each label; `label` is p_desirable ≥ ½.

    Prompts and errors as in `preference_rows`.
    """
    asked, said = {p.id: p for p in prompts}, {r.id: r for r in responses}
    for label in response_labels:
        if label.prompt_id in asked:
            prompt, response = asked[label.prompt_id], _response(said, label.response_id)
            prompt_json, completion_json = alike(prompt.content, response.content)
            yield _with_extra(
                {
                    "id": fingerprint("unpaired", prompt.id, response.id),
                    "prompt": prompt_json,
                    "completion": completion_json,
                    "label": label.p_desirable >= 0.5,
                    "p_desirable": label.p_desirable,
                    "weight": label.weight,
                },
                prompt.extra,
                response.extra,
                label.extra,
            )


def demonstration_rows(prompts: Iterable[Prompt], responses: Iterable[Response]) -> Iterator[Row]:
    """{"id", "prompt", "completion", …} for each response to one of `prompts` that is marked as a demonstration."""
    asked = {p.id: p for p in prompts}
    for response in responses:
        if response.demonstration and response.prompt_id in asked:
            prompt = asked[response.prompt_id]
            prompt_json, completion_json = alike(prompt.content, response.content)
            row = {
                "id": fingerprint("demonstration", prompt.id, response.id),
                "prompt": prompt_json,
                "completion": completion_json,
            }
            yield _with_extra(row, prompt.extra, response.extra)


def prompt_rows(prompts: Iterable[Prompt]) -> Iterator[Row]:
    """{"id", "prompt", …} for each prompt."""
    for prompt in prompts:
        yield _with_extra({"id": prompt.id, "prompt": to_json(prompt.content)}, prompt.extra)


def _response(said: Mapping[str, Response], response_id: str) -> Response:
    if response_id not in said:
        raise AccordError(f"response {response_id} was judged but is not here: read the file that holds it as well")
    return said[response_id]


def alike(prompt: Content, *answers: Content) -> list[Any]:
    """All as text if all are texts, else all as messages: trainers take one form or the other, never both in a row."""
    if all(isinstance(content, str) for content in (prompt, *answers)):
        return [prompt, *answers]
    asked = (Message("user", prompt),) if isinstance(prompt, str) else prompt
    said = ((Message("assistant", text),) if isinstance(text, str) else text for text in answers)
    return [to_json(asked), *map(to_json, said)]


def _with_extra(row: Row, *extras: Mapping[str, Any]) -> Row:
    """`row` and the columns that came with its parts; a later part wins, and the row's own columns stand."""
    for extra in reversed(extras):
        for column, value in extra.items():
            row.setdefault(column, value)
    return row
