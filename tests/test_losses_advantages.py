"""Advantages: values derived by hand, what the estimators are on a distribution that is listed, the papers' sums."""

import itertools

import pytest
import torch
from torch.testing import assert_close

from accord.losses import advantages

REWARDS = torch.tensor([[1.0, 2.0, 6.0], [0.1, 0.1, 0.1]])
LENGTHS = torch.tensor([3, 1, 5, 2])
GROUPED = [
    advantages.rloo,
    *(lambda rewards, scale=scale: advantages.grpo(rewards, scale=scale) for scale in advantages.SCALES),
]


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_rloo_by_hand():
    """The others of 1, 2, 6 have the means 4, 3.5 and 1.5."""
    assert_close(advantages.rloo(REWARDS), torch.tensor([[-3.0, -1.5, 4.5], [0.0, 0.0, 0.0]]))


def test_grpo_by_hand():
    """1, 3 have the mean 2 and, with G − 1, the deviation √2; with 5, 7 beside them the batch's is √(20/3)."""
    rewards = torch.tensor([[1.0, 3.0], [5.0, 7.0]], dtype=torch.float64)
    signs = torch.tensor([[-1.0, 1.0]], dtype=torch.float64).expand(2, 2)
    assert_close(advantages.grpo(rewards), signs / (2**0.5 + 1e-4))
    assert_close(advantages.grpo(rewards, scale="batch"), signs / ((20 / 3) ** 0.5 + 1e-4))
    assert_close(advantages.grpo(rewards, scale="none"), signs)


@pytest.mark.parametrize("of", GROUPED)
def test_a_groups_advantages_have_mean_0(of):
    assert_close(of(random(5, 4) + 100).mean(1), torch.zeros(5, dtype=torch.float64))


@pytest.mark.parametrize("of", GROUPED)
@pytest.mark.parametrize("reward", [0.0, 0.1, -1e4 / 3])
def test_equal_rewards_teach_exactly_nothing(of, reward):
    assert torch.equal(of(torch.full((2, 7), reward)), torch.zeros(2, 7))


@pytest.mark.parametrize("of", GROUPED)
def test_a_group_of_one_is_refused(of):
    with pytest.raises(ValueError, match=r"num_generations: group size 1 .*use 2 or more"):
        of(torch.ones(3, 1))


def test_rloo_is_an_unbiased_policy_gradient_and_centering_shrinks_it():
    """Over all groups of three samples of four actions, weighted by their probability."""
    logits, rewards = random(4).requires_grad_(), random(4, seed=1)
    (truth,) = torch.autograd.grad((logits.softmax(0) * rewards).sum(), logits)

    def expected(of):
        logps, total = logits.log_softmax(0), 0.0
        for group in itertools.product(range(4), repeat=3):
            chosen = logps[list(group)]
            total += chosen.sum().exp().detach() * (of(rewards[list(group)][None])[0] * chosen).mean()
        return torch.autograd.grad(total, logits)[0]

    assert_close(expected(advantages.rloo), truth)
    assert_close(expected(lambda group: advantages.grpo(group, scale="none")), truth * 2 / 3)


def test_gae_by_hand():
    """γ = 0.9, λ = 0.5. Rewards 0, 0, 1 and values 0.5, 0.4, 0.8 give δ = 0.9·0.4 − 0.5 = −0.14, 0.9·0.8 − 0.4 = 0.32
    and 1 − 0.8 = 0.2; with γλ = 0.45 A is 0.2, 0.32 + 0.45·0.2 = 0.41, −0.14 + 0.45·0.41 = 0.0445. Then an episode of
    one step that a time limit cut where the value was 2: δ = 3 + 0.9·2 − 1 = 3.8."""
    credit = advantages.gae(
        torch.tensor([0.0, 0.0, 1.0, 3.0]), torch.tensor([0.5, 0.4, 0.8, 1.0]), torch.tensor([3, 1]),
        gamma=0.9, lam=0.5, bootstrap_C=torch.tensor([0.0, 2.0]),
    )  # fmt: skip
    assert_close(credit.advantages_N, torch.tensor([0.0445, 0.41, 0.2, 3.8]))
    assert_close(credit.returns_N, torch.tensor([0.5445, 0.81, 1.0, 4.8]))


def test_returns_by_hand():
    found = advantages.returns(torch.tensor([1.0, 2.0, 4.0, 8.0]), torch.tensor([3, 1]), gamma=0.5)
    assert_close(found, torch.tensor([3.0, 4.0, 4.0, 8.0]))


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.6)])
def test_gae_is_the_papers_mean_of_k_step_advantages(gamma, lam):
    """Eq. 16, first line: (1 − λ)·Σ_k λ^{k−1}·A^(k), where the steps beyond the end all give the whole return."""
    rewards, values, ends = random(11), random(11, seed=1), random(4, seed=2)
    found = advantages.gae(rewards, values, LENGTHS, gamma=gamma, lam=lam, bootstrap_C=ends).advantages_N
    episodes = zip(*(x.split(LENGTHS.tolist()) for x in (rewards, values, found)), ends, strict=True)
    for r, v, estimate, end in episodes:
        beyond = torch.cat([v, end[None]])
        for t in range(len(r)):
            steps = [
                sum(gamma**j * r[t + j] for j in range(k)) + gamma**k * beyond[t + k] - v[t]
                for k in range(1, len(r) - t + 1)
            ]
            mean = (1 - lam) * sum(lam**i * step for i, step in enumerate(steps[:-1]))
            assert_close(estimate[t], mean + lam ** (len(steps) - 1) * steps[-1])


