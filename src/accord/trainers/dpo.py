"""Direct Preference Optimization: from pairs of completions, without a reward model."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from accord.losses import dpo
from accord.trainers import rows
from accord.trainers.base import AccordTrainer
from accord.trainers.config import AccordConfig
from accord.trainers.examples import Example
from accord.trainers.objective import Method, Objective, mean
from accord.trainers.scored import Scored


@dataclass
class DPOConfig(AccordConfig):
    """Configuration of `DPOTrainer`; defaults are TRL's."""

    beta: float = field(default=0.1, metadata={"help": "How dear it is to leave the reference: β of the DPO loss."})
    loss_type: str = field(default="sigmoid", metadata={"help": "The loss: `sigmoid`."})
    label_smoothing: float = field(
        default=0.0, metadata={"help": "Probability that a label is wrong (conservative DPO), from 0 to below 0.5."}
    )

    def __post_init__(self):
        super().__post_init__()
        if self.loss_type not in LOSSES:
            raise ValueError(f"loss_type is {self.loss_type!r}: use one of {', '.join(LOSSES)}")
        if self.beta <= 0:
            raise ValueError(f"beta is {self.beta}: use a positive number, 0.1 is usual")
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"label_smoothing is {self.label_smoothing}: use a number from 0 to below 0.5")


LOSSES = {"sigmoid": dpo.sigmoid}


def objective(config: DPOConfig, examples: Sequence[Example]) -> Objective:
    """DPO's loss and TRL's metrics for it."""
    loss, beta = LOSSES[config.loss_type], config.beta

    def losses(scored: Scored):
        chosen, rejected = scored.logratios_EK.unbind(1)
        return loss(chosen, rejected, beta=beta, p_chosen=scored.p_E, label_smoothing=config.label_smoothing)

    def metrics(scored: Scored, losses_E):
        chosen, rejected = dpo.rewards(scored.logratios_EK, beta).unbind(1)
        margins, counted = chosen - rejected, scored.weight_E > 0
        return {
            "rewards/chosen": mean(chosen, counted),
            "rewards/rejected": mean(rejected, counted),
            "rewards/accuracies": mean(margins > 0, counted),
            "rewards/margins": mean(margins, counted),
            "logps/chosen": mean(scored.logps_EK[:, 0], counted),
            "logps/rejected": mean(scored.logps_EK[:, 1], counted),
        }

    return Objective(losses, units=lambda example: 1.0, metrics=metrics)


class DPOTrainer(AccordTrainer):
    """Trains on rows of `prompt`, `chosen`, `rejected`, and optionally `p_chosen` in [0, 1] and `weight`.

    Constructs like TRL's. Soft labels: see `accord.losses.dpo.sigmoid`.
    """

    method = Method(DPOConfig, ("chosen", "rejected"), "p_chosen", rows.preference, objective)
