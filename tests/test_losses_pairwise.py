"""The losses of pairs: by hand, by their formulas, under soft labels, with partners, and what they refuse."""

import math
import re
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from accord.losses import anchored, options, pairwise, transport

LOG2 = math.log(2)


def sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def pair(chosen, rejected, *, chosen_lengths=3, rejected_lengths=2, reference=(-1.0, -2.0), **numbers):
    """Everything about pairs whose log-ratios are given: log π is that and the reference's."""
    chosen, rejected = (torch.as_tensor(x, dtype=torch.float64).reshape(-1) for x in (chosen, rejected))
    full = torch.full_like
    return {
        "chosen_logratios": chosen, "rejected_logratios": rejected,
        "chosen_scores": chosen, "rejected_scores": rejected,
        "chosen_logps": chosen + reference[0], "rejected_logps": rejected + reference[1],
        "chosen_reference": full(chosen, reference[0]), "rejected_reference": full(chosen, reference[1]),
        "chosen_lengths": full(chosen, chosen_lengths), "rejected_lengths": full(chosen, rejected_lengths),
    } | numbers  # fmt: skip


def evaluate(name, quantities):
    """A loss of a whole batch: with its partners, if it has some."""
    if name in pairwise.PARTNERS:
        found = pairwise.partners(name, quantities).detach()
        quantities = quantities | {"chosen_partner": found[:, 0], "rejected_partner": found[:, 1]}
    return pairwise.evaluate(name, quantities)


#: At the start of training, where policy and reference are one: all log-ratios are 0. β = 0.1, ε = 0.1, and, for those
#: without a reference, log π −6 and −4 of 3 and 2 tokens: −2 a token for both answers.
AT_THE_START = {
    "sigmoid": LOG2,
    "hinge": 1,
    "ipo": 25,  # (0 − 1/0.2)²
    "exo_pair": math.log(0.5 / 0.3),  # KL of ½, ½ to 0.9, 0.1: ½·log(0.25/0.09)
    "nca_pair": 2 * LOG2,
    "robust": LOG2,
    "bco_pair": 2 * LOG2,
    "sppo_hard": 50,  # two times (0.5/0.1)²
    "aot": LOG2,
    "aot_unpaired": LOG2,
    "apo_zero": 1,
    "apo_down": 1,
    "discopop": (LOG2 + 1) / 2,
    "sft": 2,
    "sigmoid_norm": LOG2,
    "simpo": math.log(1 + math.exp(0.5)),
    "orpo": 2 + 0.1 * LOG2,
    "cpo": math.log(1 + math.exp(0.2)) + 2,  # log π(c) − log π(r) = −2
    "slic": (1 + 2) + 0.5 * 2,
}


@pytest.mark.parametrize("name", pairwise.LOSSES)
def test_at_the_start_of_training(name):
    given = pair(0.0, 0.0, reference=(-6.0, -4.0), beta=0.1, label_smoothing=0.1)
    if name == "cpo":
        given["label_smoothing"] = 0.0
    assert evaluate(name, given).item() == pytest.approx(AT_THE_START[name], abs=1e-12)


