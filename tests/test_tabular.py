"""PPO, RLOO and GRPO on worlds that a person can check by eye, with the code that trains language models."""

import math

import pytest
import torch
from torch.testing import assert_close

from accord.rollout.environment import Step
from accord.rollout.worlds import Bandit, Cell, GridWorld
from accord.trainers import GRPOConfig, PPOConfig, RLOOConfig
from accord.trainers.tabular import Learner, learn

UNIFORM_5 = torch.full((1, 5), 0.2, dtype=torch.float64)


def quick(config, folder, **changes):
    settings = {"per_device_train_batch_size": 64, "learning_rate": 0.1, "seed": 0}
    return config(str(folder), **(settings | changes))


def doubles(*values):
    return torch.tensor(values, dtype=torch.float64)


class Forever:
    """It goes on and on, and each step earns 1."""

    def reset(self, seed):
        return 0

    def step(self, action):
        return Step(0, 1.0, False)


# ---- The grid world


def worth(world, policy):
    """Policy evaluation (Sutton & Barto 2018, section 4.1), exactly: V = Σ_a π(a|s) Σ p·(r + V'), solved for V."""
    rows = {state: row for row, state in enumerate(world.states)}
    system, earned = torch.eye(len(rows), dtype=torch.float64), torch.zeros(len(rows), dtype=torch.float64)
    for state, row in rows.items():
        for action in range(4):
            for probability, step in world.outcomes(state, action):
                chance = probability * policy[row, action]
                earned[row] += chance * step.reward
                if not step.ended:
                    system[row, rows[step.state]] -= chance
    return dict(zip(rows, torch.linalg.solve(system, earned).tolist(), strict=True))


def best_worth(world, sweeps=200):
    """Value iteration (Bellman 1957)."""
    value = dict.fromkeys(world.states, 0.0)
    for _ in range(sweeps):
        for state in world.states:
            value[state] = max(
                sum(
                    p * (step.reward + (0 if step.ended else value[step.state])) for p, step in world.outcomes(state, a)
                )
                for a in range(4)
            )
    return value


def test_policy_evaluation_by_hand():
    """From S two steps to the goal, if it always walks to the right; with equal chances it comes to the same."""
    world = GridWorld("S.G", slip=0, step_cost=0.1)
    right = doubles([0, 1, 0, 0], [0, 1, 0, 0])
    assert worth(world, right)[world.start] == pytest.approx(1 - 0.2)
    #  V₀ = ¼(−0.1 + V₁) + ¾(−0.1 + V₀),  V₁ = ¼·0.9 + ¼(−0.1 + V₀) + ½(−0.1 + V₁)  =>  V₁ = V₀ + 0.4, V₀ = −0.2
    assert worth(world, torch.full((2, 4), 0.25))[world.start] == pytest.approx(-0.2)


@pytest.mark.parametrize("seed", [0, 1])
def test_ppo_finds_the_way(seed, tmp_path):
    """400 optimizer steps. From S the best there is is 0.705; equal chances earn −1.59."""
    world = GridWorld()
    best, equal = best_worth(world), worth(world, torch.full((9, 4), 0.25))
    assert best[world.start] == pytest.approx(0.705, abs=5e-4)
    assert equal[world.start] < -1
    config = quick(PPOConfig, tmp_path, kl_coef=0.0, seed=seed)
    learnt = learn(GridWorld, config, states=world.states, actions=4, rollouts=100)
    found = worth(world, learnt.policy_SA)
    assert found[world.start] > best[world.start] - 0.01
    way = [Cell(2, 0), Cell(1, 0), Cell(0, 0), Cell(0, 1), Cell(0, 2)]
    values = dict(zip(world.states, learnt.critic_S.tolist(), strict=True))
    assert [values[cell] for cell in way] == pytest.approx([found[cell] for cell in way], abs=0.1)
    assert len(learnt.returns) == 100
    assert sum(learnt.returns[-10:]) / 10 == pytest.approx(found[world.start], abs=0.05)


def test_what_lies_beyond_a_time_limit_counts(tmp_path):
    """1 a step for ever is worth 1/(1 − γ) = 10, though no episode goes on for longer than 5 steps."""
    settings = {"gamma": 0.9, "max_completion_length": 5, "cliprange_value": None, "per_device_train_batch_size": 4}
    config = quick(PPOConfig, tmp_path, kl_coef=0.0, **settings)
    learnt = learn(Forever, config, states=[0], actions=2, rollouts=200)
    assert learnt.critic_S.item() == pytest.approx(10, abs=0.1)
    assert learnt.returns == [5.0] * 200


# ---- The bandit


METHODS = {
    "ppo": (PPOConfig, {"kl_coef": 0.0}),
    "rloo": (RLOOConfig, {"beta": 0.0, "num_generations": 8}),
    "grpo": (GRPOConfig, {"num_generations": 8}),
}


@pytest.mark.parametrize("method", METHODS)
def test_the_best_arm_is_found(method, tmp_path):
    """Arm 2 pays 1.5, the next best 1.2; a pay's deviation is 1."""
    config, changes = METHODS[method]
    learnt = learn(Bandit, quick(config, tmp_path, **changes), states=[0], actions=5, rollouts=100)
    assert learnt.policy_SA[0, 2] > 0.9
    assert (learnt.critic_S.item() != 0) == (method == "ppo")


