"""What to ask next: pairs drawn where a vote tells most, some by chance, each with the probability of its choice.

One after the other, from the pairs that are left, pair i is drawn with probability

    q(i) = ε / left + (1 − ε) · s_i / Σ_j s_j          s_i = (γ^k_i · information_i)^β

k_i is how many pairs of its prompt were drawn by then, so γ < 1 spreads questions over prompts; ε is the random share;
β says how sharply the best are preferred (∞: always the best; 1: in proportion). Drawing rather than taking the best
keeps a batch from being many times the same question: Kirsch et al., "Stochastic Batch Acquisition: A Simple Baseline
for Deep Active Learning", 2023 (power acquisition).

What was asked for its information is no fair sample. Of N pairs of which M were drawn, the mth with q_m, the weights

    w_m = 1 + (N − M) / (N − m) · (1 / ((N − m + 1) q_m) − 1)

make it one: E[1/M Σ_m w_m f(i_m)] is the mean of f over all N, whatever the information was, as long as ε > 0.
Farquhar, Gal & Rainforth, "On Statistical Bias In Active Learning: How and When To Fix It", 2021, eq. 4 (R_LURE).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accord.feedback import Response, text_of
from accord.quality.information import Key

Floats = NDArray[np.float64]

#: β and γ: benchmarks/selection.py says what they are worth.
SHARPNESS, DISCOUNT = 4.0, 0.5


class Chosen(NamedTuple):
    """pair         its place among the candidates
    probability  with which it was drawn at its turn, q_m
    weight       w_m
    """

    pair: int
    probability: float
    weight: float


def candidates(responses: Iterable[Response]) -> list[Key]:
    """All pairs of responses to one prompt that differ in their text; demonstrations are in none."""
    by_prompt: dict[str, dict[str, str]] = {}
    for response in responses:
        if not response.demonstration:
            by_prompt.setdefault(response.prompt_id, {})[response.id] = text_of(response.content).strip()
    return [
        (prompt_id, a, b)
        for prompt_id, texts in by_prompt.items()
        for a, b in combinations(sorted(texts), 2)
        if texts[a] != texts[b]
    ]


def choose(
    information_P: ArrayLike,
    prompt_P: Sequence[str] | ArrayLike,
    count: int,
    *,
    random_share: float = 0.1,
    per_prompt: int | None = None,
    sharpness: float = SHARPNESS,
    discount: float = DISCOUNT,
    seed: int = 0,
) -> list[Chosen]:
    """Up to `count` of P pairs, in the order in which to ask them; fewer where no more votes would tell anything.

    information_P  nats, 0 or more (`quality.information`)
    prompt_P       which prompt each belongs to
    random_share   ε in [0, 1]; at 0 the weights are not to be relied on
    per_prompt     no pair is drawn for its information once its prompt has so many; by chance it still may be

    Raises ValueError for information that is negative or no number, and for shares outside [0, 1].
    """
    information_P = np.asarray(information_P, dtype=np.float64)
    if not (np.isfinite(information_P).all() and (information_P >= 0).all()):
        raise ValueError("information: give every pair a number of 0 or more")
    if not (0 <= random_share <= 1 and 0 <= discount <= 1 and sharpness > 0):
        raise ValueError("random_share and discount lie between 0 and 1, sharpness above 0")
    pairs = len(information_P)
    score_P = (information_P / (information_P.max(initial=0) or 1)) ** sharpness
    prompt_P = np.unique(np.asarray(prompt_P), return_inverse=True)[1]
    drawn_Q, left_P = np.zeros(prompt_P.max(initial=-1) + 1, dtype=int), np.ones(pairs, dtype=bool)
    random = np.random.default_rng(seed)
    drawn: list[tuple[int, float]] = []
    while len(drawn) < min(count, pairs):
        probs_P = _turn(score_P, left_P, random_share)
        if not probs_P.any():
            break
        pair = int(random.choice(pairs, p=probs_P))
        drawn.append((pair, float(probs_P[pair])))
        left_P[pair], score_P[pair] = False, 0.0
        prompt = prompt_P[pair]
        drawn_Q[prompt] += 1
        score_P[prompt_P == prompt] *= discount**sharpness if drawn_Q[prompt] != per_prompt else 0.0
    weights = sampling_weights([q for _, q in drawn], pairs)
    return [Chosen(pair, q, float(w)) for (pair, q), w in zip(drawn, weights, strict=True)]


def _turn(score_P: Floats, left_P: NDArray[np.bool_], random_share: float) -> Floats:
    """q(i) of each pair; 0 for all where no vote would tell anything, unless all is left to chance."""
    uniform_P, total = left_P / left_P.sum(), score_P.sum()
    if random_share == 1:
        return uniform_P
    if total <= 0:
        return np.zeros_like(score_P)
    probs_P = random_share * uniform_P + (1 - random_share) * score_P / total
    return probs_P / probs_P.sum()


def sampling_weights(probability_M: ArrayLike, pairs: int) -> Floats:
    """w_m of the draws in their order, [M], out of so many pairs: 1 each where all were drawn, or drawn by chance."""
    q_M = np.asarray(probability_M, dtype=np.float64)
    left_M = pairs - np.arange(len(q_M))  # N − m + 1
    return 1 + (pairs - len(q_M)) / np.maximum(left_M - 1, 1) * (1 / (left_M * q_M) - 1)


def assign(
    voted: Sequence[Collection[str]], budgets: Mapping[str, int], overlap: int = 1, seed: int = 0
) -> list[tuple[str, ...]]:
    """Who is to answer each question, in their order: `overlap` annotators, or as many as can.

    voted    of each question, who has answered it already: they are not asked again
    budgets  how many questions each annotator answers at most

    Each question goes to those with most of their budget left; the seed decides between equals.
    """
    random = np.random.default_rng(seed)
    left, asked = dict(budgets), []
    for said in voted:
        able = [name for name in sorted(left) if left[name] > 0 and name not in said]
        lots = dict(zip(able, random.permutation(len(able)), strict=True))
        who = tuple(sorted(able, key=lambda name: (-left[name], lots[name]))[:overlap])
        for name in who:
            left[name] -= 1
        asked.append(who)
    return asked
