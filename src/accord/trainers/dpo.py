"""Direct Preference Optimization and its family: from pairs of completions, without a reward model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from accord.losses import dpo, options, pairwise
from accord.losses.divergence import SCORES
from accord.trainers import rows
from accord.trainers.base import AccordTrainer
from accord.trainers.config import AccordConfig
from accord.trainers.examples import Example
from accord.trainers.moving_reference import WithMovingReference
from accord.trainers.objective import Method, Objective, Preview, Previewed, mean
from accord.trainers.scored import Scored, Wanted

#: Numbers of the configuration that losses take by these names.
KNOBS = ("beta", "label_smoothing", "discopop_tau", "simpo_gamma", "cpo_alpha", "slic_delta", "slic_lambda")
SMOOTHED = [name for name in pairwise.LOSSES if "label_smoothing" in pairwise.needs(name)]


@dataclass
class DPOConfig(AccordConfig):
    """Configuration of `DPOTrainer`; names and defaults are TRL's where TRL has them."""

    loss_type: list[str] = field(
        default_factory=lambda: ["sigmoid"],
        metadata={"help": f"The loss, or several that are added: {', '.join(pairwise.LOSSES)}."},
    )
    loss_weights: list[float] | None = field(
        default=None, metadata={"help": "Of several losses, how much each counts. Default: 1 each."}
    )
    beta: float = field(
        default=0.1,
        metadata={"help": "How dear it is to leave the reference: β. (simpo: about 2; sigmoid_norm: 5; orpo: λ.)"},
    )
    label_smoothing: float = field(
        default=0.0,
        metadata={"help": f"Probability that a label is wrong, below 0.5. Taken by {', '.join(SMOOTHED)}."},
    )
    f_divergence_type: str = field(
        default="reverse_kl", metadata={"help": f"What keeps the policy near the reference: {', '.join(SCORES)}."}
    )
    f_alpha_divergence_coef: float = field(default=0.5, metadata={"help": "α of alpha_divergence."})
    ld_alpha: float | None = field(
        default=None,
        metadata={"help": "How much the tokens count by which an answer is longer than the other, 0 to 1 (LD-DPO)."},
    )
    use_weighting: bool = field(
        default=False, metadata={"help": "Weigh each pair by how likely the policy would have given it (WPO)."}
    )
    discopop_tau: float = field(default=0.05, metadata={"help": "Temperature of discopop."})
    simpo_gamma: float = field(default=0.5, metadata={"help": "Margin by which simpo's rewards are to differ."})
    cpo_alpha: float = field(default=1.0, metadata={"help": "How much the likelihood of the chosen counts in cpo."})
    slic_delta: float = field(default=1.0, metadata={"help": "Margin in nats that slic asks for."})
    slic_lambda: float = field(default=0.5, metadata={"help": "How much the likelihood of the chosen counts in slic."})
    sync_ref_model: bool = field(
        default=False, metadata={"help": "Let the reference follow the policy (TR-DPO). It then takes memory and time."}
    )
    ref_model_mixup_alpha: float = field(
        default=0.6, metadata={"help": "How far it goes towards the policy each time, from above 0 to 1."}
    )
    ref_model_sync_steps: int = field(default=512, metadata={"help": "Optimizer steps between two times."})

    def __post_init__(self):
        if isinstance(self.loss_type, str):
            self.loss_type = [self.loss_type]
        super().__post_init__()
        check(self)


def check(config: DPOConfig) -> None:
    """Raises ValueError, one line with the remedy, for settings that mean nothing, alone or together."""
    names, weights = config.loss_type, config.loss_weights
    if not names:
        raise ValueError("loss_type is empty: use sigmoid")
    if config.f_divergence_type not in SCORES:
        raise ValueError(f"f_divergence_type is {config.f_divergence_type!r}: use one of {', '.join(SCORES)}")
    options.check(names, {name: getattr(config, name) for name in KNOBS}, config.f_divergence_type)
    if weights is not None and len(weights) != len(names):
        raise ValueError(f"loss_weights has {len(weights)} numbers for {len(names)} losses: give one for each")
    if weights is not None and not all(0 <= weight < math.inf for weight in weights):
        raise ValueError(f"loss_weights is {weights}: use numbers of 0 or more")
    if not math.isfinite(config.f_alpha_divergence_coef):
        raise ValueError(f"f_alpha_divergence_coef is {config.f_alpha_divergence_coef}: use a number, 0.5 is usual")
    if config.ld_alpha is not None and not 0 <= config.ld_alpha <= 1:
        raise ValueError(f"ld_alpha is {config.ld_alpha}: use a number from 0 (drop the longer end) to 1 (plain DPO)")
    if not 0 < config.ref_model_mixup_alpha <= 1:
        raise ValueError(f"ref_model_mixup_alpha is {config.ref_model_mixup_alpha}: use a number above 0, up to 1")
    if config.ref_model_sync_steps < 1:
        raise ValueError(f"ref_model_sync_steps is {config.ref_model_sync_steps}: use 1 or more")
    if config.use_weighting and (whole := [name for name in names if name in pairwise.PARTNERS]):
        raise ValueError(f"use_weighting: {', '.join(whole)} compares whole batches, whose pairs have no weight")
    if config.sync_ref_model and all(map(pairwise.is_reference_free, names)):
        raise ValueError(f"sync_ref_model: {', '.join(names)} has no reference model; leave it out")


