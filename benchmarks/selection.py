"""Does it pay to choose what to ask? A reward is learnt from votes on pairs drawn by chance, and on as many chosen by
what its ensemble is unsure of. Prints JSON.

    python benchmarks/selection.py             # twenty seeds, half a minute
    python benchmarks/selection.py --spread 0  # answers to each prompt differ as much as those to any other

The truth is a reward linear in an answer's features. A panel of annotators, from careful to careless, votes on one pair
at a time; what they say is Bradley-Terry in the true rewards, or a coin where they do not look. How much the answers to
a prompt differ varies from prompt to prompt, log-normally: a model is of one mind about some prompts and of many about
others. The reward is a ridge logistic regression on the votes so far; draws from its Laplace posterior are the
ensemble. Compared is how often it ranks pairs of other prompts rightly, against the number of votes; and the share of
the votes that choosing needs until it is, and stays, where chance ends, with the standard error of a bootstrap over
seeds.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from accord.quality.information import entropy, margin_information
from accord.quality.select import choose

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RELIABILITY = np.linspace(1.0, 0.6, 5)
MEMBERS = 32
RESAMPLES = 1000


@dataclass(frozen=True)
class Setting:
    """prompts    half are asked about, half are kept to measure
    spread     how much the log of the differences between a prompt's answers varies
    scale      length of the true weights: with 1, two answers that differ by 1 in each feature are told apart as σ(1)
    batch      votes between two fits of the reward
    """

    prompts: int = 1200
    answers: int = 4
    features: int = 12
    spread: float = 1.0
    scale: float = 1.0
    votes: int = 400
    batch: int = 40
    random_share: float = 0.1


class World(NamedTuple):
    """Pairs to ask about, P of them: feature differences, prompts, what a vote would say; and T pairs to measure on."""

    pairs_PF: Floats
    prompt_P: Ints
    vote_P: Floats
    test_TF: Floats
    truth_F: Floats


class Reward(NamedTuple):
    """Weights and their covariance."""

    mean_F: Floats
    covariance_FF: Floats


def world(setting: Setting, random: np.random.Generator) -> World:
    shape = (setting.prompts, setting.answers, setting.features)
    differ = np.exp(setting.spread * random.normal(size=(setting.prompts, 1, 1)))
    answers = differ * random.normal(size=shape)
    truth_F = random.normal(size=setting.features)
    truth_F *= setting.scale / np.linalg.norm(truth_F)
    a, b = np.array(list(combinations(range(setting.answers), 2))).T
    pairs = answers[:, a] - answers[:, b]
    asked, kept = np.split(pairs, 2)
    pairs_PF = asked.reshape(-1, setting.features)
    looked = random.random(len(pairs_PF)) < random.choice(RELIABILITY, len(pairs_PF))
    vote_P = random.random(len(pairs_PF)) < np.where(looked, expit(pairs_PF @ truth_F), 0.5)
    prompt_P = np.repeat(np.arange(len(asked)), len(a))
    return World(pairs_PF, prompt_P, vote_P.astype(float), kept.reshape(-1, setting.features), truth_F)


def fit(pairs_NF: Floats, vote_N: Floats, ridge: float = 1.0) -> Reward:
    """The weights most probable after the votes under a prior N(0, 1 / ridge), by Newton's method."""
    mean_F = np.zeros(pairs_NF.shape[1])
    prior_FF = ridge * np.eye(len(mean_F))
    for _ in range(50):
        p_N = expit(pairs_NF @ mean_F)
        hessian_FF = (pairs_NF.T * (p_N * (1 - p_N))) @ pairs_NF + prior_FF
        step_F = np.linalg.solve(hessian_FF, pairs_NF.T @ (vote_N - p_N) - ridge * mean_F)
        mean_F = mean_F + step_F
        if np.abs(step_F).max() < 1e-8:
            break
    return Reward(mean_F, np.linalg.inv(hessian_FF))


def accuracy(reward: Reward, world: World) -> float:
    return float(((world.test_TF @ reward.mean_F > 0) == (world.test_TF @ world.truth_F > 0)).mean())


def by_chance(reward: Reward, pairs_PF: Floats, random: np.random.Generator) -> Floats:
    return np.ones(len(pairs_PF))