#: The papers' formulas of one pair, without torch: log-ratios c, r; log π C, R of m, n tokens; β = b.
FORMULAS = {
    "sigmoid": lambda c, r, C, R, m, n, b: -math.log(sigma(b * (c - r))),
    "hinge": lambda c, r, C, R, m, n, b: max(0, 1 - b * (c - r)),
    "ipo": lambda c, r, C, R, m, n, b: (c / m - r / n - 1 / (2 * b)) ** 2,
    "exo_pair": lambda c, r, C, R, m, n, b: sum(
        q * math.log(q / p) for q, p in ((sigma(b * (c - r)), 0.999), (sigma(b * (r - c)), 0.001))
    ),
    "nca_pair": lambda c, r, C, R, m, n, b: (
        -math.log(sigma(b * c)) - math.log(sigma(-b * c)) / 2 - math.log(sigma(-b * r)) / 2
    ),
    "robust": lambda c, r, C, R, m, n, b: -math.log(sigma(b * (c - r))),
    "bco_pair": lambda c, r, C, R, m, n, b: -math.log(sigma(b * c)) - math.log(1 - sigma(b * r)),
    "sppo_hard": lambda c, r, C, R, m, n, b: (c - 1 / (2 * b)) ** 2 + (r + 1 / (2 * b)) ** 2,
    "aot": lambda c, r, C, R, m, n, b: -math.log(sigma(b * (c - r))),  # of one pair, sorting changes nothing
    "aot_unpaired": lambda c, r, C, R, m, n, b: -math.log(sigma(b * (c - r))),
    "apo_zero": lambda c, r, C, R, m, n, b: 1 - sigma(b * c) + sigma(b * r),
    "apo_down": lambda c, r, C, R, m, n, b: sigma(b * c) + 1 - sigma(b * (c - r)),
    "discopop": lambda c, r, C, R, m, n, b: (
        -(1 - sigma(b * (c - r) / 0.05)) * math.log(sigma(b * (c - r)))
        + sigma(b * (c - r) / 0.05) * math.exp(-b * (c - r))
    ),
    "sft": lambda c, r, C, R, m, n, b: -C / m,
    "sigmoid_norm": lambda c, r, C, R, m, n, b: -math.log(sigma(b * (c / m - r / n))),
    "simpo": lambda c, r, C, R, m, n, b: -math.log(sigma(b * C / m - b * R / n - 0.5)),
    "orpo": lambda c, r, C, R, m, n, b: (
        -C / m - b * math.log(sigma(math.log(odds(math.exp(C / m)) / odds(math.exp(R / n)))))
    ),
    "cpo": lambda c, r, C, R, m, n, b: -math.log(sigma(b * (C - R))) - C / m,
    "slic": lambda c, r, C, R, m, n, b: max(0, 1 - C + R) - 0.5 * C / m,
}


def odds(p: float) -> float:
    return p / (1 - p)


@pytest.mark.parametrize("name", pairwise.LOSSES)
@pytest.mark.parametrize(("chosen", "rejected"), [(3.0, -2.0), (-4.0, 1.5), (0.3, 0.2)])
@pytest.mark.parametrize("beta", [0.1, 0.8])
def test_the_papers_formula(name, chosen, rejected, beta):
    given = pair(chosen, rejected, reference=(-5.0, -7.0), chosen_lengths=4, rejected_lengths=6, beta=beta)
    expected = FORMULAS[name](chosen, rejected, chosen - 5, rejected - 7, 4, 6, beta)
    assert evaluate(name, given).item() == pytest.approx(expected, abs=1e-10)


EASY = [name for name in pairwise.LOSSES if pairwise.takes_soft_labels(name)]
RATIOS = ([3.0, -1.0, 0.0, -20.0], [-2.0, 4.0, 0.0, 30.0])


@pytest.mark.parametrize("name", EASY)
def test_a_label_of_one_is_the_order_given_and_of_zero_the_other(name):
    given, turned = pair(*RATIOS), pair(*RATIOS[::-1], reference=(-2.0, -1.0), chosen_lengths=2, rejected_lengths=3)
    for quantities in (given, turned):
        quantities["chosen_logps"], quantities["rejected_logps"] = (
            quantities[f"{side}_logps"] - 40 for side in ("chosen", "rejected")
        )
    assert_close(pairwise.evaluate(name, given | {"p_chosen": torch.ones(4)}), pairwise.evaluate(name, given))
    assert_close(pairwise.evaluate(name, given | {"p_chosen": torch.zeros(4)}), pairwise.evaluate(name, turned))


@pytest.mark.parametrize("name", [n for n in EASY if n != "exo_pair"])  # a KL, whose expectation is another thing
def test_a_soft_label_is_the_expectation_over_the_label(name):
    given = pair(*RATIOS, reference=(-41.0, -42.0))
    p = torch.tensor([0.3, 0.9, 0.5, 0.01], dtype=torch.float64)
    sure, wrong = (pairwise.evaluate(name, given | {"p_chosen": torch.full((4,), value)}) for value in (1.0, 0.0))
    assert_close(pairwise.evaluate(name, given | {"p_chosen": p}), p * sure + (1 - p) * wrong)


