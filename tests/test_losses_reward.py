"""Losses of reward models: values derived by hand, the papers' own formulas, and TRL's trainer."""

import math

import pytest
import torch
from torch.testing import assert_close

from accord.losses import reward

CHOSEN = torch.tensor([0.0, 2.0, -3.0, 1.5], dtype=torch.float64)
REJECTED = torch.tensor([0.0, -1.0, 4.0, 1.0], dtype=torch.float64)
DELTA = CHOSEN - REJECTED
OUTCOMES = {"rao_kupper": reward.rao_kupper_outcomes, "davidson": reward.davidson_outcomes}
TIES = [reward.rao_kupper, reward.davidson]


# ---- Bradley–Terry


def test_equal_rewards_give_log_two_for_every_label():
    rewards = torch.tensor([-5.0, 0.0, 7.0])
    for p in (0.0, 0.3, 1.0):
        assert_close(reward.bradley_terry(rewards, rewards, p_chosen=p), torch.full((3,), math.log(2)))


def test_by_hand():
    """Δ = 2 − 1 = 1, margin ½: −log σ(½) = log(1 + e^{−½}); with p = ¼, ¼ of it and ¾ of log(1 + e^{1 + ½})."""
    chosen, rejected = torch.tensor([2.0]), torch.tensor([1.0])
    assert reward.bradley_terry(chosen, rejected, margin=0.5).item() == pytest.approx(math.log1p(math.exp(-0.5)))
    soft = reward.bradley_terry(chosen, rejected, margin=0.5, p_chosen=0.25).item()
    assert soft == pytest.approx(0.25 * math.log1p(math.exp(-0.5)) + 0.75 * math.log1p(math.exp(1.5)))


@pytest.mark.parametrize("p", [0.5, 0.8, 0.99])
def test_a_soft_label_is_met_where_the_difference_says_p(p):
    delta = torch.tensor([math.log(p / (1 - p))], dtype=torch.float64, requires_grad=True)
    reward.bradley_terry(delta, torch.zeros(1), p_chosen=p).backward()
    assert delta.grad.item() == pytest.approx(0, abs=1e-12)


def test_exchanging_the_answers_and_the_label_changes_nothing():
    p, margin = torch.tensor([0.0, 0.2, 0.7, 1.0]), torch.tensor([0.0, 1.0, 0.5, 2.0])
    one = reward.bradley_terry(CHOSEN, REJECTED, p_chosen=p, margin=margin)
    assert_close(reward.bradley_terry(REJECTED, CHOSEN, p_chosen=1 - p, margin=margin), one)
    for loss in TIES:
        one = loss(CHOSEN, REJECTED, p_chosen=p, p_tie=0.0, tie_probability=0.3)
        assert_close(loss(REJECTED, CHOSEN, p_chosen=1 - p, p_tie=0.0, tie_probability=0.3), one)


# ---- Ties


@pytest.mark.parametrize("model", OUTCOMES)
@pytest.mark.parametrize("tie_probability", [0.01, 0.3, 0.9])
def test_probabilities_sum_to_one_and_equal_answers_tie_as_often_as_asked(model, tie_probability):
    outcomes = OUTCOMES[model](torch.linspace(-30, 30, 61, dtype=torch.float64), tie_probability)
    assert_close(sum(x.exp() for x in outcomes), torch.ones(61, dtype=torch.float64))
    assert outcomes.tie[30].exp().item() == pytest.approx(tie_probability)
    assert_close(outcomes.win.flip(0), outcomes.loss)


def test_rao_and_kupper_s_own_formulas():
    """With π = e^r and θ: π₁/(π₁ + θπ₂), and π₁π₂(θ² − 1)/((π₁ + θπ₂)(θπ₁ + π₂)). t₀ = ½ is θ = 3."""
    first, second, theta = CHOSEN.exp(), REJECTED.exp(), 3.0
    win, tie, _ = reward.rao_kupper_outcomes(DELTA, 0.5)
    assert_close(win.exp(), first / (first + theta * second))
    both = (first + theta * second) * (theta * first + second)
    assert_close(tie.exp(), first * second * (theta**2 - 1) / both)


def test_davidson_s_own_formulas():
    """π₁/(π₁ + π₂ + ν√(π₁π₂)), and ν√(π₁π₂) over the same. t₀ = ½ is ν = 2."""
    first, second, nu = CHOSEN.exp(), REJECTED.exp(), 2.0
    win, tie, _ = reward.davidson_outcomes(DELTA, 0.5)
    total = first + second + nu * (first * second).sqrt()
    assert_close(win.exp(), first / total)
    assert_close(tie.exp(), nu * (first * second).sqrt() / total)


