"""PPO, RLOO and GRPO in a world of nine completions: how far from where theory says they end, by sampling alone.

    python recipes/closed_form_online.py

See docs/closed-form.md.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from accord.evaluation.closed_form import optimum, optimum_forward, total_variation
from accord.evaluation.small_world import World, Writing, make_world, optimum_by_token
from accord.trainers import GRPOConfig, PPOConfig, RLOOConfig
from accord.trainers.tabular import learn

BETA, GROUP = 0.5, 16


class Case(NamedTuple):
    """A method's configuration, how many rollouts it gets, and world → where it arrives."""

    config: Any
    rollouts: int
    goal: Callable[[World], Tensor]


def best(world: World) -> Tensor:
    return optimum(world.reference_Y, world.reward_Y, BETA)


#: A group's mean has each completion's own reward in it: an advantage is (G − 1)/G of what it would be without, and so
#: β in the loss is G/(G − 1) of what it would be.
PAID = BETA * GROUP / (GROUP - 1)
REWARDED = {"learning_rate": 0.1, "per_device_train_batch_size": 256}
LOST = {"learning_rate": 0.1, "per_device_train_batch_size": 512, "beta": BETA, "scale_rewards": "none"}
CASES = {
    "PPO": Case(PPOConfig(**REWARDED, kl_coef=BETA, num_ppo_epochs=2), 60, best),
    "RLOO": Case(RLOOConfig(**REWARDED, beta=BETA, num_generations=GROUP, num_iterations=2), 60, best),
    "GRPO, KL in the reward": Case(
        GRPOConfig(
            **REWARDED,
            beta=BETA,
            num_generations=GROUP,
            num_iterations=2,
            scale_rewards="none",
            kl_in="reward",
        ),
        60,
        best,
    ),
    "GRPO, KL in the loss": Case(
        GRPOConfig(**LOST, num_generations=GROUP), 80, lambda world: optimum_by_token(world, PAID)
    ),
    "GRPO, KL in the loss, not corrected": Case(
        GRPOConfig(**LOST, num_generations=GROUP, use_bias_correction_kl=False),
        80,
        lambda world: optimum_by_token(world, PAID, optimum_forward),
    ),
}


def arrived(world: World, config: Any, rollouts: int) -> Tensor:
    """[Y] where a method leads a policy that begins as the reference."""
    rows, actions = world.table_PV.shape
    learnt = learn(
        lambda: Writing(world),
        config,
        states=range(rows),
        actions=actions,
        rollouts=rollouts,
        begin_SA=world.logits_PV,
    )
    return world.probabilities(learnt.policy_SA)


def main() -> None:
    world = make_world("abc", most=2, least=2)
    print("| | from its own optimum | from π* |")
    print("| --- | --- | --- |")
    print(f"| π_ref | | {total_variation(world.reference_Y, best(world)):.3f} |")
    for name, (config, rollouts, goal) in CASES.items():
        found = arrived(world, config, rollouts)
        print(f"| {name} | {total_variation(found, goal(world)):.3f} | {total_variation(found, best(world)):.3f} |")


if __name__ == "__main__":
    main()