def objective(config: DPOConfig, examples: Sequence[Example]) -> Objective:
    """The losses of `loss_type`, weighted and added, and TRL's metrics for them."""
    names: list[str] = config.loss_type
    weights = config.loss_weights or [1.0] * len(names)
    whole = [name for name in names if name in pairwise.PARTNERS]
    tail = 1.0 if config.ld_alpha is None else config.ld_alpha
    knobs = {name: getattr(config, name) for name in KNOBS}
    scores, alpha = SCORES[config.f_divergence_type], config.f_alpha_divergence_coef

    def logps(seen: Scored | Previewed) -> dict[str, Tensor]:
        return {
            **_sides("logps", seen.logps_EK),
            **_sides("reference", seen.reference_EK),
            **_sides("logratios", seen.logratios_EK),
        }

    def losses(scored: Scored) -> Tensor:
        quantities: dict[str, Any] = {
            **knobs,
            **logps(scored),
            **_sides("scores", scores(scored.logratios_EK, alpha)),
            **_sides("lengths", scored.lengths_EK),
            "p_chosen": scored.p_E,
        }
        total = torch.zeros_like(scored.p_E)
        for name, weight in zip(names, weights, strict=True):
            partners = _sides("partner", scored.preview_EP[:, 2 * whole.index(name) :]) if name in whole else {}
            total = total + weight * pairwise.evaluate(name, quantities | partners)
        if scored.alignment_EK is not None:
            total = total * dpo.wpo_weights(*scored.alignment_EK.unbind(1))
        return total

    def partners(batch: Previewed) -> Tensor:
        known = logps(batch)
        return torch.cat([pairwise.partners(name, known) for name in whole], 1)

    def metrics(scored: Scored, losses_E):
        chosen, rejected = dpo.rewards(scored.logratios_EK, config.beta).unbind(1)
        margins, counted = chosen - rejected, scored.weight_E > 0
        return {
            "rewards/chosen": mean(chosen, counted),
            "rewards/rejected": mean(rejected, counted),
            "rewards/accuracies": mean(margins * (scored.p_E - 0.5) > 0, counted & (scored.p_E != 0.5)),
            "rewards/margins": mean(margins, counted),
            "logps/chosen": mean(scored.logps_EK[:, 0], counted),
            "logps/rejected": mean(scored.logps_EK[:, 1], counted),
        }

    return Objective(
        losses,
        units=lambda example: 1.0,
        metrics=metrics,
        reference=not all(map(pairwise.is_reference_free, names)),
        preview=Preview(partners) if whole else None,
        wanted=Wanted(tail, config.use_weighting),
    )


def _sides(name: str, values_EK: Tensor) -> dict[str, Tensor]:
    return {f"chosen_{name}": values_EK[:, 0], f"rejected_{name}": values_EK[:, 1]}


def check_labels(config: DPOConfig, examples: Sequence[Example]) -> None:
    """Losses that compare whole batches cannot tell how sure a label is, nor how much a pair counts."""
    whole = [name for name in config.loss_type if name in pairwise.PARTNERS]
    for example in examples if whole else ():
        if example.p != 1 or example.weight != 1:
            raise ValueError(
                f"row {example.id}: p_chosen is {example.p:g} and weight {example.weight:g}, and {whole[0]} compares "
                "whole batches, in which single pairs have neither: use --labels majority and leave ties out, "
                "or use another loss_type"
            )


class DPOTrainer(WithMovingReference, AccordTrainer):
    """Trains on rows of `prompt`, `chosen`, `rejected`, and optionally `p_chosen` in [0, 1] and `weight`.

    Constructs like TRL's. Losses and soft labels: see `accord.losses.pairwise`.
    """

    method = Method(DPOConfig, ("chosen", "rejected"), "p_chosen", rows.preference, objective, check=check_labels)