def test_gae_at_both_ends_of_lambda():
    """λ = 1: the return less the value; λ = 0: one step."""
    rewards, values = random(11), random(11, seed=1)
    whole = advantages.gae(rewards, values, LENGTHS, gamma=0.9, lam=1.0)
    assert_close(whole.returns_N, advantages.returns(rewards, LENGTHS, gamma=0.9))
    step = advantages.gae(rewards, torch.zeros_like(values), LENGTHS, gamma=0.9, lam=0.0)
    assert_close(step.advantages_N, rewards)


def test_a_bandits_advantage_is_reward_less_value():
    rewards, values = random(4), random(4, seed=1)
    assert_close(advantages.gae(rewards, values, torch.ones(4).long()).advantages_N, rewards - values)


def test_gae_leaves_its_arguments_alone():
    rewards, values = torch.ones(3), torch.ones(3)
    advantages.gae(rewards, values, torch.tensor([3]), bootstrap_C=1.0)
    assert torch.equal(rewards, torch.ones(3))
    assert torch.equal(values, torch.ones(3))


def test_whiten_by_hand():
    """1, 3, 5: mean 3, variance 4; the masked 100 is nowhere."""
    values, mask = torch.tensor([1.0, 100.0, 3.0, 5.0]), torch.tensor([True, False, True, True])
    assert_close(advantages.whiten(values, mask), torch.tensor([-1.0, 0.0, 0.0, 1.0]))
    assert_close(advantages.whiten(values, mask, shift_mean=False), torch.tensor([2.0, 0.0, 3.0, 4.0]))
    assert_close(advantages.whiten(values[mask]), torch.tensor([-1.0, 0.0, 1.0]))


def test_what_cannot_be_whitened_is_0():
    assert torch.equal(advantages.whiten(torch.tensor([7.0])), torch.zeros(1))
    assert torch.equal(advantages.whiten(torch.full((5,), 2.0)), torch.zeros(5))


class Listed:
    """Two distributions over five tokens, and the expectation under the first."""

    logits = random(5).requires_grad_()
    logps, reference = logits.log_softmax(0), random(5, seed=1).log_softmax(0)
    kl = (logps.exp() * (logps - reference)).sum()

    @classmethod
    def mean(cls, values):
        return (cls.logps.exp().detach() * values).sum()

    @classmethod
    def gradient(cls, value):
        return torch.autograd.grad(value, cls.logits, retain_graph=True)[0]


@pytest.mark.parametrize("name", ["k1", "k3"])
def test_k1_and_k3_are_unbiased(name):
    assert Listed.kl > 0.1
    assert_close(Listed.mean(advantages.KL_ESTIMATORS[name](Listed.logps, Listed.reference)), Listed.kl)


def test_k2_is_biased_and_its_gradient_is_the_kls():
    k2 = Listed.mean(advantages.k2(Listed.logps, Listed.reference))
    assert abs(k2 - Listed.kl) > 1e-2
    assert_close(Listed.gradient(k2), Listed.gradient(Listed.kl))


def test_k3s_gradient_is_that_of_the_other_direction():
    other = (Listed.reference.exp() * (Listed.reference - Listed.logps)).sum()
    found = Listed.gradient(Listed.mean(advantages.k3(Listed.logps, Listed.reference)))
    assert_close(found, Listed.gradient(other))
    assert (found - Listed.gradient(Listed.kl)).abs().max() > 1e-2


@pytest.mark.parametrize("name", ["k2", "k3"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_k2_and_k3_are_never_negative(name, dtype):
    """Also where log u is a rounding error of the log-probs, and u − 1 − log u one of log u."""
    steps = torch.logspace(-12, 1.5, 2000, dtype=dtype)
    logps = torch.cat([-steps, steps, torch.zeros(1, dtype=dtype)])
    found = advantages.KL_ESTIMATORS[name](logps, torch.zeros_like(logps))
    assert found.min() == 0
    assert found.isfinite().all()


def test_k3_is_exact_where_the_policies_are_close():
    """u − 1 − log u = d²/2 − d³/6 + …, with d = log u; exp(d) − 1 − d would leave nothing of it in fp32."""
    d = torch.logspace(-4, -3, 50)
    assert_close(advantages.k3(-d, torch.zeros_like(d)), d**2 / 2 + d**3 / 6, rtol=2e-3, atol=0)


def test_the_adaptive_coefficient_by_hand():
    """At the target it stays; 10 % above it grows by 1 %; the error is clipped at 20 %."""
    assert advantages.adapted(0.2, 6.0, target=6.0) == 0.2
    assert advantages.adapted(0.2, 6.6, target=6.0) == pytest.approx(0.2 * 1.01)
    assert advantages.adapted(0.2, 600.0, target=6.0) == pytest.approx(0.2 * 1.02)
    assert advantages.adapted(0.2, -1.0, target=6.0) == pytest.approx(0.2 * 0.98)
    assert advantages.adapted(0.2, 600.0, target=6.0, gain=64 / 10_000) == pytest.approx(0.2 * (1 + 0.2 * 0.0064))


def test_the_reward_stands_on_the_last_token():
    found = advantages.at_ends(torch.tensor([10.0, 20.0]), torch.tensor([3, 1]))
    assert_close(found, torch.tensor([0.0, 0.0, 10.0, 20.0]))


def test_sums_by_hand():
    found = advantages.sums(torch.tensor([1.0, 2.0, 3.0, -4.0]), torch.tensor([3, 1]))
    assert_close(found, torch.tensor([6.0, -4.0]))