def by_uncertainty(reward: Reward, pairs_PF: Floats, random: np.random.Generator) -> Floats:
    """Entropy of what the one best reward predicts: the baseline that takes noise for ignorance."""
    p_P = expit(pairs_PF @ reward.mean_F)
    return entropy(np.stack([p_P, 1 - p_P], -1))


def by_information(reward: Reward, pairs_PF: Floats, random: np.random.Generator) -> Floats:
    """What `accord select --scores` ranks by: the ensemble's mean and standard deviation of each margin."""
    members_MF = random.multivariate_normal(*reward, size=MEMBERS)
    margin_PM = pairs_PF @ members_MF.T
    return margin_information(margin_PM.mean(1), margin_PM.std(1))


WAYS: dict[str, Callable[[Reward, Floats, np.random.Generator], Floats]] = {
    "random": by_chance,
    "uncertainty": by_uncertainty,
    "selection": by_information,
}


def learnt(setting: Setting, way: str, seed: int) -> list[float]:
    """The accuracy after each batch of votes. All ways see the same world, the same votes and the same first batch."""
    random = np.random.default_rng(seed)
    made = world(setting, random)
    asked = list(random.permutation(len(made.pairs_PF))[: setting.batch])
    found = []
    while True:
        reward = fit(made.pairs_PF[asked], made.vote_P[asked])
        found.append(accuracy(reward, made))
        if len(asked) >= setting.votes:
            return found
        left = np.setdiff1d(np.arange(len(made.pairs_PF)), asked)
        information_P = WAYS[way](reward, made.pairs_PF[left], random)
        share = 1.0 if way == "random" else setting.random_share
        size = min(setting.batch, setting.votes - len(asked))
        drawn = choose(information_P, made.prompt_P[left], size, random_share=share, seed=int(random.integers(2**32)))
        asked += [int(left[one.pair]) for one in drawn]


def needed(curve_V: Floats, target: float, votes_V: Ints) -> float:
    """The votes from which on the curve, a line through its points, stays at the target or above; else all."""
    below = np.flatnonzero(curve_V < target)
    if not len(below):
        return float(votes_V[0])
    last = below[-1]
    if last == len(curve_V) - 1:
        return float(votes_V[-1])
    part = (target - curve_V[last]) / (curve_V[last + 1] - curve_V[last])
    return float(votes_V[last] + part * (votes_V[last + 1] - votes_V[last]))


def share(curves_SV: Floats, random_SV: Floats, votes_V: Ints) -> tuple[float, float]:
    """Of the votes, those until the mean curve is where random's ends; and the standard error over seeds."""

    def of(seeds: Ints) -> float:
        target = random_SV[seeds].mean(0)[-1]
        return needed(curves_SV[seeds].mean(0), target, votes_V) / votes_V[-1]

    seeds = len(curves_SV)
    random = np.random.default_rng(0)
    drawn = [of(random.integers(seeds, size=seeds)) for _ in range(RESAMPLES)]
    return of(np.arange(seeds)), float(np.std(drawn, ddof=1))


def measured(setting: Setting, seeds: int) -> dict:
    votes_V = np.minimum(np.arange(1, -(-setting.votes // setting.batch) + 1) * setting.batch, setting.votes)
    curves = {way: np.array([learnt(setting, way, seed) for seed in range(seeds)]) for way in WAYS}
    found = {}
    for way, curves_SV in curves.items():
        mean, error = share(curves_SV, curves["random"], votes_V)
        found[way] = {
            "accuracy": curves_SV.mean(0).round(4).tolist(),
            "final_accuracy": round(float(curves_SV[:, -1].mean()), 4),
            "final_accuracy_se": round(float(curves_SV[:, -1].std(ddof=1) / seeds**0.5), 4),
            "share_of_votes": round(mean, 3),
            "share_of_votes_se": round(error, 3),
        }
    return {"setting": asdict(setting), "seeds": seeds, "votes": votes_V.tolist(), "ways": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    for name, default in asdict(Setting()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    asked = vars(parser.parse_args())
    seeds = asked.pop("seeds")
    started = time.monotonic()
    made = measured(Setting(**asked), seeds)
    print(json.dumps(made | {"seconds": round(time.monotonic() - started, 1)}, indent=2))


if __name__ == "__main__":
    main()
