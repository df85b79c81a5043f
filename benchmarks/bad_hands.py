"""Are bad hands found, and good ones left alone? Simulated crowds with known roles; prints JSON.

    python benchmarks/bad_hands.py   # 20 seeds of every crowd: about six minutes on one core
    python benchmarks/bad_hands.py --seeds 2 --only spammers colluders

A hundred annotators, five votes an item unless it says otherwise. An honest one knows the answer to a share r of the
items, r spread evenly, and guesses the rest: accuracy is (1 + r) / 2. Every figure is a mean over seeds with its
standard error; shares are in [0, 1].
"""

import argparse
import json
import time
from collections.abc import Callable
from statistics import mean, stdev

import numpy as np
from scipy.stats import rankdata, spearmanr

from accord.quality.bad_hands import Kind, bad_hands
from accord.quality.crowd import NOBODY, Cast, Crowd, Role, draw_crowd, draw_margins, name, simulate_votes
from accord.quality.dawid_skene import Floats

Figures = dict[str, float]
BAD = (Role.RANDOM, Role.ALWAYS_LEFT, Role.COPIER, Role.COLLUDER, Role.TOO_FAST)


def cast(seed: int, roles: dict[Role, int], votes: int, an_item: int = 5, spread: float = 0, **more) -> tuple:
    """A crowd, what it says, and by how much A is better."""
    rng = np.random.default_rng(seed)
    crowd = draw_crowd(rng, roles, **more)
    n = sum(roles.values())
    margin_IT = draw_margins(rng, n * votes // an_item, len(more.get("tastes", (1,))), spread)
    return crowd, simulate_votes(rng, crowd, margin_IT, votes), margin_IT


def flagged(crowd: Crowd, said: Cast, *kinds: Kind) -> np.ndarray:
    """Who is named, for any of these kinds, [J]."""
    n = len(crowd.role_J)
    report = bad_hands(
        said.votes,
        ids=[name(j) for j in range(n)],
        at_N=said.at_N,
        seconds_N=said.seconds_N,
        characters_N=said.characters_N,
    )
    named = {finding.annotator_id for finding in report.findings if finding.kind in kinds}
    return np.array([name(j) in named for j in range(n)])


def auc(bad_J: np.ndarray, known_J: Floats) -> float:
    """P(a bad hand is known for less than a good one), a draw being half."""
    ranks_J = rankdata(-known_J)
    bad, good = int(bad_J.sum()), int((~bad_J).sum())
    return float((ranks_J[bad_J].sum() - bad * (bad + 1) / 2) / (bad * good))


def spammers(seed: int, an_item: int = 5, lowest: float = 0.4) -> Figures:
    crowd, said, _ = cast(seed, {Role.HONEST: 80, Role.RANDOM: 20}, 30, an_item, reliability=(lowest, 0.9))
    known = bad_hands(said.votes).known_J
    random_J, hit_J = crowd.are(Role.RANDOM), flagged(crowd, said, *Kind)
    return {"auc": auc(random_J, known.mean_J), **shares(hit_J, random_J, ~random_J)}


def colluders(seed: int, votes: int = 60, noise: float = 0, groups: int = 1) -> Figures:
    roles = {Role.HONEST: 80, Role.COLLUDER: 20}
    crowd, said, _ = cast(seed, roles, votes, reliability=(0, 0.9), noise=noise, groups=groups)
    bad_J = crowd.are(Role.COLLUDER)
    return shares(flagged(crowd, said, Kind.COORDINATED), bad_J, ~bad_J)


def copiers(seed: int, votes: int = 60, noise: float = 0) -> Figures:
    """`copied_from` is the share of those copied from who are named."""
    crowd, said, _ = cast(seed, {Role.HONEST: 90, Role.COPIER: 10}, votes, reliability=(0, 0.9), noise=noise)
    hit_J = flagged(crowd, said, Kind.COORDINATED)
    source_J = np.isin(np.arange(100), crowd.copies_J[crowd.copies_J != NOBODY])
    found = shares(hit_J, crowd.are(Role.COPIER), crowd.are(Role.HONEST) & ~source_J)
    return {**found, "copied_from": float(hit_J[source_J].mean())}


def everybody(seed: int) -> Figures:
    """All five kinds at once, at 60 votes each; for any reason."""
    roles = {Role.HONEST: 60, **dict.fromkeys(BAD, 8)}
    crowd, said, _ = cast(seed, roles, 60, reliability=(0.3, 0.9), side_bias=0.3, temperature=0.3, noise=0.02)
    hit_J = flagged(crowd, said, *Kind)
    of_role = {f"found_{role.replace(' ', '_')}": float(hit_J[crowd.are(role)].mean()) for role in BAD}
    return {**of_role, "false_alarms": float(hit_J[crowd.are(Role.HONEST)].mean())}


def honest(seed: int, **more) -> Figures:
    """Nobody is bad; false alarms of any kind."""
    crowd, said, _ = cast(seed, {Role.HONEST: 100}, 60, **more)
    return {f"false_alarms_{kind.replace(' ', '_')}": float(flagged(crowd, said, kind).mean()) for kind in Kind}


def reliability(seed: int, an_item: int = 5) -> Figures:
    """Rank correlation of what is found out with the truth; beside it, were the right answers known."""
    crowd, said, margin_IT = cast(seed, {Role.HONEST: 100}, 60, an_item, reliability=(0, 0.9))
    known = bad_hands(said.votes).known_J
    right_N = said.votes.vote_N == np.where(margin_IT[:, 0] > 0, 0, 2)[said.votes.item_N]
    right_J = np.bincount(said.votes.annotator_N, right_N)
    within_J = np.abs(known.mean_J - crowd.reliability_J) <= 2 * known.se_J
    return {
        "spearman": float(spearmanr(crowd.reliability_J, known.mean_J).statistic),
        "spearman_if_the_truth_were_known": float(spearmanr(crowd.reliability_J, right_J).statistic),
        "within_two_standard_errors": float(within_J.mean()),
    }


def shares(hit_J: np.ndarray, bad_J: np.ndarray, good_J: np.ndarray) -> Figures:
    return {"found": float(hit_J[bad_J].mean()), "false_alarms": float(hit_J[good_J].mean())}


#: name -> what one seed of it gives
CROWDS: dict[str, Callable[[int], Figures]] = {
    "spammers": spammers,
    "spammers_ten_votes_an_item": lambda seed: spammers(seed, an_item=10),
    "spammers_beside_honest_accuracy_from_0.6": lambda seed: spammers(seed, lowest=0.2),
    "colluders": colluders,
    "colluders_30_votes": lambda seed: colluders(seed, votes=30),
    "colluders_noise_0.05": lambda seed: colluders(seed, noise=0.05),
    "colluders_noise_0.1": lambda seed: colluders(seed, noise=0.1),
    "colluders_two_groups": lambda seed: colluders(seed, groups=2),
    "copiers": copiers,
    "copiers_noise_0.05": lambda seed: copiers(seed, noise=0.05),
    "everybody": everybody,
    "reliability": reliability,
    "reliability_ten_votes_an_item": lambda seed: reliability(seed, an_item=10),
    "honest": lambda seed: honest(seed, reliability=(0.4, 0.9)),
    "honest_hard_items": lambda seed: honest(seed, reliability=(0.6, 1), temperature=0.5, spread=1.0),
    "honest_biased_and_tired": lambda seed: honest(
        seed, reliability=(0.6, 1), temperature=0.5, side_bias=0.3, fatigue=0.01
    ),
    "honest_two_tastes": lambda seed: honest(seed, reliability=(0.4, 0.9), tastes=(0.7, 0.3)),
}


def summed(rows: list[Figures]) -> dict[str, dict[str, float]]:
    """Mean and standard error of each figure over seeds."""
    return {
        key: {"mean": round(mean(values), 4), "se": round(stdev(values) / len(values) ** 0.5, 4)}
        for key in rows[0]
        for values in [[row[key] for row in rows]]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="2 or more")
    parser.add_argument("--only", nargs="+", choices=CROWDS, default=list(CROWDS), metavar="CROWD")
    asked = parser.parse_args()
    made = {}
    for crowd in asked.only:
        start = time.perf_counter()
        made[crowd] = summed([CROWDS[crowd](seed) for seed in range(asked.seeds)])
        made[crowd]["seconds"] = round(time.perf_counter() - start, 1)
    print(json.dumps({"seeds": asked.seeds, "crowds": made}, indent=2))


if __name__ == "__main__":
    main()