def logit(p: float) -> float:
    return math.log(p / (1 - p))


#: Where the expected loss is least over the chosen's log-ratio, the rejected's being its opposite; one token each.
LEAST = {
    "sigmoid": lambda p, b: logit(p) / b / 2,
    "sigmoid_norm": lambda p, b: logit(p) / b / 2,
    "exo_pair": lambda p, b: logit(p * 0.9 + (1 - p) * 0.1) / b / 2,  # ε = 0.1
    "robust": lambda p, b: logit((p - 0.1) / 0.8) / b / 2,  # undoes ε = 0.1
    "ipo": lambda p, b: (2 * p - 1) / (2 * b) / 2,
    "sppo_hard": lambda p, b: (p - 0.5) / b,
    "bco_pair": lambda p, b: logit(p) / b,
    "nca_pair": lambda p, b: logit((p + 0.5) / 2) / b,  # −(p + ½)·log σ(r) − (3/2 − p)·log σ(−r)
}


@pytest.mark.parametrize("name", LEAST)
@pytest.mark.parametrize("p", [0.55, 0.75, 0.85])
def test_a_soft_label_puts_the_minimum_where_it_says(name, p):
    given = {"p_chosen": torch.tensor([p], dtype=torch.float64), "beta": 0.3}
    if name in ("exo_pair", "robust"):
        given["label_smoothing"] = 0.1

    def loss(ratio):
        return pairwise.evaluate(name, pair(ratio, -ratio, chosen_lengths=1, rejected_lengths=1) | given)

    at = torch.tensor([LEAST[name](p, 0.3)], dtype=torch.float64, requires_grad=True)
    value = loss(at)
    value.backward()
    assert at.grad.item() == pytest.approx(0, abs=1e-9)
    assert all(loss(at.detach() + step) > value for step in (-0.1, 0.1))


def test_ncas_expectation_is_its_form_with_soft_labels():
    """The paper's: −Σ_y (p_y·log σ(r_y) + ½·log σ(−r_y)) over the two answers."""
    c, r = (torch.tensor(x, dtype=torch.float64) for x in RATIOS)
    p = torch.tensor([0.3, 0.9, 0.5, 1.0], dtype=torch.float64)
    given = {"p_chosen": p, "beta": 0.1}
    log_sigma = torch.nn.functional.logsigmoid
    expected = -p * log_sigma(0.1 * c) - (1 - p) * log_sigma(0.1 * r) - (log_sigma(-0.1 * c) + log_sigma(-0.1 * r)) / 2
    assert_close(pairwise.evaluate("nca_pair", pair(*RATIOS) | given), expected)


def test_robust_means_the_loss_of_the_right_labels():
    """Labels wrong with probability ε, given as they are: in the mean, DPO's loss of the right ones."""
    given = pair(*RATIOS, beta=0.1)
    noisy = {"p_chosen": torch.full((4,), 0.7, dtype=torch.float64), "label_smoothing": 0.3}
    assert_close(pairwise.evaluate("robust", given | noisy), pairwise.evaluate("sigmoid", given))


def test_an_order_that_nobody_prefers_may_be_infinitely_bad(monkeypatch):
    """0·∞ is no number, neither in the loss nor in its gradient: such an order is left out."""

    def one_way(chosen_logratios, rejected_logratios):
        return (rejected_logratios - chosen_logratios).exp()

    monkeypatch.setitem(pairwise.LOSSES, "one_way", one_way)
    chosen = torch.tensor([1000.0, -1000.0, 1.0], requires_grad=True)
    given = {"chosen_logratios": chosen, "rejected_logratios": torch.zeros(3)}
    loss = pairwise.evaluate("one_way", given | {"p_chosen": torch.tensor([1.0, 0.0, 0.5])})
    loss.sum().backward()
    assert_close(loss, torch.tensor([0.0, 0.0, math.cosh(1.0)]))
    assert_close(chosen.grad, torch.tensor([0.0, 0.0, math.sinh(1.0)]))


