"""Kahneman–Tversky Optimization: from single completions that people want or do not want."""

from collections.abc import Sequence
from functools import partial
from inspect import signature

from accord.losses import dpo, kto, prospect
from accord.trainers import rows
from accord.trainers.balance import side_weights
from accord.trainers.base import AccordTrainer
from accord.trainers.examples import Example
from accord.trainers.kto_config import KTOConfig
from accord.trainers.objective import Method, Objective, mean
from accord.trainers.reference_point import REFERENCE_POINTS
from accord.trainers.scored import Scored


def objective(config: KTOConfig, examples: Sequence[Example]) -> Objective:
    """KTO's loss and TRL's metrics for it."""
    beta = config.beta
    point = "zero" if config.loss_type == "apo_zero_unpaired" else config.reference_point
    desirable_weight, undesirable_weight = side_weights(config, examples)
    weight = prospect.WEIGHTS[config.decision_weights]
    loss = partial(
        kto.human_aware,
        beta=beta,
        desirable_weight=desirable_weight,
        undesirable_weight=undesirable_weight,
        value=value_function(config),
        weight_gain=partial(weight, gamma=config.decision_gamma_gain),
        weight_loss=partial(weight, gamma=config.decision_gamma_loss),
    )

    def losses(scored: Scored):
        reference_point = 0.0 if point == "zero" else scored.preview_EP[:, 0]
        return loss(scored.logratios_EK[:, 0], reference_point, p_desirable=scored.p_E)

    def metrics(scored: Scored, losses_E):
        rewards = dpo.rewards(scored.logratios_EK, beta)[:, 0]
        logps, want = scored.logps_EK[:, 0], scored.p_E * (scored.weight_E > 0)
        do_not = (1 - scored.p_E) * (scored.weight_E > 0)
        found = {} if point == "zero" else {"kl" if point == "kl" else "reference_point": mean(scored.preview_EP[:, 0])}
        return found | {
            "rewards/chosen": mean(rewards, want),
            "rewards/rejected": mean(rewards, do_not),
            "logps/chosen": mean(logps, want),
            "logps/rejected": mean(logps, do_not),
        }

    def derived(means: dict[str, float]) -> dict[str, float]:
        found = {}
        if {"rewards/chosen", "rewards/rejected"} <= means.keys():  # else all that was drawn was wanted, or nothing
            found["rewards/margins"] = means["rewards/chosen"] - means["rewards/rejected"]
        if config.balance_weights:
            found |= {"desirable_weight": desirable_weight, "undesirable_weight": undesirable_weight}
        return found

    return Objective(losses, lambda example: 1.0, metrics, derived=derived, **REFERENCE_POINTS[point](config))


def value_function(config: KTOConfig) -> prospect.Value:
    """The value function with those of its parameters that it has."""
    value = prospect.VALUES[config.value_function]
    parameters = {
        "loss_aversion": config.loss_aversion,
        "alpha_gain": config.risk_alpha if config.risk_alpha_gain is None else config.risk_alpha_gain,
        "alpha_loss": config.risk_alpha if config.risk_alpha_loss is None else config.risk_alpha_loss,
    }
    own = {name: parameters[name] for name in signature(value.of).parameters if name in parameters}
    return value._replace(of=partial(value.of, **own))


class KTOTrainer(AccordTrainer):
    """Trains on rows of `prompt`, `completion` and `label` (or `p_desirable` in [0, 1]), and optionally `weight`.

    Constructs like TRL's. Preference rows are taken apart into a desirable and an undesirable example.
    """

    method = Method(KTOConfig, ("completion",), "p_desirable", rows.unpaired, objective)
