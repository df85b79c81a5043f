"""KTO with prospect theory, trained: every choice of every knob, what it does to the loss, and what is refused."""

import logging
import math

import pytest
import torch

from accord.losses import prospect
from accord.trainers import KTOConfig
from accord.trainers.kto_config import CHOICES
from accord.trainers.reference_point import REFERENCE_POINTS
from conftest import make_tiny_llama
from test_resume import EPOCHS, killed, logged
from training_kit import farthest, losses, make, plain_logps, quick, train, unpaired, weights

P = [0.0, 0.2, 0.5, 0.7, 0.9, 1.0]


def soft(n: int) -> list[dict]:
    """Answers on which people agree, and others on which they do not."""
    return [row | {"p_desirable": P[i % len(P)]} for i, row in enumerate(unpaired(n))]


def steps(trainer) -> list[dict]:
    return [record for record in trainer.state.log_history if "loss" in record]


# ---- Value functions

#: What an answer costs where policy and reference are the same, whether it is wanted or not.
AT_REST = {"logistic": 0.5, "kahneman_tversky": 0.0, "loss_averse": 0.0, "logsigmoid": math.log(2)}


@pytest.mark.parametrize("loss_type", CHOICES["loss_type"])
@pytest.mark.parametrize("value", CHOICES["value_function"])
def test_every_loss_and_value_function_trains(loss_type, value, tmp_path, byte_tokenizer):
    settings = {"loss_type": loss_type, "value_function": value, "per_device_train_batch_size": 12}
    trainer = train("kto", tmp_path, byte_tokenizer, num_train_epochs=3, beta=0.5, **settings)
    first, second, third = steps(trainer)
    assert first["loss"] == pytest.approx(AT_REST[value], abs=1e-4)
    assert third["loss"] < second["loss"] < first["loss"]
    assert third["rewards/margins"] > 0.1
    assert all(math.isfinite(record["grad_norm"]) for record in (first, second, third))


def by_hand(z: float, aversion: float, gain: float, loss: float) -> float:
    return z**gain if z >= 0 else -aversion * (-z) ** loss


def tk(p: float, gamma: float) -> float:
    return p**gamma / (p**gamma + (1 - p) ** gamma) ** (1 / gamma)


@pytest.mark.parametrize("point", ["zero", "batch"])
def test_the_whole_loss_by_hand(point, tmp_path, byte_tokenizer):
    """All knobs at once, on soft labels, from log-probs by plain forwards."""
    rows, model, other = soft(6), make_tiny_llama(byte_tokenizer), make_tiny_llama(byte_tokenizer, seed=1)
    trainer = make(
        "kto", tmp_path, byte_tokenizer, model=model, rows=rows, given={"ref_model": other, "eval_dataset": rows},
        value_function="kahneman_tversky", loss_aversion=3.0, risk_alpha=0.7, risk_alpha_loss=0.5, beta=0.4,
        reference_point=point, decision_weights="tversky_kahneman", decision_gamma_gain=0.5, decision_gamma_loss=0.8,
        desirable_weight=1.5, undesirable_weight=0.5,
    )  # fmt: skip
    ratios = [
        plain_logps(model, byte_tokenizer, r["prompt"], r["completion"])
        - plain_logps(other, byte_tokenizer, r["prompt"], r["completion"])
        for r in rows
    ]
    z0 = sum(ratios) / len(ratios) if point == "batch" else 0.0
    expected = 0.0
    for row, ratio in zip(rows, ratios, strict=True):
        z, p = 0.4 * (ratio - z0), row["p_desirable"]
        expected -= 1.5 * tk(p, 0.5) * by_hand(z, 3.0, 0.7, 0.5) / len(rows)
        expected -= 0.5 * tk(1 - p, 0.8) * by_hand(-z, 3.0, 0.7, 0.5) / len(rows)
    assert min(0.4 * abs(ratio - z0) for ratio in ratios) > 0.1  # where smoothing takes less than 0.3 %
    found = trainer.evaluate()
    assert found["eval_loss"] == pytest.approx(expected, rel=3e-3)
    if point == "batch":
        assert found["eval_reference_point"] == pytest.approx(z0, abs=1e-3)


# ---- Reference points


def means(trainer, n_desirable: int, n_undesirable: int, beta: float = 0.1) -> list[float]:
    """The mean log-ratio at each step of runs whose batch is all the data, as the logged rewards say it."""
    return [
        (n_desirable * r["rewards/chosen"] + n_undesirable * r["rewards/rejected"]) / (beta * 12)
        for r in steps(trainer)
    ]


def test_all_reference_points_are_offered():
    assert CHOICES["reference_point"] == tuple(REFERENCE_POINTS)


