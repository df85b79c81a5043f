"""KTO's loss: values derived by hand, the paper's and TRL's equations, and examples on which people disagree."""

import math

import pytest
import torch
from torch.testing import assert_close

from accord.losses import kto, prospect

RATIOS = torch.tensor([0.0, 2.0, -3.0, 25.0, -25.0])
ONES = torch.ones(5)


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_an_output_at_the_reference_point_costs_one_half(p):
    """r = z₀: neither gain nor loss, σ(0) = ½ on both sides."""
    loss = kto.human_aware(torch.tensor([1.7]), 1.7, p_desirable=torch.tensor([p]), beta=0.3)
    assert loss.item() == pytest.approx(0.5, abs=1e-7)


def test_by_hand():
    """β = ½, r = 5, z₀ = 3: β(r − z₀) = 1. Wanted: λ_D·(1 − σ(1)) = 2/(1 + e); unwanted: λ_U·σ(1) = 3e/(1 + e)."""
    loss = kto.human_aware(
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
    loss = kto.human_aware(RATIOS, 0.4, p_desirable=p * ONES, beta=0.2, desirable_weight=1.5, undesirable_weight=0.5)
    gain = 0.2 * (RATIOS - 0.4) if p else 0.2 * (0.4 - RATIOS)
    assert_close(loss, weight - weight / (1 + torch.exp(-gain)))


def test_an_undecided_label_is_symmetric_and_flat():
    """p = ½ with equal weights: ½(1 − σ(x)) + ½σ(x) = ½ everywhere, so nothing is learnt from it."""
    ratios = RATIOS.clone().requires_grad_()
    loss = kto.human_aware(ratios, 0.0, p_desirable=0.5 * ONES)
    loss.sum().backward()
    assert_close(loss.detach(), 0.5 * ONES)
    assert_close(ratios.grad, torch.zeros(5))
    mirrored = [
        kto.human_aware(sign * RATIOS, 0.0, p_desirable=0.5 * ONES, desirable_weight=d, undesirable_weight=u)
        for sign, d, u in ((1, 2.0, 1.0), (-1, 1.0, 2.0))
    ]
    assert_close(*mirrored)


def test_a_soft_label_counts_on_both_sides():
    p = torch.tensor([0.1, 0.3, 0.5, 0.8, 1.0])
    sides = [kto.human_aware(RATIOS, 0.7, p_desirable=side * ONES, desirable_weight=1.3) for side in (1, 0)]
    assert_close(kto.human_aware(RATIOS, 0.7, p_desirable=p, desirable_weight=1.3), p * sides[0] + (1 - p) * sides[1])


def test_the_gradient_is_largest_at_the_reference_point():
    """∂L/∂r = −λ_D·β·σ(1 − σ): λβ/4 at z₀, and less the further away, on either side."""
    ratios = torch.tensor([1.0, 11.0, -9.0], requires_grad=True)
    kto.human_aware(ratios, 1.0, p_desirable=torch.ones(3), beta=0.1, desirable_weight=2.0).sum().backward()
    s = torch.sigmoid(0.1 * (ratios.detach() - 1))
    assert_close(ratios.grad, -2 * 0.1 * s * (1 - s))
    assert ratios.grad[0].item() == pytest.approx(-0.05)
    assert_close(ratios.grad[1], ratios.grad[2])


def test_any_value_function_by_hand():
    """β = ½, r − z₀ = ±4, z = ±2. Power with α = ½: v(2) = √2, v(−2) = −3√2; there is no best value, so L = −λ·w·v."""
    value = prospect.Value(lambda z: prospect.kahneman_tversky(z, loss_aversion=3.0, alpha_gain=0.5, alpha_loss=0.5))
    settings = {"beta": 0.5, "desirable_weight": 2.0, "undesirable_weight": 0.5, "value": value}
    p = torch.tensor([1.0, 0.0, 1.0, 0.0])
    loss = kto.human_aware(torch.tensor([5.0, 5.0, -3.0, -3.0]), 1.0, p_desirable=p, **settings)
    root = math.sqrt(2)
    assert_close(loss, torch.tensor([-2 * root, 1.5 * root, 6 * root, -0.5 * root]), rtol=1e-5, atol=0)


def test_logsigmoid_is_the_cross_entropy_of_the_vote():
    """v = log σ: L = −p·log σ(z) − (1 − p)·log σ(−z), at z = 1 and p = 0.8."""
    loss = kto.human_aware(
        torch.tensor([10.0]), 0.0, p_desirable=torch.tensor([0.8]), value=prospect.VALUES["logsigmoid"]
    )
    assert loss.item() == pytest.approx(0.8 * math.log1p(math.exp(-1)) + 0.2 * math.log1p(math.e), rel=1e-6)


def test_each_side_has_its_decision_weight():
    """At z = 0, L = ½·(w⁺(p) + w⁻(1 − p)); with γ = 0.61 and 0.69 and p = ½ that is ½·(0.4206 + 0.4540)."""
    p = torch.tensor([0.0, 0.5, 1.0])
    loss = kto.human_aware(
        torch.zeros(3),
        0.0,
        p_desirable=p,
        weight_gain=lambda p: prospect.tversky_kahneman(p, 0.61),
        weight_loss=lambda p: prospect.tversky_kahneman(p, 0.69),
    )
    assert_close(loss, torch.tensor([0.5, 0.43731, 0.5]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", prospect.VALUES)
def test_gradients_are_finite_at_the_reference_point(name):
    """Where every run begins: policy and reference are the same. Downwards for the wanted, upwards for the unwanted."""
    ratios = torch.zeros(2, requires_grad=True)
    kto.human_aware(ratios, 0.0, p_desirable=torch.tensor([1.0, 0.0]), value=prospect.VALUES[name]).sum().backward()
    assert torch.isfinite(ratios.grad).all()
    assert ratios.grad[0] < 0 < ratios.grad[1]
    assert_close(ratios.grad[0], -ratios.grad[1])


@pytest.mark.parametrize(
    ("loss_type", "kl", "point"), [("kto", 2.5, 2.5), ("kto", 0.0, 0.0), ("apo_zero_unpaired", 2.5, 0.0)]
)
def test_losses_and_gradients_are_trls(loss_type, kl, point, tmp_path, tiny_model_dir, byte_tokenizer, monkeypatch):
    """`apo_zero_unpaired` is the logistic value with reference point 0, whatever the KL may be."""
    trl = pytest.importorskip("trl", reason="TRL is an extra: pip install 'accord[trl]'")
    from test_trl_parity import POLICY, REFERENCE, peer_loss

    labels = torch.tensor([True, True, False, True, False, False, True, False])
    batch = {"label": labels, "ref_logps": REFERENCE, "ref_KL_logps": torch.zeros(8)}
    monkeypatch.setattr(trl.KTOTrainer, "_compute_kl_logps", lambda self, model, inputs: torch.full((8,), kl))
    one, other = POLICY.clone().requires_grad_(), POLICY.clone().requires_grad_()
    weights = {"beta": 0.3, "desirable_weight": 1.4, "undesirable_weight": 0.6}
    peer = peer_loss("kto", tmp_path, tiny_model_dir, byte_tokenizer, batch, one, loss_type=loss_type, **weights)
    mine = kto.human_aware(other - REFERENCE, point, p_desirable=labels.float(), **weights).mean()
    assert_close(mine, peer, atol=1e-6, rtol=1e-6)
    mine.backward()
    peer.backward()
    assert_close(other.grad, one.grad, atol=1e-6, rtol=1e-6)


def test_the_reference_point_is_a_clamped_mean_without_gradient():
    ratios = torch.tensor([5.0, -1.0, 2.0, 0.0], requires_grad=True)
    point = kto.kl_reference_point(ratios)
    assert point.item() == 1.5
    assert not point.requires_grad
    assert kto.kl_reference_point(-ratios).item() == 0


def test_loss_aversion_holds_the_model_where_people_disagree():
    """−p·v(z) − (1 − p)·v(−z) falls from z = 0 upwards only if p > λ(1 − p), so p > λ/(1 + λ) = 0.692 for λ = 2.25,
    and downwards only if p < 0.308; in between z₀ costs least. Without loss aversion everything turns at ½."""

    def away(p: float, name: str) -> list[bool]:
        """Whether a step off the reference point, down or up, lowers the loss."""
        z, value = torch.tensor([-0.5, 0.0, 0.5]), prospect.VALUES[name]
        below, at, above = kto.human_aware(z, 0.0, p_desirable=torch.tensor(p), beta=1.0, value=value).tolist()
        return [below < at, above < at]

    for name in ("kahneman_tversky", "loss_averse"):
        assert [away(p, name) for p in (0.3, 0.32, 0.5, 0.68, 0.7)] == (
            [[True, False]] + 3 * [[False, False]] + [[False, True]]
        )
    assert [away(p, "logistic") for p in (0.32, 0.68)] == [[True, False], [False, True]]
