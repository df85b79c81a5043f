"""TRL's own loss code on random log-probs: the same value and the same gradient, to 1e-6."""

from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from accord.losses import divergence, dpo, pairwise

trl = pytest.importorskip("trl", reason="TRL is an extra: pip install 'accord[trl]'")

PAIRS, TOKENS = 6, 9
ALONE = SimpleNamespace(device="cpu", gather=lambda x: x, gather_for_metrics=lambda x: x)


class Case:
    """Random log-probs of the tokens of pairs: all chosen answers, then all rejected, as in TRL's batches."""

    def __init__(self, dtype: torch.dtype, *, same_lengths: bool = False, seed: int = 0):
        random = torch.Generator().manual_seed(seed)
        rows = 2 * PAIRS
        lengths = torch.randint(1, TOKENS + 1, (rows,), generator=random)
        self.lengths = torch.full_like(lengths, TOKENS) if same_lengths else lengths
        self.mask = (torch.arange(TOKENS) < self.lengths[:, None]).long()
        self.tokens = -torch.rand(rows, TOKENS, dtype=dtype, generator=random) * 3 * self.mask
        self.reference = self.tokens.sum(1) + 4 * torch.randn(rows, dtype=dtype, generator=random)
        self.squares = -torch.rand(rows, TOKENS, dtype=dtype, generator=random)

    def quantities(self, tokens: torch.Tensor, **options):
        """What Accord's losses are functions of, from log-probs of tokens."""
        logps = tokens.sum(1)
        columns = {
            "logps": logps,
            "logratios": logps - self.reference,
            "scores": logps - self.reference,
            "reference": self.reference,
            "lengths": self.lengths,
        }
        sides = [(f"chosen_{n}", f"rejected_{n}") for n in columns]
        return {
            side: half
            for both, column in zip(sides, columns.values(), strict=True)
            for side, half in zip(both, column.chunk(2), strict=True)
        } | options

    def batch(self):
        """TRL's, with one token of prompt."""
        mask = torch.cat([torch.zeros_like(self.mask[:, :1]), self.mask], 1)
        chosen, rejected = self.reference.chunk(2)
        return {
            "input_ids": torch.ones_like(mask),
            "attention_mask": torch.ones_like(mask),
            "completion_mask": mask,
            "ref_chosen_logps": chosen,
            "ref_rejected_logps": rejected,
        }


def trls_dpo(case: Case, tokens: torch.Tensor, loss_type: str, **options):
    """`DPOTrainer._compute_loss` of a model that says these log-probs."""
    outputs = SimpleNamespace(
        log_probs=tokens,
        entropy=torch.zeros_like(tokens),
        mean_logits=torch.zeros_like(tokens),
        is_top1=torch.zeros_like(tokens).bool(),
        log_sum_sq_probs=case.squares,
    )
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True), accelerator=ALONE, aux_loss_enabled=False, ld_alpha=None,
        precompute_ref_logps=True, loss_types=[loss_type], loss_weights=[1.0], use_weighting=False, beta=0.1,
        label_smoothing=0.0, f_divergence_type="reverse_kl", f_alpha_divergence_coef=0.5,
        args=SimpleNamespace(discopop_tau=0.05), _metrics=defaultdict(lambda: defaultdict(list)),
        _total_train_tokens=0, _tp_size=1,
    )  # fmt: skip
    vars(trainer).update(options)
    return trl.DPOTrainer._compute_loss(trainer, lambda **inputs: outputs, case.batch(), False)


def same(case: Case, mine, theirs):
    """Both losses, functions of the tokens' log-probs, and their gradients agree."""
    one, other = (case.tokens.clone().requires_grad_() for _ in range(2))
    value, expected = mine(one), theirs(other)
    assert_close(value, expected.to(value), rtol=1e-6, atol=1e-6)
    value.backward()
    expected.backward()
    assert other.grad.abs().max() > 0
    assert_close(one.grad * case.mask, other.grad * case.mask, rtol=1e-6, atol=1e-6)