@pytest.mark.parametrize("point", CHOICES["reference_point"])
def test_every_reference_point_trains(point, tmp_path, byte_tokenizer):
    settings = {"reference_point": point, "num_train_epochs": 4, "per_device_train_batch_size": 12}
    trainer = train("kto", tmp_path, byte_tokenizer, **settings)
    found = [record.get("reference_point") for record in steps(trainer)]
    seen = means(trainer, 8, 4)
    assert max(map(abs, seen)) > 0.5
    match point:
        case "batch":
            assert found == pytest.approx(seen, abs=1e-4)
        case "ema":
            average, expected = 0.0, []
            for batch_mean in seen:
                expected.append(average)
                average = 0.9 * average + 0.1 * batch_mean
            assert found == pytest.approx(expected, abs=1e-5)
        case _:
            assert found == [None] * 4
    assert ("kl" in steps(trainer)[0]) is (point == "kl")


def test_apo_zero_is_kto_from_zero(tmp_path, byte_tokenizer):
    runs = [
        train("kto", tmp_path, byte_tokenizer, **settings)
        for settings in ({"loss_type": "apo_zero_unpaired"}, {"reference_point": "zero"})
    ]
    assert losses(runs[0]) == losses(runs[1])
    assert farthest(*map(weights, runs)) == 0


def test_one_prompt_is_enough_without_mismatched_completions(tmp_path, byte_tokenizer):
    rows = [{"prompt": "Say: ", "completion": f"tea {i}", "label": i % 2 == 0} for i in range(4)]
    for point in ("batch", "ema", "zero"):
        train("kto", tmp_path, byte_tokenizer, rows=rows, reference_point=point)


@pytest.mark.parametrize("point", ["batch", "ema"])
def test_reference_points_do_not_depend_on_the_cut(point, tmp_path, byte_tokenizer):
    runs = [
        train("kto", tmp_path, byte_tokenizer, reference_point=point, token_budget=budget, num_train_epochs=2)
        for budget in (2048, 96)
    ]
    found = [[record["reference_point"] for record in steps(run)] for run in runs]
    assert found[0] == pytest.approx(found[1], abs=1e-4)
    assert losses(runs[0]) == pytest.approx(losses(runs[1]), abs=1e-5)


def test_a_moving_average_resumes_bit_for_bit(tmp_path, byte_tokenizer):
    settings = EPOCHS | {"reference_point": "ema", "ema_decay": 0.5, "value_function": "kahneman_tversky"}
    whole = train("kto", tmp_path / "whole", byte_tokenizer, **settings)
    for step in (4, 7):
        resumed = killed(step, "kto", tmp_path / str(step), byte_tokenizer, **settings)
        assert farthest(weights(resumed), weights(whole)) == 0
        assert logged(resumed) == logged(whole)
    assert steps(whole)[4]["reference_point"] != 0  # the first step after what step 4's checkpoint holds


# ---- Decision weights


@pytest.mark.parametrize("name", CHOICES["decision_weights"])
def test_decision_weights_count_soft_labels_on_both_sides(name, tmp_path, byte_tokenizer):
    """At rest an answer costs ½·(w⁺(p) + w⁻(1 − p))."""
    trainer = train(
        "kto", tmp_path, byte_tokenizer, rows=soft(12), decision_weights=name, per_device_train_batch_size=12,
        num_train_epochs=2,
    )  # fmt: skip
    p = torch.tensor(P, dtype=torch.float64)
    weight = prospect.WEIGHTS[name]
    expected = (weight(p, 0.61) + weight(1 - p, 0.69)).mean() / 2
    assert losses(trainer)[0] == pytest.approx(expected.item(), abs=1e-5)
    assert losses(trainer)[1] < losses(trainer)[0]


# ---- Balance


def counted(desirable: int, undesirable: int) -> list[dict]:
    return [row | {"label": i < desirable} for i, row in enumerate(unpaired(desirable + undesirable))]


@pytest.mark.parametrize(("desirable", "undesirable", "scarce"), [(9, 3, "undesirable"), (3, 9, "desirable")])
def test_balanced_weights_make_both_sides_count_the_same(desirable, undesirable, scarce, tmp_path, byte_tokenizer):
    """λ of the side with fewer is 3: at rest, (9·½ + 3·3·½)/12 = ¾."""
    trainer = train(
        "kto", tmp_path, byte_tokenizer, rows=counted(desirable, undesirable), balance_weights=True,
        per_device_train_batch_size=12,
    )  # fmt: skip
    (step,) = steps(trainer)
    assert step["loss"] == pytest.approx(0.75, abs=1e-4)
    assert step[f"{scarce}_weight"] == pytest.approx(3.0)
    assert sorted(step[f"{side}_weight"] for side in ("desirable", "undesirable"))[0] == 1.0


def warnings(caplog, folder, tokenizer, rows, **changes) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING, "accord.trainers.balance"):
        make("kto", folder, tokenizer, rows=rows, **changes)
    return [record.getMessage() for record in caplog.records if record.name == "accord.trainers.balance"]


