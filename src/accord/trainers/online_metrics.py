"""What is logged of a rollout and of the steps on it, under TRL's names."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from accord.losses.advantages import sums
from accord.trainers.episodes import Episode
from accord.trainers.experience import Experience

T = TypeVar("T")
#: What is measured -> the name under which it is logged; None where it is not. All else keeps its name.
Names = Mapping[str, str | None]

#: RLOO's and GRPO's, as TRL 1.16 has them.
OF_GROUPS: Names = {
    "kl": "kl_per_completion",
    "kl_per_token": "kl",
    "kl_in_loss": "kl",
    "surprisal": None,
    "kl_cost": None,
    "regularised_reward": None,
    "kl_coefficient": None,
    "eos": None,
    "episodes": "episode",
    "approx_kl": "policy/approxkl_avg",
    "low": "clip_ratio/low_mean",
    "high": "clip_ratio/high_mean",
    "region": "clip_ratio/region_mean",
    "ratio": None,
    "policy_loss": None,
}
#: PPO's, as old TRL had them.
OF_PPO: Names = {
    "reward": "objective/scores",
    "reward_std": "objective/scores_std",
    "kl": "objective/kl",
    "kl_per_token": None,
    "surprisal": "objective/entropy",
    "kl_cost": "objective/non_score_reward",
    "regularised_reward": "objective/rlhf_reward",
    "kl_coefficient": "objective/kl_coef",
    "eos": "val/num_eos_tokens",
    "episodes": "episode",
    "frac_reward_zero_std": None,
    "entropy": "policy/entropy_avg",
    "approx_kl": "policy/approxkl_avg",
    "low": None,
    "high": None,
    "region": "policy/clipfrac_avg",
    "ratio": "val/ratio",
    "policy_loss": "loss/policy_avg",
    "explained_variance": "val/explained_variance",
    "value_loss": "loss/value_avg",
    "value_clipped": "val/clipfrac_avg",
}


def named(names: Names, measured: Mapping[str, T]) -> dict[str, T]:
    """What is measured under the names that it is logged by."""
    found = ((names.get(name, name), value) for name, value in measured.items())
    return {name: value for name, value in found if name is not None}


def rollout_facts(told: Sequence[Episode], experience: Experience, coefficient: float) -> dict[str, float]:
    """What there is to say of a rollout. KL and surprisal are sums over a completion's tokens, in nats."""
    lengths_E = experience.lengths_E.float()
    reward_E = torch.tensor([episode.reward for episode in told])
    finished_E = torch.tensor([float(episode.finished) for episode in told])
    reward_PG = reward_E.view(-1, experience.group)
    facts = {
        "reward": reward_E.mean(),
        "reward_std": _deviation(reward_E),
        "completions/mean_length": lengths_E.mean(),
        "completions/min_length": lengths_E.min(),
        "completions/max_length": lengths_E.max(),
        "completions/clipped_ratio": 1 - finished_E.mean(),
        "surprisal": sums(-experience.logps_N, experience.lengths_E).mean(),
        "eos": finished_E.sum(),
    }
    if experience.group > 1:
        facts["frac_reward_zero_std"] = (reward_PG == reward_PG[:, :1]).all(1).float().mean()
    for part in told[0].parts:
        part_E = torch.tensor([episode.parts[part] for episode in told])
        facts |= {f"rewards/{part}/mean": part_E.mean(), f"rewards/{part}/std": _deviation(part_E)}
    if experience.reference_logps_N is not None:
        kl_E = sums(experience.kl_N, experience.lengths_E)
        cost = coefficient * kl_E.mean()
        facts |= {
            "kl": kl_E.mean(),
            "kl_per_token": experience.kl_N.mean(),
            "kl_cost": -cost,
            "regularised_reward": reward_E.mean() - cost,
            "kl_coefficient": torch.tensor(coefficient),
        }
    return {name: value.item() for name, value in facts.items()}


def explained_variance(values_N: Tensor, returns_N: Tensor) -> float:
    """1 − Var(R − V)/Var(R): 1 for a critic that foresees everything, 0 for one that says the same of every state."""
    return (1 - (returns_N - values_N).var() / returns_N.var().clamp(min=1e-12)).item()


def _deviation(values_E: Tensor) -> Tensor:
    return values_E.std(correction=min(len(values_E) - 1, 1))
