"""Prospect theory: the facts that Tversky & Kahneman (1992) and Prelec (1998) publish, and what training needs."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from accord.losses import prospect
from accord.losses.prospect import SMOOTHING, VALUES, WEIGHTS, kahneman_tversky, logistic, loss_averse, power

GRID = torch.cat([-torch.logspace(-6, 3, 400).flip(0), torch.zeros(1), torch.logspace(-6, 3, 400)]).double()
SHARES = torch.linspace(0, 1, 1001).double()


def at(function, z: float, **parameters) -> float:
    return function(torch.tensor(z, dtype=torch.float64), **parameters).item()


# ---- Value functions


def test_a_loss_hurts_two_and_a_quarter_times_as_much():
    """v(−100)/v(100) = −λ, λ = 2.25: the median of their subjects; and v(100) = 100^0.88 = 57.5."""
    assert at(kahneman_tversky, -100) / at(kahneman_tversky, 100) == pytest.approx(-2.25, rel=1e-12)
    assert at(kahneman_tversky, 100) == pytest.approx(57.5440, abs=1e-4)
    assert at(loss_averse, -100) / at(loss_averse, 100) == -2.25


def test_without_aversion_and_risk_preference_value_is_linear():
    for function, parameters in (
        (kahneman_tversky, {"loss_aversion": 1.0, "alpha_gain": 1.0, "alpha_loss": 1.0}),
        (loss_averse, {"loss_aversion": 1.0}),
    ):
        assert torch.equal(function(GRID, **parameters), GRID)


def test_without_risk_preference_only_loss_aversion_is_left():
    assert torch.equal(kahneman_tversky(GRID, alpha_gain=1.0, alpha_loss=1.0), loss_averse(GRID))


def test_gains_and_losses_have_their_own_risk_preference():
    """v(16) = 16^½ = 4 and v(−16) = −3·16^¼ = −6, but for the smoothing."""
    settings = {"loss_aversion": 3.0, "alpha_gain": 0.5, "alpha_loss": 0.25}
    assert at(kahneman_tversky, 16, **settings) == pytest.approx(4, rel=1e-6)
    assert at(kahneman_tversky, -16, **settings) == pytest.approx(-6, rel=1e-6)


def test_people_avert_risk_among_gains_and_seek_it_among_losses():
    """α < 1: for sure 50 is more than 100 at evens, and −50 for sure is less than −100 at evens."""
    assert at(kahneman_tversky, 50) > at(kahneman_tversky, 100) / 2
    assert at(kahneman_tversky, -50) < at(kahneman_tversky, -100) / 2


@pytest.mark.parametrize("alpha", [0.05, 0.5, 0.88, 0.99])
def test_smoothing_takes_as_little_as_said(alpha):
    exact = GRID.sign() * GRID.abs() ** alpha
    lost = (exact - power(GRID, alpha)).abs()
    assert (lost < SMOOTHING**alpha).all()
    assert (lost <= exact.abs() * (1 - alpha) / 2 * (SMOOTHING / GRID.abs()) ** 2 + 1e-12)[GRID != 0].all()
    assert (GRID.sign() * (exact - power(GRID, alpha)) >= 0).all()
    assert_close(power(-GRID, alpha), -power(GRID, alpha))


def test_smoothing_of_the_published_alpha():
    """The figures in the docstring."""
    exact = GRID.sign() * GRID.abs() ** 0.88
    assert (exact - power(GRID, 0.88)).abs().max() < 9e-4
    for z, share in ((0.1, 6e-4), (1.0, 6.01e-6)):
        assert 0.98 * share < 1 - at(power, z, alpha=0.88) / z**0.88 < share
    assert slope(lambda z: power(z, 0.88), torch.zeros(1)).item() == pytest.approx(1.74, abs=0.005)


def slope(value, z):
    z = z.clone().requires_grad_()
    value(z).sum().backward()
    return z.grad


@pytest.mark.parametrize("name", VALUES)
def test_every_value_rises_and_has_a_finite_slope_at_zero(name):
    value = VALUES[name]
    values = value.of(GRID)
    moderate = GRID.abs() < 30  # further out, σ is 1 or 0 to the last digit
    assert (values[moderate].diff() > 0).all()
    assert (values.diff() >= 0).all()
    if value.best or name == "logsigmoid":
        assert (values <= value.best).all()
    for z in (torch.zeros(3), torch.tensor([0.0, -0.0, 1e-30, -1e-30]), torch.tensor([1e4, -1e4])):
        assert torch.isfinite(slope(value.of, z)).all()
    assert (slope(value.of, torch.zeros(2)) > 0).all()


@pytest.mark.parametrize("alpha", [0.01, 0.88])
def test_slopes_stay_finite_for_any_risk_preference(alpha):
    def value(z):
        return kahneman_tversky(z, alpha_gain=alpha, alpha_loss=alpha)

    steepest = 2.25 * SMOOTHING ** (alpha - 1)
    assert (slope(value, GRID.float()).abs() <= steepest * (1 + 1e-6)).all()


def test_no_gain_and_no_loss_has_no_value():
    for function in (kahneman_tversky, loss_averse):
        assert at(function, 0.0) == at(function, -0.0) == 0
    assert at(logistic, 0.0) == 0.5
    assert at(prospect.logsigmoid, 0.0) == pytest.approx(-math.log(2))


# ---- Decision weights


@pytest.mark.parametrize(
    ("gamma", "p", "weight"),
    [(0.61, 0.5, 0.42), (0.61, 0.01, 0.055), (0.61, 0.99, 0.912), (0.69, 0.5, 0.454), (0.69, 0.01, 0.040)],
)
def test_weights_of_tversky_and_kahneman(gamma, p, weight):
    assert at(prospect.tversky_kahneman, p, gamma=gamma) == pytest.approx(weight, abs=7e-4)


@pytest.mark.parametrize("gamma", [0.3, 0.65, 1.0])
def test_prelecs_weight_is_right_at_one_over_e(gamma):
    """−ln(1/e) = 1, and 1^γ = 1: the point at which all his curves cross."""
    assert at(prospect.prelec, math.exp(-1), gamma=gamma) == pytest.approx(math.exp(-1))


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("gamma", [0.28, 0.61, 0.69, 1.0])
def test_every_weight_rises_and_knows_the_impossible_and_the_certain(name, gamma):
    for dtype in (torch.float32, torch.float64):
        ends = WEIGHTS[name](torch.tensor([0.0, 1.0], dtype=dtype), gamma)
        assert torch.equal(ends, torch.tensor([0.0, 1.0], dtype=dtype))
    assert (WEIGHTS[name](SHARES, gamma).diff() > 0).all()


def test_below_its_range_a_weight_would_fall():
    """Why γ of Tversky & Kahneman begins at 0.28."""
    assert (prospect.tversky_kahneman(SHARES, 0.27).diff() < 0).any()


@pytest.mark.parametrize("name", WEIGHTS)
def test_gamma_one_weighs_by_probability(name):
    assert_close(WEIGHTS[name](SHARES, 1.0), SHARES)


@pytest.mark.parametrize("name", ["tversky_kahneman", "prelec"])
def test_the_unlikely_counts_more_and_the_likely_less(name):
    weights = WEIGHTS[name](torch.tensor([0.05, 0.95]), 0.61)
    assert weights[0] > 0.05
    assert weights[1] < 0.95


# ---- The documentation's pictures and figures


def test_the_pictures_show_these_functions(tmp_path):
    """Drawn anew, they are what docs/images holds."""
    folder = Path(__file__).parent.parent / "docs" / "images"
    subprocess.run([sys.executable, folder / "prospect_theory.py", tmp_path], check=True)
    drawn = sorted(tmp_path.glob("*.svg"))
    assert len(drawn) == 3
    for picture in drawn:
        assert picture.read_text(encoding="utf-8") == (folder / picture.name).read_text(encoding="utf-8")


def test_the_figures_in_the_documentation():
    """What is left of 9 votes in 10; and from which p on an answer rises against λ = 2.25, as weights go."""
    gain, loss = (lambda p, g=g: at(prospect.tversky_kahneman, p, gamma=g) for g in (0.61, 0.69))
    assert gain(0.9) - loss(0.1) == pytest.approx(0.54, abs=0.005)
    assert gain(0.78) < 2.25 * loss(0.22)
    assert gain(0.79) > 2.25 * loss(0.21)
    assert loss(0.77) > 2.25 * gain(0.23)
    assert loss(0.76) < 2.25 * gain(0.24)