@pytest.mark.parametrize("loss", TIES)
def test_a_certain_label_costs_minus_its_log_probability(loss):
    win, tie, lost = OUTCOMES[loss.__name__](DELTA, 0.2)
    for p_chosen, p_tie, expected in ((1.0, 0.0, win), (0.5, 1.0, tie), (0.0, 0.0, lost)):
        assert_close(loss(CHOSEN, REJECTED, p_chosen=p_chosen, p_tie=p_tie, tie_probability=0.2), -expected)


@pytest.mark.parametrize("loss", TIES)
def test_people_s_shares_are_met_at_the_difference_that_makes_them(loss):
    """The cross-entropy with a model's own probabilities at Δ = 1.2 is least there: its gradient is zero."""
    delta = torch.tensor([1.2], dtype=torch.float64, requires_grad=True)
    win, tie, _ = (x.detach().exp() for x in OUTCOMES[loss.__name__](delta, 0.3))
    loss(delta, torch.zeros(1), p_chosen=win + tie / 2, p_tie=tie, tie_probability=0.3).backward()
    assert delta.grad.item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("loss", TIES)
def test_a_tie_draws_the_rewards_together(loss):
    chosen = CHOSEN.clone().requires_grad_()
    loss(chosen, REJECTED, p_chosen=0.5, p_tie=1.0, tie_probability=0.3).sum().backward()
    assert torch.equal(chosen.grad.sign(), DELTA.sign())


@pytest.mark.parametrize("loss", TIES)
def test_without_ties_it_is_bradley_and_terry_s(loss):
    few = loss(CHOSEN, REJECTED, p_chosen=0.8, p_tie=0.0, tie_probability=1e-9)
    assert_close(few, reward.bradley_terry(CHOSEN, REJECTED, p_chosen=0.8))


@pytest.mark.parametrize("loss", reward.LOSSES.values(), ids=reward.LOSSES)
def test_far_differences_stay_finite(loss):
    far = torch.tensor([1e4, -1e4], requires_grad=True)
    ties = {} if loss is reward.bradley_terry else {"p_tie": 0.2, "tie_probability": 0.1}
    losses = loss(far, torch.zeros(2), p_chosen=0.5, **ties)
    losses.sum().backward()
    assert torch.isfinite(losses).all()
    assert torch.isfinite(far.grad).all()


# ---- Centering


def test_centering_is_the_square_of_the_sum():
    assert_close(reward.centering(torch.tensor([2.0, -1.0]), torch.tensor([1.0, 1.0])), torch.tensor([9.0, 0.0]))


# ---- TRL


@pytest.mark.parametrize("coefficient", [None, 0.01])
@pytest.mark.parametrize("margins", [False, True])
def test_value_and_gradient_are_those_of_trl_s_trainer(coefficient, margins, monkeypatch):
    """TRL's own `compute_loss`, on a model whose answer is given."""
    trl = pytest.importorskip("trl", reason="TRL is an extra: pip install 'accord[trl]'")
    from types import SimpleNamespace

    def trl_loss(rewards_2E, margin):
        metrics = {"train": {name: [] for name in ("min_reward", "mean_reward", "max_reward", "accuracy", "margin")}}
        trainer = SimpleNamespace(
            model=torch.nn.Linear(1, 1),
            args=SimpleNamespace(center_rewards_coefficient=coefficient),
            accelerator=SimpleNamespace(gather=lambda x: x, gather_for_metrics=lambda x: x),
            _metrics=metrics,
            _total_train_tokens=0,
            _tp_size=1,
        )
        inputs = {"attention_mask": torch.ones(2 * len(margin), 3)} | ({"margin": margin} if margins else {})
        logits = rewards_2E[:, None]
        return trl.RewardTrainer.compute_loss(trainer, lambda **_: SimpleNamespace(logits=logits), inputs)

    torch.manual_seed(0)
    ours, margin = torch.randn(2, 64, dtype=torch.float64, requires_grad=True), torch.rand(64, dtype=torch.float64)
    theirs = ours.detach().clone().requires_grad_()
    losses = reward.bradley_terry(*ours, margin=margin if margins else 0.0)
    loss = (losses + (coefficient or 0.0) * reward.centering(*ours)).mean()
    expected = trl_loss(theirs.flatten(), margin)
    assert_close(loss, expected)
    assert_close(torch.autograd.grad(loss, ours), torch.autograd.grad(expected, theirs))
