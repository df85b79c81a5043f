"""KTO's loss: values derived by hand, the paper's equations, and examples on which people disagree."""

import math

import pytest
import torch
from torch.testing import assert_close

from accord.losses import kto

RATIOS = torch.tensor([0.0, 2.0, -3.0, 25.0, -25.0])
ONES = torch.ones(5)


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_an_output_at_the_reference_point_costs_one_half(p):
    """r = z₀: neither gain nor loss, σ(0) = ½ on both sides."""
    loss = kto.logistic(torch.tensor([1.7]), 1.7, p_desirable=torch.tensor([p]), beta=0.3)
    assert loss.item() == pytest.approx(0.5, abs=1e-7)


def test_by_hand():
    """β = ½, r = 5, z₀ = 3: β(r − z₀) = 1. Wanted: λ_D·(1 − σ(1)) = 2/(1 + e); unwanted: λ_U·σ(1) = 3e/(1 + e)."""
    loss = kto.logistic(
        torch.tensor([5.0, 5.0]),
        torch.tensor(3.0),
        p_desirable=torch.tensor([1.0, 0.0]),
        beta=0.5,
        desirable_weight=2.0,
        undesirable_weight=3.0,
    )
    assert_close(loss, torch.tensor([2 / (1 + math.e), 3 * math.e / (1 + math.e)]))


@pytest.mark.parametrize(("p", "weight"), [(1.0, 1.5), (0.0, 0.5)])
def test_a_certain_label_is_equation_8(p, weight):
    """λ_y − v with v = λ_D·σ(β(r − z₀)) if wanted, λ_U·σ(β(z₀ − r)) if not."""
    loss = kto.logistic(RATIOS, 0.4, p_desirable=p * ONES, beta=0.2, desirable_weight=1.5, undesirable_weight=0.5)
    gain = 0.2 * (RATIOS - 0.4) if p else 0.2 * (0.4 - RATIOS)
    assert_close(loss, weight - weight / (1 + torch.exp(-gain)))


def test_an_undecided_label_is_symmetric_and_flat():
    """p = ½ with equal weights: ½(1 − σ(x)) + ½σ(x) = ½ everywhere, so nothing is learnt from it."""
    ratios = RATIOS.clone().requires_grad_()
    loss = kto.logistic(ratios, 0.0, p_desirable=0.5 * ONES)
    loss.sum().backward()
    assert_close(loss.detach(), 0.5 * ONES)
    assert_close(ratios.grad, torch.zeros(5))
    mirrored = [
        kto.logistic(sign * RATIOS, 0.0, p_desirable=0.5 * ONES, desirable_weight=d, undesirable_weight=u)
        for sign, d, u in ((1, 2.0, 1.0), (-1, 1.0, 2.0))
    ]
    assert_close(*mirrored)


def test_a_soft_label_counts_on_both_sides():
    p = torch.tensor([0.1, 0.3, 0.5, 0.8, 1.0])
    sides = [kto.logistic(RATIOS, 0.7, p_desirable=side * ONES, desirable_weight=1.3) for side in (1, 0)]
    assert_close(kto.logistic(RATIOS, 0.7, p_desirable=p, desirable_weight=1.3), p * sides[0] + (1 - p) * sides[1])


def test_the_gradient_is_largest_at_the_reference_point():
    """∂L/∂r = −λ_D·β·σ(1 − σ): λβ/4 at z₀, and less the further away, on either side."""
    ratios = torch.tensor([1.0, 11.0, -9.0], requires_grad=True)
    kto.logistic(ratios, 1.0, p_desirable=torch.ones(3), beta=0.1, desirable_weight=2.0).sum().backward()
    s = torch.sigmoid(0.1 * (ratios.detach() - 1))
    assert_close(ratios.grad, -2 * 0.1 * s * (1 - s))
    assert ratios.grad[0].item() == pytest.approx(-0.05)
    assert_close(ratios.grad[1], ratios.grad[2])


def test_the_reference_point_is_a_clamped_mean_without_gradient():
    total = torch.tensor(6.0, requires_grad=True)
    point = kto.kl_reference_point(total, 4)
    assert point.item() == 1.5
    assert not point.requires_grad
    assert kto.kl_reference_point(torch.tensor(-6.0), torch.tensor(4.0)).item() == 0
