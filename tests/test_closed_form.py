"""Every method is held to the optimum that theory gives it, in worlds where all completions can be listed."""

import importlib.util
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from accord.evaluation.closed_form import kl, kto_optimum, optimum, optimum_per_token, total_variation, win_rates
from accord.evaluation.closed_form_picture import Column, draw
from accord.evaluation.small_world import (
    TabularPolicy,
    World,
    all_pairs,
    fit,
    kto_loss,
    make_world,
    pair_loss,
    regularised_reward,
    trained,
)
from accord.losses.prospect import VALUES
from accord.losses.reward import bradley_terry
from accord.policy.score import score_rows
from accord.trainers import DPOConfig, DPOTrainer
from conftest import make_tiny_llama
from training_kit import quick

ROOT = Path(__file__).parent.parent
BETA = 0.5
SMALL = make_world()
WORLDS = {"13": SMALL, "85": make_world("abcd", most=3), "9 of one length": make_world(most=2, least=2)}


def doubles(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


# ---- The world and its policy


def test_a_world_lists_every_completion():
    assert SMALL.texts == ("", "a", "b", "c", *(x + y for x in "abc" for y in "abc"))
    assert SMALL.lengths_Y.tolist() == [1] + 3 * [2] + 9 * [2]
    assert len(WORLDS["85"].texts) == 1 + 4 + 16 + 64
    assert len(WORLDS["9 of one length"].texts) == 9


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_a_policy_is_a_distribution_over_them(world):
    assert TabularPolicy(world).probabilities().sum().item() == pytest.approx(1, abs=1e-12)


def test_log_probs_are_sums_over_next_tokens():
    """Rows of the table: after nothing, after a, after b, after c; columns: a, b, c, the end."""
    table = SMALL.table_PV.softmax(-1)
    known = dict(zip(SMALL.texts, SMALL.reference_Y.tolist(), strict=True))
    assert known[""] == pytest.approx(table[0, 3].item())
    assert known["b"] == pytest.approx((table[0, 1] * table[2, 3]).item())
    assert known["ba"] == pytest.approx((table[0, 1] * table[2, 0]).item())


@pytest.mark.parametrize("arguments", [("a",), ("ab", 0), ("ab", 1, 2), ("ab", 1, -1)])
def test_a_world_that_cannot_be(arguments):
    with pytest.raises(ValueError, match="use two tokens or more"):
        make_world(*arguments)


def test_distances_by_hand():
    p, q = doubles(0.5, 0.5, 0), doubles(0.25, 0.25, 0.5)
    assert total_variation(p, q) == 0.5
    assert kl(p, q) == pytest.approx(math.log(2))
    assert kl(q, p) == math.inf


# ---- π*


def test_the_optimum_by_hand():
    found = optimum(doubles(0.5, 0.5), doubles(BETA * math.log(3), 0), BETA)
    torch.testing.assert_close(found, doubles(0.75, 0.25))


def test_nothing_is_better_than_the_optimum():
    """Its value is β·log E_{π_ref}[exp(r/β)], and climbing to it by the objective itself gets there."""
    best = optimum(SMALL.reference_Y, SMALL.reward_Y, BETA)
    value = (best @ SMALL.reward_Y).item() - BETA * kl(best, SMALL.reference_Y)
    known = BETA * (SMALL.reference_Y @ torch.exp(SMALL.reward_Y / BETA)).log().item()
    assert value == pytest.approx(known)
    policy = TabularPolicy(SMALL)
    assert -fit(policy.parameters(), lambda: -regularised_reward(policy, SMALL.reward_Y, BETA)) == pytest.approx(known)
    assert total_variation(policy.probabilities(), best) < 1e-6


@pytest.mark.parametrize("size", ["13", "9 of one length"])
def test_a_reward_model_learns_the_reward_and_its_policy_is_the_optimum(size):
    world = WORLDS[size]
    pairs = all_pairs(world.reference_Y, world.reward_Y)
    score_Y = torch.zeros_like(world.reward_Y, requires_grad=True)

    def loss():
        first, second = score_Y[pairs.first_E], score_Y[pairs.second_E]
        return pairs.weight_E @ bradley_terry(first, second, p_chosen=pairs.p_first_E)

    fit([score_Y], loss)
    learnt = score_Y.detach()
    constant = (learnt - world.reward_Y).mean()
    torch.testing.assert_close(learnt, world.reward_Y + constant, atol=1e-6, rtol=0)
    found = trained(world, lambda policy: -regularised_reward(policy, learnt, BETA))
    assert total_variation(found, optimum(world.reference_Y, world.reward_Y, BETA)) < 1e-6


# ---- Where the losses of pairs arrive


class Case(NamedTuple):
    """A loss's options, and world → where it arrives."""

    options: dict[str, float]
    goal: Callable[[World], torch.Tensor]


def wins(world: World) -> torch.Tensor:
    return win_rates(world.reference_Y, world.reward_Y)


def even(world: World) -> torch.Tensor:
    """The reference of a loss that has none."""
    return torch.ones_like(world.reward_Y)


CASES = {
    "sigmoid": Case({"beta": BETA}, lambda w: optimum(w.reference_Y, w.reward_Y, BETA)),
    "exo_pair": Case({"beta": BETA, "label_smoothing": 0.0}, lambda w: optimum(w.reference_Y, w.reward_Y, BETA)),
    "cpo": Case({"beta": BETA, "cpo_alpha": 0.0}, lambda w: optimum(even(w), w.reward_Y, BETA)),
    "sigmoid_norm": Case({"beta": 2.0}, lambda w: optimum_per_token(w.reference_Y, w.reward_Y, w.lengths_Y, 2.0)),
    "simpo": Case(
        {"beta": 2.0, "simpo_gamma": 0.0}, lambda w: optimum_per_token(even(w), w.reward_Y, w.lengths_Y, 2.0)
    ),
    "ipo": Case({"beta": BETA}, lambda w: optimum_per_token(w.reference_Y, wins(w), w.lengths_Y, BETA)),
    "nca_pair": Case({"beta": 1.0}, lambda w: 2 * wins(w) * w.reference_Y),
    "sft": Case({}, lambda w: torch.log(w.reference_Y * wins(w) / w.lengths_Y).softmax(-1)),
    "apo_zero": Case({"beta": BETA}, lambda w: kto_optimum(w.reference_Y, wins(w), BETA, reference_point=0.0)),
}


ARRIVALS = [*((name, "13") for name in CASES), ("sigmoid", "85"), ("ipo", "85"), ("ipo", "9 of one length")]


@pytest.mark.parametrize(("name", "size"), ARRIVALS)
def test_a_loss_arrives_at_its_optimum(name, size):
    """nca_pair: the loss of y is −P·log σ(x) − ½·log σ(−x), least at eˣ = 2P, and at β = 1 π_ref·2P sums to 1.
    sft: y is chosen as often as π_ref·P, and counts 1/|y|."""
    world = WORLDS[size]
    pairs, goal = all_pairs(world.reference_Y, world.reward_Y), CASES[name].goal(world)
    assert goal.sum().item() == pytest.approx(1)
    assert total_variation(world.reference_Y, goal) > 0.04  # there is a way to go
    found = trained(world, lambda policy: pair_loss(name, policy, pairs, **CASES[name].options))
    assert total_variation(found, goal) < 1e-3


def test_robust_dpo_sees_through_flipped_labels_and_dpo_does_not():
    """Chowdhury et al. 2024: of labels that are wrong with probability ε it is, on average, the loss of right ones."""
    pairs, best = all_pairs(SMALL.reference_Y, SMALL.reward_Y), optimum(SMALL.reference_Y, SMALL.reward_Y, BETA)
    flipped = pairs._replace(p_first_E=0.8 * pairs.p_first_E + 0.2 * (1 - pairs.p_first_E))
    robust = trained(SMALL, lambda policy: pair_loss("robust", policy, flipped, beta=BETA, label_smoothing=0.2))
    assert total_variation(robust, best) < 1e-6
    plain = trained(SMALL, lambda policy: pair_loss("sigmoid", policy, flipped, beta=BETA))
    assert total_variation(plain, best) > 0.2


def test_what_counting_per_token_does_to_ipo():
    """With one length it is a smaller τ; with several, the paper's optimum is not reached."""
    same = WORLDS["9 of one length"]
    paper = optimum(same.reference_Y, wins(same), BETA / 2)
    torch.testing.assert_close(CASES["ipo"].goal(same), paper)
    for tau in (BETA, BETA / 2):
        paper = optimum(SMALL.reference_Y, wins(SMALL), tau)
        assert total_variation(CASES["ipo"].goal(SMALL), paper) > 0.02


# ---- KTO


def test_kto_arrives_at_its_own_optimum_far_from_the_reward_s():
    """People say yes to y with probability σ(r(y) − c), and c is the mean reward before training."""
    for world, away in zip(WORLDS.values(), (0.43, 0.10, 0.22), strict=True):
        desirable = torch.sigmoid(world.reward_Y - world.reference_Y @ world.reward_Y)
        found = trained(world, lambda policy, p=desirable: kto_loss(policy, p, beta=BETA))
        assert total_variation(found, kto_optimum(world.reference_Y, desirable, BETA)) < 1e-3
        best = optimum(world.reference_Y, world.reward_Y, BETA)
        assert total_variation(found, best) == pytest.approx(away, abs=0.005)
        assert found[desirable < 0.5].sum() < 1e-3 < best[desirable < 0.5].sum()


def test_loss_aversion_moves_the_line_between_what_stays_and_what_goes():
    world, weights = WORLDS["9 of one length"], {"undesirable_weight": 1.5}
    desirable = wins(world)
    found = trained(world, lambda policy: kto_loss(policy, desirable, beta=BETA, **weights))
    assert total_variation(found, kto_optimum(world.reference_Y, desirable, BETA, **weights)) < 1e-3
    assert ((found > 1e-3) == (desirable > 1.5 * (1 - desirable))).all()


def test_what_is_hardly_wanted_may_be_lost_on_the_way():
    """KTO paper, section 4: the further the implied reward has fallen, the smaller the gradient that would raise it."""
    world, weights = WORLDS["85"], {"undesirable_weight": 2.25}
    found = trained(world, lambda policy: kto_loss(policy, wins(world), beta=BETA, **weights))
    assert total_variation(found, kto_optimum(world.reference_Y, wins(world), BETA, **weights)) > 0.9


def test_ktos_beta_is_not_the_price_of_leaving_the_reference():
    """As β → 0 the optimum of reward less β·KL is the best completion alone; KTO's is π_ref·(2p − 1) where positive."""
    desirable = wins(SMALL)
    limit = SMALL.reference_Y * (2 * desirable - 1).clamp(min=0)
    assert total_variation(kto_optimum(SMALL.reference_Y, desirable, 1e-3), limit / limit.sum()) < 1e-6
    assert optimum(SMALL.reference_Y, SMALL.reward_Y, 1e-3).max() > 0.999


def test_what_the_majority_wants():
    """The KTO paper's theorem on contradictory preferences (section 4). 60 % prefer what the reference rarely says: DPO
    still says the other more often, KTO says what the majority wants and nothing else."""
    world = make_world("ab", most=1, least=1)
    reference, p, beta = world.reference_Y, 0.6, 0.9
    assert (1 - p) ** (1 / beta) * reference[0] > p ** (1 / beta) * reference[1]  # the theorem's condition
    reward = doubles(0, math.log(p / (1 - p)))
    dpo = trained(world, lambda policy: pair_loss("sigmoid", policy, all_pairs(reference, reward), beta=beta))
    assert dpo[0] > 0.5
    kto = trained(world, lambda policy: kto_loss(policy, doubles(1 - p, p), beta=beta))
    assert kto[1] > 0.999


def test_a_value_that_does_not_saturate_brings_kto_to_the_optimum():
    """With v = log σ the loss of each completion is least at x = logit p = r − c. All of them can be had at once, and
    π is π*, if z₀ = KL(π*‖π_ref) fits: if c is the mean reward of π*."""
    best = optimum(SMALL.reference_Y, SMALL.reward_Y, BETA)
    desirable = torch.sigmoid(SMALL.reward_Y - best @ SMALL.reward_Y)
    found = trained(SMALL, lambda policy: kto_loss(policy, desirable, beta=BETA, value=VALUES["logsigmoid"]))
    assert total_variation(found, best) < 1e-6
    assert total_variation(kto_optimum(SMALL.reference_Y, desirable, BETA), best) > 0.4  # the same votes, with v = σ


def test_kto_optimum_refuses():
    with pytest.raises(ValueError, match="beta is 1"):
        kto_optimum(doubles(0.5, 0.5), doubles(0.9, 0.1), 1)
    with pytest.raises(ValueError, match="no completion is desirable"):
        kto_optimum(doubles(0.5, 0.5), doubles(0.4, 0.1), 0.5)


# ---- Methods that learn from their own completions


def test_samples_come_as_likely_as_they_are():
    policy = TabularPolicy(SMALL)
    samples = policy.sample(20_000, torch.Generator().manual_seed(0))
    shares = torch.bincount(samples.completion_N, minlength=13) / 20_000
    assert total_variation(shares.double(), policy.probabilities()) < 0.02
    torch.testing.assert_close(samples.logps_NL.sum(-1).exp(), policy.probabilities()[samples.completion_N])
    assert (samples.logps_NL[~samples.drawn_NL] == 0).all()
    torch.testing.assert_close(samples.reward_N, SMALL.reward_Y[samples.completion_N])


def test_the_page_s_own_method_arrives(capsys):
    """A policy gradient on samples. At π* reward less penalty is the same for all of them: its noise is 0 there."""
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs/closed-form.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code[1], "docs/closed-form.md", "exec"), {})
    assert float(capsys.readouterr().out) < 1e-6