@pytest.mark.parametrize("name", pairwise.LOSSES)
@pytest.mark.parametrize("p", [1.0, 0.7, 0.0])
def test_far_log_probs_stay_finite(name, p):
    """Also of a policy that is sure of every token: log π = 0."""
    chosen = torch.tensor([0.0, -2000.0, 0.0, 2000.0], requires_grad=True)
    rejected = torch.tensor([0.0, 0.0, -2000.0, -2000.0], requires_grad=True)
    given = pair(chosen, rejected, reference=(0.0, 0.0), p_chosen=torch.full((4,), p), beta=2.0, label_smoothing=0.1)
    given = {n: x.float() if isinstance(x, torch.Tensor) else x for n, x in given.items()}
    given |= {f"{side}_logps": given[f"{side}_logratios"].clamp(max=0) for side in ("chosen", "rejected")}
    loss = evaluate(name, given)
    loss.sum().backward()
    grads = [x.grad for x in (chosen, rejected) if x.grad is not None]
    assert grads
    assert all(torch.isfinite(x).all() for x in (loss, *grads))


# Whole batches


def gradients(loss, *of):
    return torch.autograd.grad(loss, of)


def sorted_aot(c, r, c0, r0):
    """Paired, as the paper writes it: sorted differences of the policy against sorted ones of the reference."""
    return -torch.nn.functional.logsigmoid(0.3 * ((c - r).sort().values - (c0 - r0).sort().values))


def sorted_unpaired(c, r, c0, r0):
    return -torch.nn.functional.logsigmoid(0.3 * ((c - c0).sort().values - (r - r0).sort().values))


@pytest.mark.parametrize(("name", "formula"), [("aot", sorted_aot), ("aot_unpaired", sorted_unpaired)])
@pytest.mark.parametrize("parts", [[7], [3, 4], [1, 1, 5], [1] * 7])
def test_partners_make_the_sorted_loss(name, formula, parts):
    """Value and gradient, however the batch is cut for training."""
    torch.manual_seed(0)
    c, r, c0, r0 = (torch.randn(7, dtype=torch.float64) * 5 for _ in range(4))
    c.requires_grad_(), r.requires_grad_()
    expected = formula(c, r, c0, r0).sum()
    columns = {
        "chosen_logps": c, "rejected_logps": r, "chosen_reference": c0, "rejected_reference": r0,
        "chosen_logratios": c - c0, "rejected_logratios": r - r0,
    }  # fmt: skip
    with torch.no_grad():
        found = pairwise.partners(name, columns)
    columns |= {"chosen_partner": found[:, 0], "rejected_partner": found[:, 1]}
    cuts = zip(*(column.split(parts) for column in columns.values()), strict=True)
    cut = [dict(zip(columns, part, strict=True)) for part in cuts]
    total = sum(pairwise.evaluate(name, part | {"beta": 0.3}).sum() for part in cut)
    assert_close(total, expected)
    assert_close(gradients(total, c, r), gradients(expected, c, r))


def test_partners_by_hand():
    """Policy differences 5, 1, 3 rank 2, 0, 1; the reference's 10, 20, 30 rank 0, 1, 2."""
    zeros = torch.zeros(3)
    found = transport.aot_partners(torch.tensor([5.0, 1.0, 3.0]), zeros, torch.tensor([10.0, 20.0, 30.0]), zeros)
    assert_close(found, torch.tensor([[30.0, 0.0], [10.0, 0.0], [20.0, 0.0]]))
    found = transport.aot_unpaired_partners(torch.tensor([5.0, 1.0, 3.0]), torch.tensor([10.0, 20.0, 30.0]))
    assert_close(found, torch.tensor([[30.0, 1.0], [10.0, 3.0], [20.0, 5.0]]))


# The table


