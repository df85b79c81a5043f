"""DPO's loss: values derived by hand, the paper's formula, where a soft label puts its minimum, other divergences."""

import math

import pytest
import torch
from torch.testing import assert_close

from accord.losses import divergence, dpo

CHOSEN, REJECTED = torch.tensor([0.0, 2.0, -3.0, 40.0]), torch.tensor([0.0, -1.0, 4.0, -900.0])


def test_equal_log_ratios_give_log_two_for_every_label():
    """σ(0) = ½ on both sides: the loss is log 2 whatever people said."""
    ratios = torch.tensor([-5.0, 0.0, 7.0])
    for p in (0.0, 0.3, 1.0):
        assert_close(dpo.sigmoid(ratios, ratios, beta=0.7, p_chosen=p), torch.full((3,), math.log(2)))


def test_the_papers_formula():
    """Eq. 7: −log σ(β(log-ratio of the chosen − of the rejected)), here by the definition of σ."""
    delta = (0.1 * (CHOSEN - REJECTED)).double()
    assert_close(dpo.sigmoid(CHOSEN, REJECTED, beta=0.1).double(), torch.log1p(torch.exp(-delta)))


def test_by_hand():
    """β = 0.5, Δ = 3 − 1 = 2: σ(1) = 1/(1 + e⁻¹), so −log σ = log(1 + 1/e)."""
    loss = dpo.sigmoid(torch.tensor([3.0]), torch.tensor([1.0]), beta=0.5)
    assert loss.item() == pytest.approx(math.log(1 + 1 / math.e), abs=1e-6)


def test_the_gradient_is_beta_times_the_probability_of_the_other_order():
    """Section 4: ∂L/∂r_chosen = −β·σ(−βΔ), the opposite for the rejected."""
    chosen, rejected = CHOSEN.clone().requires_grad_(), REJECTED.clone().requires_grad_()
    dpo.sigmoid(chosen, rejected, beta=0.1).sum().backward()
    expected = -0.1 * torch.sigmoid(-0.1 * (CHOSEN - REJECTED))
    assert_close(chosen.grad, expected)
    assert_close(rejected.grad, -expected)


@pytest.mark.parametrize("p", [0.55, 0.75, 0.99])
def test_a_soft_label_is_met_where_the_margin_says_p(p):
    """∂L/∂Δ = β(σ(βΔ) − p) is zero where βΔ = logit(p), and the loss there is the label's entropy."""
    delta = torch.tensor([math.log(p / (1 - p)) / 0.1], dtype=torch.float64, requires_grad=True)
    loss = dpo.sigmoid(delta, torch.zeros(1, dtype=torch.float64), beta=0.1, p_chosen=p)
    loss.backward()
    assert delta.grad.item() == pytest.approx(0, abs=1e-12)
    assert loss.item() == pytest.approx(-p * math.log(p) - (1 - p) * math.log(1 - p))
    for step in (-1e-2, 1e-2):
        assert dpo.sigmoid(delta.detach() + step, torch.zeros(1), beta=0.1, p_chosen=p) > loss


def test_an_undecided_label_pulls_both_ways_alike():
    values = [dpo.sigmoid(x, y, p_chosen=0.5) for x, y in ((CHOSEN, REJECTED), (REJECTED, CHOSEN))]
    assert_close(*values)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_label_smoothing_is_mixing_p(smoothing):
    """ε turns p into p(1 − ε) + (1 − p)ε; for p = 1 that is conservative DPO's (1 − ε, ε)."""
    for p in (1.0, 0.7, torch.tensor([0.0, 0.2, 0.5, 1.0])):
        mixed = p * (1 - smoothing) + (1 - p) * smoothing
        smoothed = dpo.sigmoid(CHOSEN, REJECTED, p_chosen=p, label_smoothing=smoothing)
        assert_close(smoothed, dpo.sigmoid(CHOSEN, REJECTED, p_chosen=mixed))
    right, wrong = dpo.sigmoid(CHOSEN, REJECTED), dpo.sigmoid(REJECTED, CHOSEN)
    assert_close(dpo.sigmoid(CHOSEN, REJECTED, label_smoothing=smoothing), (1 - smoothing) * right + smoothing * wrong)


def test_far_margins_stay_finite():
    """−log σ(x) ≈ −x for x → −∞: linear, not infinite."""
    far = torch.tensor([1e4], requires_grad=True)
    loss = dpo.sigmoid(torch.zeros(1), far, beta=1.0)
    loss.backward()
    assert loss.item() == pytest.approx(1e4)
    assert far.grad.item() == pytest.approx(1.0)


def test_rewards_are_beta_times_log_ratios_without_gradient():
    ratios = CHOSEN.clone().requires_grad_()
    rewards = dpo.rewards(ratios, 0.3)
    assert_close(rewards, 0.3 * CHOSEN)
    assert not rewards.requires_grad


def test_wpos_weights_by_hand():
    """exp(−0.5)·exp(0.2), and no gradient."""
    chosen = torch.tensor([-0.5], requires_grad=True)
    weights = dpo.wpo_weights(chosen, torch.tensor([0.2]))
    assert weights.item() == pytest.approx(math.exp(-0.3))
    assert not weights.requires_grad


#: f of each divergence D_f(π‖π_ref) = E_ref[f(π/π_ref)], with f(1) = 0; α is of the last.
DIVERGENCES = {
    "reverse_kl": lambda u, a: u * u.log(),
    "forward_kl": lambda u, a: -u.log(),
    "js_divergence": lambda u, a: u * u.log() - (u + 1) * ((u + 1) / 2).log(),
    "alpha_divergence": lambda u, a: (u**a - a * u + a - 1) / (a * (a - 1)),
}


@pytest.mark.parametrize("kind", divergence.SCORES)
@pytest.mark.parametrize("alpha", [0.5, 2.0, -1.0])
def test_scores_are_the_slopes_of_the_divergence(kind, alpha):
    """f'(π/π_ref), but for a constant, which no difference of two scores sees."""
    logratios = torch.tensor([-3.0, -0.2, 0.0, 1.0, 4.0], dtype=torch.float64)
    ratios = logratios.exp().requires_grad_()
    DIVERGENCES[kind](ratios, alpha).sum().backward()
    scores = divergence.SCORES[kind](logratios, alpha)
    assert_close(scores - scores[2], ratios.grad - ratios.grad[2])


def test_the_alpha_divergence_passes_through_both_kls():
    """α → 1 is the reverse KL, α = 0 the forward one."""
    ratios = torch.tensor([-3.0, 0.0, 2.0], dtype=torch.float64)
    assert_close(divergence.alpha_divergence(ratios, 1.0), ratios)
    assert_close(divergence.alpha_divergence(ratios, 1 + 1e-5), ratios, rtol=1e-4, atol=0)
    assert_close(divergence.alpha_divergence(ratios, 0.0), 1 - (-ratios).exp())


@pytest.mark.parametrize("kind", divergence.SCORES)
@pytest.mark.parametrize("alpha", [0.5, 3.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_far_scores_are_finite(kind, alpha, dtype):
    ratios = torch.tensor([-1e4, -100.0, 0.0, 100.0, 1e4], dtype=dtype, requires_grad=True)
    loss = dpo.sigmoid(divergence.SCORES[kind](ratios, alpha), torch.zeros(5, dtype=dtype), beta=0.1)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(ratios.grad).all()
