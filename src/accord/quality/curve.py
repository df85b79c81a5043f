"""How much is enough: what labels learn from votes, by how many there are, and what more of them would buy.

Some votes are held out, labels are made from n of the others, and the log-loss of the held-out votes is taken:

    loss(n) = mean of −y ln p' − (1 − y) ln(1 − p')        p' = σ(κ · ln(p / (1 − p)))

p is the label's probability that people prefer A, y what the vote says of A: 1, ½ or 0. A label says what is true, and
votes are noisy: κ, one number for each labelling, turns the one into the other as well as can be. Knowing nothing costs
ln 2.

Through the losses at several n goes a power law, as learning curves have it (Hestness et al., "Deep Learning Scaling is
Predictable, Empirically", 2017), moved so that no votes cost ln 2:

    loss(n) = a + b · (1 + n / n₀)^−c        b = ln 2 − a

a is what people disagree about for good. Intervals are percentile bootstraps over prompts and repeats.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_expit, logit

from accord.feedback import Choice, Comparison
from accord.quality.ballots import standing
from accord.quality.information import Key
from accord.quality.labels import pair_labels

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MORE = 500
REPEATS, SIZES, SMALLEST = 6, 6, 0.25
RESAMPLES, LEVEL = 200, 0.95
NOTHING = float(np.log(2))
EXPONENTS = np.array([0.25, 0.5, 1.0, 2.0])  # c
BENDS = np.geomspace(0.05, 20, 40)  # n₀, as a share of the votes that labels are made from
#: Votes are held out of pairs that have so many: of two, one would be left, and how votes add up could not be seen.
OFTEN = 3
#: Such pairs that it takes to say anything.
FEWEST = 30
#: The most votes that the curve is drawn from: of more, some pairs are left out by chance.
MOST = 20_000
SURE = 0.01  # p is kept so far away from 0 and 1


class Point(NamedTuple):
    """The mean log-loss of held-out votes, in nats, where labels are made from so many votes."""

    votes: int
    loss: float


class Law(NamedTuple):
    """loss(n) = ln 2 − b · (1 − (1 + n / n₀)^−c): no votes cost ln 2, any number of them a = ln 2 − b."""

    b: float
    c: float
    n0: float

    def __call__(self, n: float) -> float:
        return NOTHING - self.b * (1 - (1 + n / self.n0) ** -self.c)


class Interval(NamedTuple):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Curve:
    """What labels learnt, and would learn.

    votes, pairs  how many there are now
    points        the curve as it was measured; None of the other figures where `unknown` says why
    now, then     loss with the votes there are, and with `more` of the same kind: on the same pairs
    gain          now − then, what `more` votes buy
    floor         a: the loss that no number of votes on these pairs goes below
    """

    votes: int
    pairs: int
    more: int = MORE
    points: tuple[Point, ...] = ()
    now: Interval | None = None
    then: Interval | None = None
    gain: Interval | None = None
    floor: Interval | None = None
    unknown: str = ""


class _Held(NamedTuple):
    """The votes that a repeat held out, one of each of H pairs: what they say of A, and what labels say, by size."""

    said_H: Floats
    p_SH: Floats


def learning_curve(
    comparisons: Iterable[Comparison], method: str = "dawid_skene", *, more: int = MORE, seed: int = 0
) -> Curve:
    """The learning curve of labels made by `method`, and what `more` votes on the same pairs would buy.

    Of every pair with OFTEN votes or more one is held out. Votes are given to the labels in rounds: every pair has its
    first before any has its second.

    Raises ValueError where `method` is not in LABELS.
    """
    by_pair: dict[Key, list[Comparison]] = defaultdict(list)
    for vote in standing(comparisons):
        if vote.left_id != vote.right_id:
            by_pair[_key(vote)].append(vote)
    votes = sum(map(len, by_pair.values()))
    known = Curve(votes, len(by_pair), more)
    random = np.random.default_rng(seed)
    by_pair = _thinned(by_pair, MOST / votes if votes > MOST else 1.0, random)
    judged = [key for key, on in by_pair.items() if len(on) >= OFTEN]
    if len(judged) < FEWEST:
        return replace(known, unknown=f"{len(judged)} pairs have {OFTEN} votes or more, and {FEWEST} are needed")
    used = sum(map(len, by_pair.values()))
    most = used - len(judged)
    sizes_S = np.unique(np.geomspace(SMALLEST * most, most, SIZES).round().astype(int))
    repeats = [_held_out(by_pair, judged, sizes_S, method, random) for _ in range(REPEATS)]
    loss_RSH = np.stack([_losses(held) for held in repeats])
    loss_S = loss_RSH.mean((0, 2))
    prompt_H = np.unique([key[0] for key in judged], return_inverse=True)[1]
    sizes_S = (sizes_S * (votes / used)).round().astype(int)
    laws = _laws(sizes_S, np.stack([loss_S, *_resampled(loss_RSH, prompt_H, random)]))
    return replace(
        known,
        points=tuple(Point(int(n), float(loss)) for n, loss in zip(sizes_S, loss_S, strict=True)),
        now=_interval([law(votes) for law in laws]),
        then=_interval([law(votes + more) for law in laws]),
        gain=_interval([law(votes) - law(votes + more) for law in laws]),
        floor=_interval([law(np.inf) for law in laws]),
    )


def _key(vote: Comparison) -> Key:
    a, b = sorted((vote.left_id, vote.right_id))
    return vote.prompt_id, a, b


def _thinned(by_pair: Mapping[Key, list[Comparison]], share: float, random: np.random.Generator) -> dict:
    """About this share of the pairs."""
    return {key: on for key, on in by_pair.items() if share == 1 or random.random() < share}


def _held_out(
    by_pair: Mapping[Key, Sequence[Comparison]],
    judged: Sequence[Key],
    sizes_S: Ints,
    method: str,
    random: np.random.Generator,
) -> _Held:
    """One vote of each pair in `judged`, drawn by chance, and labels of these pairs from the first n of the others."""
    rounds: list[tuple[int, float, Comparison]] = []
    said_H = []
    for key, votes in by_pair.items():
        order = [votes[n] for n in random.permutation(len(votes))]
        if len(order) >= OFTEN:
            said_H.append(_says(order.pop(), key))
        rounds += [(turn, random.random(), vote) for turn, vote in enumerate(order)]
    rest = [vote for *_, vote in sorted(rounds, key=lambda one: one[:2])]
    return _Held(np.array(said_H), np.stack([_labels(rest[:n], judged, method) for n in sizes_S]))


def _says(vote: Comparison, key: Key) -> float:
    """y: 1 for A, the response with the smaller id; 0 for B; a tie, or both bad, between."""
    if vote.choice not in (Choice.LEFT, Choice.RIGHT):
        return 0.5
    return float((vote.choice is Choice.LEFT) == (vote.left_id == key[1]))


def _labels(votes: Sequence[Comparison], judged: Sequence[Key], method: str) -> Floats:
    """p of each pair in `judged`, ½ where no vote says anything."""
    found = {}
    for label in pair_labels(votes, method):
        a, b = sorted((label.chosen_id, label.rejected_id))
        found[label.prompt_id, a, b] = label.p_chosen if label.chosen_id == a else 1 - label.p_chosen
    return np.array([found.get(key, 0.5) for key in judged])


def _losses(held: _Held) -> Floats:
    """The log-loss of each held-out vote at each size, [S, H], with the κ that is best at that size."""
    logit_SH = logit(np.clip(held.p_SH, SURE, 1 - SURE))
    return np.stack([_loss(_kappa(logit_H, held.said_H), logit_H, held.said_H) for logit_H in logit_SH])


def _loss(kappa: float, logit_H: Floats, said_H: Floats) -> Floats:
    return -said_H * log_expit(kappa * logit_H) - (1 - said_H) * log_expit(-kappa * logit_H)


def _kappa(logit_H: Floats, said_H: Floats) -> float:
    return float(minimize_scalar(lambda k: _loss(k, logit_H, said_H).mean(), bounds=(0, 3), method="bounded").x)


def _resampled(loss_RSH: Floats, prompt_H: Ints, random: np.random.Generator) -> Iterator[Floats]:
    """The curve, [S], of prompts and repeats drawn with replacement."""
    repeats, prompts = len(loss_RSH), int(prompt_H.max()) + 1
    for _ in range(RESAMPLES):
        drawn_R = random.integers(repeats, size=repeats)
        weight_H = np.bincount(random.integers(prompts, size=prompts), minlength=prompts)[prompt_H]
        if weight_H.any():
            yield loss_RSH[drawn_R].mean(0) @ weight_H / weight_H.sum()


def _laws(sizes_S: Ints, loss_BS: Floats) -> list[Law]:
    """The law nearest to each curve by least squares, 0 ≤ b ≤ ln 2: for each c and n₀ on a grid the best b is known."""
    c_L, n0_L = (grid.ravel() for grid in np.meshgrid(EXPONENTS, sizes_S[-1] * BENDS))
    learnt_LS = 1 - (1 + sizes_S / n0_L[:, None]) ** -c_L[:, None]
    b_BL = np.clip((NOTHING - loss_BS) @ learnt_LS.T / (learnt_LS**2).sum(-1), 0, NOTHING)
    error_BL = ((NOTHING - loss_BS[:, None] - b_BL[..., None] * learnt_LS) ** 2).sum(-1)
    return [Law(float(b_BL[i, l]), float(c_L[l]), float(n0_L[l])) for i, l in enumerate(error_BL.argmin(-1))]


def _interval(drawn: Sequence[float]) -> Interval:
    """The first, with the middle 95 % of the others."""
    low, high = np.quantile(drawn[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(drawn[0], float(low), float(high))