@pytest.mark.parametrize("method", METHODS)
def test_with_a_penalty_it_stays_near_where_it_began(method, tmp_path):
    """π ∝ π_ref·exp(r/β): arms that pay 0 and β·log 3, first drawn alike, end at ¼ and ¾. The third is never drawn."""
    beta = 0.5
    config, changes = METHODS[method]
    changes = changes | ({"kl_coef": beta} if method == "ppo" else {"beta": beta})
    changes |= {"kl_in": "reward", "scale_rewards": "none"} if method == "grpo" else {}
    learnt = learn(
        lambda: Bandit((0.0, beta * math.log(3), 9.0), deviation=0.0),
        quick(config, tmp_path, **changes),
        states=[0],
        actions=3,
        rollouts=60,
        begin_SA=torch.tensor([[0.0, 0.0, -math.inf]]),
    )
    assert_close(learnt.policy_SA[0], doubles(0.25, 0.75, 0), atol=0.02, rtol=0)


# ---- What training is made of


def reinforce(learner, played):
    """−(1/N)·Σ A·∇log π with A = (G − mean)/deviation of all returns G, and ∇log π = 1[a] − π of the state's logits."""
    policy = learner.tables.logits_SA.detach().softmax(-1)
    steps = [(each, g) for told in played for each, g in zip(told.transitions, told.returns(), strict=True)]
    returns = doubles(*(g for _, g in steps))
    advantages = (returns - returns.mean()) / returns.std()
    gradient = torch.zeros_like(policy)
    for (step, _), advantage in zip(steps, advantages, strict=True):
        row = learner.rows[step.state]
        gradient[row] -= advantage * (torch.eye(4)[step.action] - policy[row]) / len(steps)
    return gradient


@pytest.mark.parametrize("epochs", [1, 2])
def test_ppos_first_gradient_is_reinforces(epochs, tmp_path):
    """With λ = 1 and a critic that knows nothing yet. With rate 0 the second epoch's is the same, by the ratios."""
    world = GridWorld()
    settings = {"kl_coef": 0.0, "lam": 1.0, "num_ppo_epochs": epochs, "learning_rate": 0.0, "max_grad_norm": 0.0}
    begin = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    learner = Learner(GridWorld, quick(PPOConfig, tmp_path, **settings), world.states, begin, 1)
    played = learner.play(0)
    assert all(told.ended for told in played)
    learner.improve(played)
    assert learner.step == epochs
    assert_close(learner.tables.logits_SA.grad, reinforce(learner, played))


def test_a_group_shares_its_start_and_its_luck(tmp_path):
    seeds = []

    class Noted(Bandit):
        def reset(self, seed):
            seeds.append(seed)
            return super().reset(seed)

    config = quick(RLOOConfig, tmp_path, num_generations=2, per_device_train_batch_size=4)
    learn(Noted, config, states=[0], actions=5, rollouts=3)
    assert seeds[0::2] == seeds[1::2]
    assert len(set(seeds)) == 6


def test_equal_seeds_learn_alike(tmp_path):
    def learnt(seed):
        config = quick(PPOConfig, tmp_path, seed=seed, num_mini_batches=2, per_device_train_batch_size=8)
        return learn(Bandit, config, states=[0], actions=5, rollouts=5)

    first, again, other = learnt(0), learnt(0), learnt(1)
    assert torch.equal(first.policy_SA, again.policy_SA)
    assert first.returns == again.returns
    assert not torch.equal(first.policy_SA, other.policy_SA)


def test_steps_are_batches_times_epochs(tmp_path):
    config = quick(PPOConfig, tmp_path, num_mini_batches=4, num_ppo_epochs=3, per_device_train_batch_size=8)
    learner = Learner(Bandit, config, [0], torch.zeros(1, 5), 1)
    learner.improve(learner.play(0))
    assert (len(learner.environments), learner.step) == (32, 12)


def test_a_critic_warms_up_alone(tmp_path):
    config = quick(PPOConfig, tmp_path, kl_coef=0.0, num_ppo_epochs=2, critic_warmup_steps=10)
    five = learn(Bandit, config, states=[0], actions=5, rollouts=5)
    assert_close(five.policy_SA, UNIFORM_5)
    assert five.critic_S.item() > 0.1
    six = learn(Bandit, config, states=[0], actions=5, rollouts=6)
    assert not torch.allclose(six.policy_SA, UNIFORM_5)


def test_the_penalty_follows_its_target(tmp_path):
    """The policy begins as its reference: its KL is 0, and β becomes β·(1 − 0.2·K) with K = 64/640."""
    config = quick(PPOConfig, tmp_path, kl_coef=0.5, kl_target=1.0, kl_horizon=640)
    learner = Learner(Bandit, config, [0], torch.zeros(1, 5), 1)
    learner.improve(learner.play(0))
    assert learner.coefficient == pytest.approx(0.5 * (1 - 0.2 * 0.1))