def with_partners(name: str, quantities):
    """A loss's quantities, with its partners if it has some."""
    if name not in pairwise.PARTNERS:
        return quantities
    found = pairwise.partners(name, quantities).detach()
    return quantities | {"chosen_partner": found[:, 0], "rejected_partner": found[:, 1]}


SETTINGS = {
    "sigmoid": [{}, {"beta": 0.5}],
    "hinge": [{}, {"beta": 0.5}],
    "ipo": [{}, {"beta": 0.5}],
    "exo_pair": [{"label_smoothing": 1e-3}, {"beta": 0.5, "label_smoothing": 0.2}],
    "nca_pair": [{}, {"beta": 0.5}],
    "robust": [{}, {"beta": 0.5, "label_smoothing": 0.2}],
    "bco_pair": [{}, {"beta": 0.5}],
    "sppo_hard": [{}, {"beta": 0.5}],
    "aot": [{}, {"beta": 0.5, "label_smoothing": 0.2}],
    "aot_unpaired": [{}, {"beta": 0.5, "label_smoothing": 0.2}],
    "apo_zero": [{}, {"beta": 0.5}],
    "apo_down": [{}, {"beta": 0.5}],
    "discopop": [{}, {"beta": 0.5, "discopop_tau": 0.3}],
    "sigmoid_norm": [{}, {"beta": 5.0}],
}  # sft is below: TRL's mean is another


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "options"), [(name, o) for name, options in SETTINGS.items() for o in options])
def test_dpos_family(name, options, dtype):
    def mine(tokens):
        quantities = case.quantities(tokens, **({"beta": 0.1} | options))
        return pairwise.evaluate(name, with_partners(name, quantities)).mean()

    def theirs(tokens):
        tau = options.get("discopop_tau", 0.05)
        numbers = {n: v for n, v in options.items() if n != "discopop_tau"}
        return trls_dpo(case, tokens, name, args=SimpleNamespace(discopop_tau=tau), **numbers)

    for seed in range(3):
        case = Case(dtype, seed=seed)
        same(case, mine, theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sft_is_a_mean_per_answer_where_trls_is_one_per_token(dtype):
    """Weighted by their numbers of tokens, the answers' means are the batch's."""

    def mine(tokens):
        quantities = case.quantities(tokens)
        lengths = quantities["chosen_lengths"]
        return (pairwise.evaluate("sft", quantities) * lengths).sum() / lengths.sum()

    case = Case(dtype)
    same(case, mine, lambda tokens: trls_dpo(case, tokens, "sft"))
    case = Case(dtype, same_lengths=True)
    plain = lambda tokens: pairwise.evaluate("sft", case.quantities(tokens)).mean()  # noqa: E731
    same(case, plain, lambda tokens: trls_dpo(case, tokens, "sft"))


@pytest.mark.parametrize("name", sorted(n for n in SETTINGS if pairwise.takes_divergence(n)))
@pytest.mark.parametrize(
    ("kind", "alpha"),
    [("forward_kl", 0.5), ("js_divergence", 0.5), *(("alpha_divergence", a) for a in (0.5, 0.0, 1.0, 1.7))],
)
def test_f_divergences(name, kind, alpha):
    """In fp32: TRL's α-divergence has no fp64."""
    options = {"label_smoothing": 0.1} if name in ("exo_pair", "robust") else {}
    case = Case(torch.float32, seed=4)

    score = divergence.SCORES[kind]

    def mine(tokens):
        given = case.quantities(tokens, beta=0.1, **options)
        scores = {f"{side}_scores": score(given[f"{side}_logratios"], alpha) for side in ("chosen", "rejected")}
        return pairwise.evaluate(name, given | scores).mean()

    changes = {"f_divergence_type": kind, "f_alpha_divergence_coef": alpha}
    same(case, mine, lambda tokens: trls_dpo(case, tokens, name, **changes, **options))


def test_wpos_weights():
    case = Case(torch.float64)

    def mine(tokens):
        with torch.no_grad():
            aligned = ((tokens - case.squares) * case.mask).sum(1) / case.lengths
        weights = dpo.wpo_weights(*aligned.chunk(2))
        return (pairwise.evaluate("sigmoid", case.quantities(tokens)) * weights).mean()

    same(case, mine, lambda tokens: trls_dpo(case, tokens, "sigmoid", use_weighting=True))


def trls_free(trainer_class, case: Case, tokens: torch.Tensor, average: bool, **options):
    """`get_batch_loss_metrics` of TRL's CPO or ORPO trainer, of a model that says these log-probs."""
    sums = tokens.sum(1) / (case.lengths if average else 1)
    nll = -(tokens * case.mask)[:PAIRS].sum() / case.lengths[:PAIRS].sum()
    scored = (*sums.chunk(2), torch.zeros(1), torch.zeros(1), nll)
    trainer = SimpleNamespace(
        accelerator=ALONE, aux_loss_enabled=False, alpha=0.0, beta=0.1, label_smoothing=0.0, cpo_alpha=1.0,
        concatenated_forward=lambda model, batch: scored,
    )  # fmt: skip
    vars(trainer).update(options)
    for own in ("cpo_loss", "odds_ratio_loss"):
        if hasattr(trainer_class, own):
            setattr(trainer, own, getattr(trainer_class, own).__get__(trainer))
    return trainer_class.get_batch_loss_metrics(trainer, None, {})[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", [{"beta": 2.0, "simpo_gamma": 0.5}, {"beta": 10.0, "simpo_gamma": 3.0}])
def test_simpo(dtype, options):
    from trl.experimental.cpo import CPOTrainer

    case, settings = Case(dtype), {"loss_type": "simpo", "cpo_alpha": 0.0, **options}
    same(
        case,
        lambda tokens: pairwise.evaluate("simpo", case.quantities(tokens, **options)).mean(),
        lambda tokens: trls_free(CPOTrainer, case, tokens, True, **settings),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", [{}, {"beta": 0.3, "cpo_alpha": 0.4, "label_smoothing": 0.2}])
def test_cpo(dtype, options):
    """With answers of one length: then TRL's mean per token is ours per answer."""
    from trl.experimental.cpo import CPOTrainer

    case = Case(dtype, same_lengths=True)
    same(
        case,
        lambda tokens: pairwise.evaluate("cpo", case.quantities(tokens, **options)).mean(),
        lambda tokens: trls_free(CPOTrainer, case, tokens, False, loss_type="sigmoid", **options),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("beta", [0.1, 0.8])
def test_slic_is_trls_hinge_over_beta(dtype, beta):
    """max(0, 1 − βΔ) = β·max(0, δ − Δ) with δ = 1/β, and so is the other term with λ = α/β."""
    from trl.experimental.cpo import CPOTrainer

    case = Case(dtype, same_lengths=True)
    options = {"slic_delta": 1 / beta, "slic_lambda": 0.5 / beta}
    same(
        case,
        lambda tokens: beta * pairwise.evaluate("slic", case.quantities(tokens, **options)).mean(),
        lambda tokens: trls_free(CPOTrainer, case, tokens, False, loss_type="hinge", beta=beta, cpo_alpha=0.5),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_orpo(dtype, beta):
    """TRL computes the odds in fp32."""
    from trl.experimental.orpo import ORPOTrainer

    case = Case(dtype, same_lengths=True)
    same(
        case,
        lambda tokens: pairwise.evaluate("orpo", case.quantities(tokens, beta=beta)).mean(),
        lambda tokens: trls_free(ORPOTrainer, case, tokens, True, beta=beta),
    )


def test_every_loss_is_compared():
    """A loss that is added comes here too, or says why not."""
    elsewhere = {"sft", "simpo", "cpo", "slic", "orpo"}
    assert set(pairwise.LOSSES) == set(SETTINGS) | elsewhere