def test_what_losses_say_of_themselves():
    free = {name for name in pairwise.LOSSES if pairwise.is_reference_free(name)}
    assert free == {"sft", "simpo", "orpo", "cpo", "slic"}
    divergent = {name for name in pairwise.LOSSES if pairwise.takes_divergence(name)}
    assert divergent == {"sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "robust", "discopop"}
    smoothed = {name for name in pairwise.LOSSES if "label_smoothing" in pairwise.needs(name)}
    assert smoothed == {"sigmoid", "sigmoid_norm", "exo_pair", "robust", "aot", "aot_unpaired", "cpo"}
    assert {name for name in pairwise.LOSSES if not pairwise.takes_soft_labels(name)} == {"aot", "aot_unpaired"}
    assert pairwise.needs("ipo") == {"chosen_scores", "rejected_scores", "chosen_lengths", "rejected_lengths", "beta"}


def test_numbers_left_out_have_the_losss_own_defaults():
    given = pair(0.0, 0.0, reference=(-6.0, -4.0))
    assert pairwise.evaluate("simpo", given).item() == pytest.approx(math.log(1 + math.exp(0.5)))
    assert pairwise.evaluate("simpo", given | {"simpo_gamma": 0.0}).item() == pytest.approx(LOG2)


def test_sppos_targets_are_the_papers():
    """Eq. 4.7 with P = 1, η = 1/β: at log-ratios of η/2 and −η/2 nothing is left to do."""
    assert anchored.sppo_hard(torch.tensor([5.0]), torch.tensor([-5.0]), beta=0.1).item() == 0


@pytest.mark.parametrize(
    ("names", "numbers", "kind", "message"),
    [
        (["sigmod"], {}, "reverse_kl", "loss_type is 'sigmod': use one of sigmoid, "),
        (["sigmoid"], {"beta": 0.0}, "reverse_kl", "beta is 0.0: use a positive number"),
        (["robust"], {"label_smoothing": 0.5}, "reverse_kl", "label_smoothing is 0.5: use a number from 0 to"),
        (["exo_pair"], {"label_smoothing": 0.0}, "reverse_kl", "label_smoothing is 0.0: exo_pair needs more than 0"),
        (["discopop"], {"discopop_tau": 0.0}, "reverse_kl", "discopop_tau is 0.0"),
        (["simpo"], {"simpo_gamma": -1.0}, "reverse_kl", "simpo_gamma is -1.0"),
        (["hinge"], {"label_smoothing": 0.1}, "reverse_kl", "label_smoothing is 0.1: hinge has no use for it; use 0"),
        (["sigmoid", "bco_pair"], {"label_smoothing": 0.1}, "reverse_kl", "label_smoothing is 0.1: bco_pair"),
        (["sft"], {"label_smoothing": 0.1}, "reverse_kl", "label_smoothing is 0.1: sft has no use for it"),
        (["nca_pair"], {}, "js_divergence", "f_divergence_type is js_divergence: nca_pair has no use for it; use rev"),
    ],
)
def test_refusals(names, numbers, kind, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}.*$"):
        options.check(names, numbers, kind)


def test_what_is_not_refused():
    options.check(["sigmoid", "sft"], {"beta": 0.1, "label_smoothing": 0.1}, "js_divergence")
    options.check(["sigmoid", "bco_pair", "sft"], {"beta": 0.1, "label_smoothing": 0.0})
    options.check(["exo_pair"], {"beta": 0.1, "label_smoothing": 1e-3})
    options.check(["slic"], {"beta": -1.0})  # which it does not take


def test_the_documented_table_says_what_each_loss_takes():
    page = (Path(__file__).parent.parent / "docs" / "losses.md").read_text(encoding="utf-8")
    lines = page[page.index("| `sigmoid`") :].split("\n\n")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    said = {row[0].strip("`"): [cell == "yes" for cell in row[-4:]] for row in rows}
    assert said == {
        name: [
            not pairwise.is_reference_free(name),
            pairwise.takes_soft_labels(name),
            "label_smoothing" in pairwise.needs(name),
            pairwise.takes_divergence(name),
        ]
        for name in pairwise.LOSSES
    }