def test_unbalanced_data_is_said_with_its_numbers(caplog, tmp_path, byte_tokenizer):
    (text,) = warnings(caplog, tmp_path, byte_tokenizer, counted(9, 3))
    assert "1·9 / (1·3) = 3.00" in text
    assert "use undesirable_weight from 2.25 to 3.00, or balance_weights" in text
    (text,) = warnings(caplog, tmp_path, byte_tokenizer, counted(3, 9), undesirable_weight=2.0)
    assert "1·3 / (2·9) = 0.17" in text
    assert "use desirable_weight from 6.00 to 8.00, or balance_weights" in text
    (text,) = warnings(caplog, tmp_path, byte_tokenizer, counted(4, 0))
    assert text == "none of the 4 train examples is undesirable: KTO learns from both kinds"


def test_data_within_the_papers_interval_pass_in_silence(caplog, tmp_path, byte_tokenizer):
    for rows, changes in (
        (counted(5, 5), {}),
        (counted(8, 6), {}),
        (counted(9, 3), {"undesirable_weight": 3.0}),
        (counted(9, 3), {"balance_weights": True}),
        ([row | {"p_desirable": 0.55} for row in unpaired(4)], {}),
    ):
        assert warnings(caplog, tmp_path, byte_tokenizer, rows, **changes) == []


def test_nothing_balances_one_side(tmp_path, byte_tokenizer):
    with pytest.raises(ValueError, match="balance_weights: none of the 4 train examples is desirable"):
        make("kto", tmp_path, byte_tokenizer, rows=counted(0, 4), balance_weights=True)


# ---- What is refused

POWER, LOSSES = {"value_function": "kahneman_tversky"}, {"value_function": "loss_averse"}
WEIGHTED, EMA = {"decision_weights": "prelec"}, {"reference_point": "ema"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss_type": "dpo"}, "loss_type is 'dpo': use kto or apo_zero_unpaired"),
        ({"value_function": "cubic"}, "value_function is 'cubic': use logistic, .* or logsigmoid"),
        ({"reference_point": "mean"}, "reference_point is 'mean': use kl, batch, ema or zero"),
        ({"decision_weights": "tk"}, "decision_weights is 'tk': use none, tversky_kahneman or prelec"),
        ({"beta": 0.0}, r"beta is 0.0: use a positive number \(how fast value saturates"),
        ({"desirable_weight": -1.0}, r"desirable_weight is -1.0: use a positive number \(λ_D"),
        ({"undesirable_weight": math.nan}, r"undesirable_weight is nan: use a positive number \(λ_U"),
        (LOSSES | {"loss_aversion": 0.0}, r"loss_aversion is 0.0: use a positive number \(λ, how much more a loss"),
        (POWER | {"risk_alpha": 1.2}, r"risk_alpha is 1.2: use a number above 0 and at most 1 \(risk preference α"),
        (POWER | {"risk_alpha_gain": 0.0}, "risk_alpha_gain is 0.0: use a number above 0 .* α for gains"),
        (POWER | {"risk_alpha_loss": 2.0}, "risk_alpha_loss is 2.0: use a number above 0 .* α for losses"),
        (EMA | {"ema_decay": 1.0}, r"ema_decay is 1.0: use a number from 0 to below 1 \(the share"),
        (WEIGHTED | {"decision_gamma_gain": 0.2}, r"decision_gamma_gain is 0.2: use a number from 0.28 to 1 \(how"),
        (WEIGHTED | {"decision_gamma_loss": 1.5}, r"decision_gamma_loss is 1.5: use a number from 0.28 to 1 \(how"),
        ({"loss_aversion": 3.0}, "loss_aversion does nothing with value_function logistic: .* kahneman_tversky or"),
        (LOSSES | {"risk_alpha": 0.5}, "risk_alpha does nothing with value_function loss_averse"),
        ({"risk_alpha_gain": 0.5}, "risk_alpha_gain does nothing with value_function logistic"),
        ({"risk_alpha_loss": 0.88}, "risk_alpha_loss does nothing with value_function logistic"),
        (
            {"ema_decay": 0.5},
            "ema_decay does nothing with reference_point kl: leave it out, or use reference_point ema",
        ),
        ({"decision_gamma_gain": 0.5}, "decision_gamma_gain does nothing with decision_weights none"),
        ({"decision_gamma_loss": 0.5}, "use decision_weights tversky_kahneman or prelec"),
        (EMA | {"loss_type": "apo_zero_unpaired"}, "reference_point is ema, and apo_zero_unpaired has .* zero"),
        ({"reference_point": "batch", "per_device_train_batch_size": 1}, "the batch is one example"),
    ],
)
def test_nonsense_is_refused_with_its_range_and_meaning(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message) as error:
        quick(KTOConfig, tmp_path, **settings)
    assert "\n" not in str(error.value)
