"""Policy gradients: values by hand, REINFORCE as PPO's first step, batches cut anywhere, TRL's own loss code."""

import itertools
import math
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from accord.losses import advantages, policy_gradient
from accord.losses.policy_gradient import LEVELS, WEIGHTS, Surrogate, surrogate, token_weights

LENGTHS = torch.tensor([3, 1, 5, 2])
LONGEST = 6


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def ratio(value: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probs, new and old, of this ratio."""
    return torch.tensor(math.log(value) - 2.0, requires_grad=True), torch.tensor(-2.0)


@pytest.mark.parametrize(
    ("of", "advantage", "expected", "slope"),
    [  # ε = 0.2 and 0.3, δ = 4; the slope is ∂loss/∂log π = −ρA, or 0 where the bound holds
        (1.1, 2.0, -2.2, -2.2),
        (1.5, 2.0, -2.6, 0.0),  # good enough already
        (0.5, 2.0, -1.0, -1.0),  # too unlikely: may always rise
        (0.9, -2.0, 1.8, 1.8),
        (0.5, -2.0, 1.6, 0.0),  # bad enough already
        (1.5, -2.0, 3.0, 3.0),  # too likely: may always fall
        (5.0, -2.0, 8.0, 0.0),  # but not beyond δ
    ],
)
def test_ppo_by_hand(of, advantage, expected, slope):
    new, old = ratio(of)
    loss = policy_gradient.ppo(new, old, torch.tensor(advantage), epsilon_high=0.3, delta=4.0)
    loss.backward()
    assert loss.item() == pytest.approx(expected, abs=1e-5)
    assert new.grad.item() == pytest.approx(slope, abs=1e-5)


def test_epsilon_holds_on_both_sides_unless_said():
    new, old = ratio(1.5)
    assert policy_gradient.ppo(new, old, torch.tensor(1.0)).item() == pytest.approx(-1.2)
    assert policy_gradient.ppo(new, old, torch.tensor(-1.0)).item() == pytest.approx(1.5)


def test_a_ratio_beyond_fp32_has_a_finite_gradient():
    """The clip chooses 1.2, but e⁴⁰⁰ is in the graph."""
    new = torch.tensor([400.0, 400.0], requires_grad=True)
    policy_gradient.ppo(new, torch.zeros(2), torch.tensor([1.0, -1.0]), delta=3.0).sum().backward()
    assert_close(new.grad, torch.zeros(2), rtol=0, atol=0)


class TinyPolicy:
    """A softmax over four tokens after each of five states: eleven tokens of four completions that it sampled."""

    def __init__(self):
        self.logits = random(5, 4).requires_grad_()
        self.states = torch.tensor([0, 1, 2, 0, 0, 1, 2, 3, 4, 0, 1])
        self.tokens = torch.tensor([3, 0, 2, 1, 1, 1, 0, 3, 2, 0, 2])

    def logps(self):
        return self.logits.log_softmax(1)[self.states, self.tokens]

    def gradient(self, loss):
        return torch.autograd.grad(loss, self.logits)[0]


@pytest.mark.parametrize(
    ("level", "loss_type", "reinforces"),
    [
        ("token", "dapo", "dapo"),
        ("token", "grpo", "grpo"),
        ("sequence", "grpo", "grpo"),
        ("completion", "grpo", "luspo"),  # a completion is one action, whose log-prob is the sum
    ],
)
def test_the_first_gradient_on_policy_is_reinforces(level, loss_type, reinforces):
    policy, at = TinyPolicy(), LEVELS[level]
    gains = random(4, seed=1).repeat_interleave(LENGTHS)
    logps = policy.logps()
    losses = policy_gradient.ppo(at(logps, LENGTHS), at(logps.detach(), LENGTHS), gains, delta=2.0)
    found = policy.gradient((token_weights(loss_type, LENGTHS, max_length=LONGEST) * losses).sum())
    truth = policy_gradient.reinforce(policy.logps(), gains)
    expected = policy.gradient((token_weights(reinforces, LENGTHS, max_length=LONGEST) * truth).sum())
    assert expected.abs().max() > 1e-2
    assert_close(found, expected)


def test_ppos_first_gradient_is_reinforces_with_an_advantage_a_token():
    policy, gains = TinyPolicy(), advantages.gae(random(11), random(11, seed=1), LENGTHS).advantages_N
    logps = policy.logps()
    found = policy.gradient(policy_gradient.ppo(logps, logps.detach(), gains).mean())
    assert_close(found, policy.gradient(policy_gradient.reinforce(policy.logps(), gains).mean()))


def test_levels_by_hand():
    """Ratios 2, 8 of one completion: their geometric mean is 4, their product 16."""
    logratios, lengths = torch.tensor([2.0, 8.0, 3.0]).log(), torch.tensor([2, 1])
    found = {name: level(logratios, lengths).exp() for name, level in LEVELS.items()}
    assert_close(found["token"], torch.tensor([2.0, 8.0, 3.0]))
    assert_close(found["sequence"], torch.tensor([4.0, 4.0, 3.0]))
    assert_close(found["completion"], torch.tensor([16.0, 16.0, 3.0]))


def test_weights_by_hand():
    """Two completions of 1 and 3 tokens, which might have had 5."""
    found = {name: token_weights(name, torch.tensor([1, 3]), max_length=5) for name in WEIGHTS}
    for name, expected in {
        "grpo": [1 / 2, 1 / 6, 1 / 6, 1 / 6],
        "bnpo": [1 / 4] * 4,
        "dapo": [1 / 4] * 4,
        "dr_grpo": [1 / 10] * 4,
        "luspo": [1 / 2] * 4,
    }.items():
        assert_close(found.pop(name), torch.tensor(expected))
    assert not found


@pytest.mark.parametrize("loss_type", WEIGHTS)
def test_a_batch_may_be_cut_between_any_completions(loss_type):
    """Also with ratios of whole completions: the parts' losses and gradients add up to the batch's."""
    weights = token_weights(loss_type, LENGTHS, max_length=LONGEST)
    old, gains = random(11), random(11, seed=1)
    new = (old + random(11, seed=2) / 4).requires_grad_()
    level = LEVELS["sequence"]

    def loss(first: int, last: int):
        start, end = int(LENGTHS[:first].sum()), int(LENGTHS[:last].sum())
        logps, olds = (level(x[start:end], LENGTHS[first:last]) for x in (new, old))
        return (weights[start:end] * policy_gradient.ppo(logps, olds, gains[start:end])).sum()

    whole = loss(0, 4)
    (gradient,) = torch.autograd.grad(whole, new)
    for cuts in ([0, 1, 4], [0, 2, 3, 4], [0, 1, 2, 3, 4]):
        parts = [loss(*cut) for cut in itertools.pairwise(cuts)]
        assert_close(sum(parts), whole)
        assert_close(torch.autograd.grad(sum(parts), new)[0], gradient)


@pytest.mark.parametrize("loss_type", WEIGHTS)
def test_nothing_that_counts_gives_nothing(loss_type):
    weights = token_weights(loss_type, LENGTHS, max_length=LONGEST, counted_C=torch.zeros(4))
    assert torch.equal(weights, torch.zeros(11))


def test_value_by_hand():
    """R = 1, V_old = 0, ε = 0.2. V = 0.1: 0.9²/2. V = 0.5 is clipped to 0.2: 0.8²/2, without gradient. V = −0.5 went
    away from R: 1.5²/2 is more than at −0.2."""
    values = torch.tensor([0.1, 0.5, -0.5], requires_grad=True)
    loss, clipped = policy_gradient.value(values, torch.zeros(3), torch.ones(3))
    loss.sum().backward()
    assert_close(loss, torch.tensor([0.405, 0.32, 1.125]))
    assert_close(clipped, torch.tensor([0.0, 1.0, 0.0]))
    assert_close(values.grad, torch.tensor([-0.9, 0.0, -1.5]))
    plain, clipped = policy_gradient.value(values, torch.zeros(3), torch.ones(3), cliprange=None)
    assert_close(plain, torch.tensor([0.405, 0.125, 1.125]))
    assert_close(clipped, torch.zeros(3))


def test_diagnostics_by_hand():
    """A token is held back where its gradient is 0: those of the table above."""
    ratios = torch.tensor([1.1, 1.5, 0.5, 0.9, 0.5, 1.5])
    gains = torch.tensor([2.0, 2.0, 2.0, -2.0, -2.0, -2.0])
    new = ratios.log().requires_grad_()
    found = policy_gradient.diagnostics(new, torch.zeros(6), gains, epsilon_high=0.3)
    assert_close(found.ratio, ratios)
    assert_close(found.approx_kl, ratios.log() ** 2 / 2)
    assert_close(found.low, torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0, 0.0]))
    assert_close(found.high, torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0, 0.0]))
    policy_gradient.ppo(new, torch.zeros(6), gains, epsilon_high=0.3).sum().backward()
    assert_close(found.low + found.high, (new.grad == 0).float())


# TRL's own loss code, on random log-probs

ALONE = SimpleNamespace(device="cpu", num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x)
ROWS, WIDTH = 6, 9


class Case:
    """Random log-probs of completions: as rows with padding, TRL's, and as tokens, ours."""

    def __init__(self, dtype: torch.dtype):
        generator = torch.Generator().manual_seed(5)
        draw = lambda *shape: torch.randn(*shape, dtype=dtype, generator=generator)  # noqa: E731
        self.lengths = torch.randint(1, WIDTH + 1, (ROWS,), generator=generator)
        self.mask = (torch.arange(WIDTH) < self.lengths[:, None]).long()
        self.old = -draw(ROWS, WIDTH).abs()
        self.new = self.old + draw(ROWS, WIDTH) / 2
        self.reference = self.old + draw(ROWS, WIDTH) / 2
        self.gains = draw(ROWS)

    def tokens(self, rows: torch.Tensor) -> torch.Tensor:
        return rows[self.mask.bool()]


def trainer(trl_class, new: torch.Tensor, **options):
    """As much of TRL's trainer as its loss reads, with a model that says these log-probs."""
    return SimpleNamespace(
        accelerator=ALONE, aux_loss_enabled=False, model=SimpleNamespace(training=True), top_entropy_quantile=1.0,
        off_policy_mask_threshold=None, use_vllm=False, _entropy_bonus_enabled=False, max_completion_length=WIDTH + 2,
        current_gradient_accumulation_steps=1, _metrics=defaultdict(lambda: defaultdict(list)),
        _get_per_token_logps_and_entropies=lambda *_, **__: (new, torch.zeros_like(new), None), **options,
    )  # fmt: skip


def inputs(case: Case, mask: torch.Tensor):
    ones = torch.ones(ROWS, 1).long()
    return {
        "prompt_ids": ones,
        "prompt_mask": ones,
        "completion_ids": torch.ones_like(mask),
        "completion_mask": mask,
        "advantages": case.gains,
        "old_per_token_logps": case.old,
        "old_logps": (case.old * mask).sum(1),
        "ref_per_token_logps": case.reference,
        "num_items_in_batch": mask.sum(),
    }


def same(case: Case, mine, theirs):
    one, other = (case.new.clone().requires_grad_() for _ in range(2))
    value, expected = mine(one), theirs(other)
    assert_close(value, expected.to(value), rtol=1e-6, atol=1e-6)
    value.backward()
    expected.backward()
    assert other.grad.abs().max() > 0
    assert_close(one.grad, other.grad, rtol=1e-6, atol=1e-6)


SETTINGS = [
    {},
    {"level": "sequence"},
    {"epsilon_low": 0.1, "epsilon_high": 0.28, "delta": 1.5, "beta": 0.1},
    {"level": "sequence", "epsilon_low": 3e-4, "epsilon_high": 4e-4, "beta": 0.1},
    {"counted": torch.tensor([1, 0, 1, 1, 0, 1])},
    {"beta": 0.1, "corrected": True},
    {"level": "sequence", "beta": 0.1, "corrected": True},
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("loss_type", WEIGHTS)
@pytest.mark.parametrize("options", SETTINGS)
def test_trls_grpo(loss_type, options, dtype):
    trl = pytest.importorskip("trl", reason="TRL is an extra: pip install 'accord[trl]'")
    case, setting = Case(dtype), {"level": "token", "epsilon_low": 0.2, "epsilon_high": 0.2, "beta": 0.0} | options
    counted = setting.pop("counted", None)
    settings = Surrogate(loss_type=loss_type, **{"corrected": False} | setting)
    clip = {name: setting[name] for name in ("epsilon_low", "epsilon_high")}
    seen = {}

    def mine(new):
        gains = case.gains.repeat_interleave(case.lengths)
        logps, old, reference = map(case.tokens, (new, case.old, case.reference))
        losses, seen["mine"] = surrogate(settings, logps, old, gains, case.lengths, reference)
        weights = token_weights(loss_type, case.lengths, max_length=WIDTH + 2, counted_C=counted)
        return (weights * losses).sum()

    def theirs(new):
        mask = case.mask if counted is None else case.mask * counted[:, None]
        args = SimpleNamespace(
            delta=setting.get("delta"), use_bias_correction_kl=settings.corrected, steps_per_generation=1
        )
        it = trainer(
            trl.GRPOTrainer,
            new,
            loss_type=loss_type,
            importance_sampling_level=settings.level,
            beta=settings.beta,
            args=args,
            **clip,
        )
        loss = trl.GRPOTrainer._compute_loss(it, None, inputs(case, mask))
        seen["theirs"] = it._metrics["train"]
        return loss

    same(case, mine, theirs)
    if settings.level == "token" and counted is None:
        for side in ("low", "high"):
            expected = seen["theirs"][f"clip_ratio/{side}_mean"][0]
            assert 0 < expected == pytest.approx(getattr(seen["mine"], side).mean().item())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("epsilon", [0.2, 3.0])
def test_trls_rloo(dtype, epsilon):
    """A completion is one action: the mean over completions of the clipped surrogate of its whole probability."""
    trl = pytest.importorskip("trl", reason="TRL is an extra: pip install 'accord[trl]'")
    case, at = Case(dtype), LEVELS["completion"]

    def mine(new):
        logps, old = (at(case.tokens(rows), case.lengths) for rows in (new, case.old))
        gains = case.gains.repeat_interleave(case.lengths)
        losses = policy_gradient.ppo(logps, old, gains, epsilon_low=min(epsilon, 0.9), epsilon_high=epsilon)
        return (token_weights("grpo", case.lengths, max_length=WIDTH) * losses).sum()

    def theirs(new):
        it = trainer(trl.RLOOTrainer, new, epsilon_low=min(epsilon, 0.9), epsilon_high=epsilon)
        return trl.RLOOTrainer._compute_loss(it, None, inputs(case, case.mask))

    same(case, mine, theirs)
