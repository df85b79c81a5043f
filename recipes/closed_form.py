"""Every method in a world of nine completions, beside the optimum that is known there: a table, and the picture of it.

    python recipes/closed_form.py                    # the table
    python recipes/closed_form.py closed-form.svg    # and the picture

See docs/closed-form.md.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

from accord.evaluation.closed_form import kl, kto_optimum, optimum, optimum_per_token, total_variation, win_rates
from accord.evaluation.closed_form_picture import Column, draw
from accord.evaluation.small_world import (
    Pairs,
    World,
    all_pairs,
    fit,
    kto_loss,
    make_world,
    pair_loss,
    regularised_reward,
    trained,
)
from accord.losses.reward import bradley_terry

SEED, BETA = 0, 0.5


def learnt_rewards(world: World, pairs: Pairs) -> Tensor:
    """What a reward model learns that can give any completion any score."""
    score_Y = torch.zeros_like(world.reward_Y, requires_grad=True)

    def loss() -> Tensor:
        first, second = score_Y[pairs.first_E], score_Y[pairs.second_E]
        return pairs.weight_E @ bradley_terry(first, second, p_chosen=pairs.p_first_E)

    fit([score_Y], loss)
    return score_Y.detach()


def main(picture: str | None = None) -> None:
    world = make_world("abc", most=2, least=2, seed=SEED)
    reference, reward = world.reference_Y, world.reward_Y
    pairs, wins = all_pairs(reference, reward), win_rates(reference, reward)
    best = optimum(reference, reward, BETA)
    scores = learnt_rewards(world, pairs)

    methods = {
        "RLHF": (lambda policy: -regularised_reward(policy, scores, BETA), best),
        "DPO": (lambda policy: pair_loss("sigmoid", policy, pairs, beta=BETA), best),
        "IPO": (
            lambda policy: pair_loss("ipo", policy, pairs, beta=BETA),
            optimum_per_token(reference, wins, world.lengths_Y, BETA),
        ),
        "KTO": (lambda policy: kto_loss(policy, wins, beta=BETA), kto_optimum(reference, wins, BETA)),
    }
    arrived = {name: (trained(world, loss), own) for name, (loss, own) in methods.items()}
    print("| | from its own optimum | from π* | mean reward | KL from π_ref | reward − β·KL |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, (found, own) in {"π_ref": (reference, None), "π*": (best, None), **arrived}.items():
        gain, cost = (found @ reward).item(), kl(found, reference)
        figures = total_variation(found, best), gain, cost, gain - BETA * cost
        first = "" if own is None else f"{total_variation(found, own):.3f}"
        print(f"| {name} | {first} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |")

    if picture:
        columns = [
            Column("π_ref", ["before training"], reference.tolist(), "start"),
            Column("π*", ["the best there is"], best.tolist(), "goal"),
        ]
        for name, (found, _) in arrived.items():
            away = total_variation(found, best)
            there = Column(name, ["arrives at π*"], found.tolist(), "there")
            elsewhere = Column(name, ["has its own optimum,", f"{away:.2f} away from π*"], found.tolist(), "elsewhere")
            columns.append(there if away < 1e-3 else elsewhere)
        svg = draw(world.texts, reward.tolist(), columns, best.tolist(), key="where π* would end the bar")
        Path(picture).write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
