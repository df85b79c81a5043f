"""What `accord select` chooses from, and how it ranks and writes what it chose."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accord.cli.select_scores import Margin, Scores, margin, words
from accord.feedback import Campaign, Comparison, Prompt, Question, Response, text_of, to_json
from accord.quality.ballots import standing
from accord.quality.information import (
    Key,
    average_annotator,
    beliefs,
    margin_information,
    tallies,
    vote_information,
)
from accord.quality.labels import pair_labels
from accord.quality.naming import names_itself
from accord.quality.select import Chosen, candidates
from accord.web import drawing

if TYPE_CHECKING:
    from accord.store import Store

Floats = NDArray[np.float64]
DIGITS = 6


class Material(NamedTuple):
    """What the project has: pairs that people may be asked about, what these are made of, and the votes on them.

    voted  of each pair, who has judged it
    """

    pairs: list[Key]
    prompts: dict[str, Prompt]
    responses: dict[str, Response]
    comparisons: list[Comparison]
    voted: list[set[str]]


class Ranking(NamedTuple):
    """Of each pair: what a vote would tell; the votes there are; and whether the heads' scores say so."""

    information_P: Floats
    votes_P: Floats
    scored_P: NDArray[np.bool_]


def material(
    store: Store,
    *,
    sources: Sequence[str] = (),
    annotators: Collection[str] = (),
    campaign: str = "",
    asked: Collection[str] = (),
) -> Material:
    """All pairs in the store, but those that every one of `annotators` has judged, and the questions of `campaign`,
    whose ids are `asked`."""
    responses = {response.id: response for response in drawing.answers(store, sources=sources)}
    comparisons = list(standing(store.comparisons()))
    judged: dict[Key, set[str]] = {}
    for vote in comparisons:
        a, b = sorted((vote.left_id, vote.right_id))
        judged.setdefault((vote.prompt_id, a, b), set()).add(vote.annotator_id)
    pairs = [
        pair
        for pair in candidates(responses.values())
        if not (annotators and judged.get(pair, set()).issuperset(annotators))
        and not (asked and drawing.question_id(campaign, pair[1:]) in asked)
    ]
    prompts = {prompt.id: prompt for prompt in store.prompts()}
    return Material(pairs, prompts, responses, comparisons, [judged.get(pair, set()) for pair in pairs])


def rank(found: Material, scores: Scores | None) -> Ranking:
    """By the heads' disagreement where `scores` has both answers, else by what the votes leave open.

    What a data set states counts as one vote by an average annotator, not as the truth: else nobody would ever be asked
    about it. The heads are taken not to have seen the votes; if they have, pairs with votes are asked a little less.
    """
    truth_P3 = beliefs(found.pairs, pair_labels(found.comparisons))
    counts_P3 = tallies(found.pairs, found.comparisons)
    information_P = vote_information(truth_P3, average_annotator(truth_P3, counts_P3))
    margins = [_margin(found, pair, scores) for pair in found.pairs] if scores else [None] * len(found.pairs)
    scored_P = np.array([margin is not None for margin in margins])
    if scored_P.any():
        mean_S, std_S = np.array([margin for margin in margins if margin is not None]).T
        information_P[scored_P] = margin_information(mean_S, std_S, counts_P3[scored_P])
    return Ranking(information_P, counts_P3.sum(-1), scored_P)


def _margin(found: Material, pair: Key, scores: Scores) -> Margin | None:
    prompt_id, *ids = pair
    prompt = words(found.prompts[prompt_id].content)
    a, b = ((prompt, words(found.responses[id].content)) for id in ids)
    return margin(scores, a, b)


def rows(
    found: Material, ranking: Ranking, chosen: Sequence[Chosen], who: Sequence[Sequence[str]] | None
) -> Iterator[dict[str, Any]]:
    """A row of the file for each chosen pair; `who` is to answer it, where that was asked."""
    for place, one in enumerate(chosen):
        prompt_id, a, b = found.pairs[one.pair]
        row = {
            "prompt_id": prompt_id,
            "response_ids": [a, b],
            "prompt": to_json(found.prompts[prompt_id].content),
            "completions": [to_json(found.responses[id].content) for id in (a, b)],
            "information": round(float(ranking.information_P[one.pair]), DIGITS),
            "votes": int(ranking.votes_P[one.pair]),
            "probability": one.probability,
            "weight": round(one.weight, DIGITS),
        }
        yield row if who is None else row | {"annotators": list(who[place])}


def questions(campaign: Campaign, found: Material, chosen: Sequence[Chosen]) -> Iterator[Question]:
    """The chosen as questions of `campaign`, to be asked in their order and before those that `accord ask` draws."""
    sources = {response.source for response in found.responses.values() if response.source}
    for place, one in enumerate(chosen):
        prompt_id, *ids = found.pairs[one.pair]
        yield Question(
            drawing.question_id(campaign.id, ids),
            campaign.id,
            prompt_id,
            tuple(ids),
            place / len(chosen) - 1,
            campaign.overlap,
            named=next(filter(None, (names_itself(text_of(found.responses[id].content), sources) for id in ids)), ""),
        )