# ---- The whole machine


@pytest.fixture(scope="module")
def letters():
    """A tokenizer of a world's letters: a prompt of one token, "?", and an end."""
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<end>", "?", "a", "b", "c"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>")


def llamas_shares(model, tokenizer, texts) -> torch.Tensor:
    """How the model shares out the probability that it gives to these completions; DPO says nothing on the others."""
    rows = [{"id": text, "prompt": "?", "completion": text} for text in texts]
    return torch.as_tensor(score_rows(model, tokenizer, rows, ("completion",))).double().flatten().softmax(-1)


@pytest.mark.parametrize(("loss_type", "least"), [("sigmoid", 0), ("ipo", 2)])
def test_a_llama_trained_with_the_real_trainer_arrives(loss_type, least, letters, tmp_path):
    """IPO's completions have one length: its optimum for several also depends on how likely all others are."""
    world = make_world(least=least)
    model = make_tiny_llama(letters)
    reference = llamas_shares(model, letters, world.texts)
    tokens = 1 + torch.tensor([len(text) for text in world.texts])  # the end is one, too
    score, beta = {
        "sigmoid": (world.reward_Y, BETA),
        "ipo": (tokens * win_rates(reference, world.reward_Y), BETA),
    }[loss_type]
    goal = optimum(reference, score, beta)
    assert total_variation(reference, goal) > 0.2

    pairs = all_pairs(reference, world.reward_Y)
    rows = [
        {"prompt": "?", "chosen": world.texts[a], "rejected": world.texts[b], "p_chosen": p, "weight": 100 * weight}
        for a, b, p, weight in zip(*(column.tolist() for column in pairs), strict=True)
    ]
    settings = {"num_train_epochs": 200, "lr_scheduler_type": "cosine", "max_grad_norm": 0.0, "logging_steps": 100}
    args = quick(DPOConfig, tmp_path, loss_type=loss_type, beta=BETA, per_device_train_batch_size=len(rows), **settings)
    trainer = DPOTrainer(model, args=args, train_dataset=rows, processing_class=letters)
    trainer.train()
    assert total_variation(llamas_shares(trainer.model, letters, world.texts), goal) < 1e-3


# ---- The picture and the page


def test_the_picture_is_true():
    columns = [Column("<before>", ["& so on"], [0.25, 0.75], "start"), Column("after", [], [0.5, 0.5], "there")]
    svg = ElementTree.fromstring(draw(["", "ab"], [-1.0, 2.0], columns, [0.5, 0.5], key="goal"))
    words = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert words.index("ab") < words.index("(empty)")  # the better one first
    assert {"<before>", "& so on", "75 %", "−1.0"} <= set(words)
    lengths = [
        float(bar.get("width")) for bar in svg.iter("{http://www.w3.org/2000/svg}rect") if bar.get("rx") == "1.5"
    ]
    assert lengths == pytest.approx([96, 32, 64, 64])  # in the order of rows; the longest is 75 %


def test_the_page_shows_what_the_recipe_finds(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("closed_form_recipe", ROOT / "recipes/closed_form.py")
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    recipe.main(str(tmp_path / "picture.svg"))
    assert capsys.readouterr().out in (ROOT / "docs/closed-form.md").read_text(encoding="utf-8")
    drawn, shown = tmp_path / "picture.svg", ROOT / "docs/images/closed-form.svg"
    assert drawn.read_text(encoding="utf-8") == shown.read_text(encoding="utf-8")
