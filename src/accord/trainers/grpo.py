"""Group relative policy optimization: a completion's advantage is how it stands in its prompt's group."""

from dataclasses import dataclass, field

from accord.losses.advantages import Credit, grpo
from accord.losses.policy_gradient import Surrogate
from accord.trainers.experience import Experience
from accord.trainers.online import Online, OnlineTrainer
from accord.trainers.online_config import GroupConfig
from accord.trainers.online_metrics import OF_GROUPS
from accord.trainers.online_objective import method


@dataclass
class GRPOConfig(GroupConfig):
    """Configuration of `GRPOTrainer`; names and defaults are TRL's.

    A group's mean has each completion's own reward in it, so with `scale_rewards` none advantages are (G − 1)/G of
    RLOO's; a `beta` in the loss then weighs as much as β·G/(G − 1) would in the reward.

    Dr. GRPO: `loss_type` dr_grpo, `scale_rewards` none. DAPO: `loss_type` dapo, `epsilon_high` 0.28, `beta` 0,
    `mask_truncated_completions`.
    """

    beta: float = field(default=0.0, metadata={"help": "What a nat of KL from the reference costs; 0: no reference."})
    kl_in: str = field(
        default="loss",
        metadata={
            "help": "Where that is paid: in the `loss`, a token at a time (GRPO's), or in the `reward` (RLOO's)."
        },
    )
    kl_estimator: str = field(
        default="k3", metadata={"help": "Of the KL in the loss: k3 (GRPO's), k2 (the KL's own gradient) or k1."}
    )
    use_bias_correction_kl: bool = field(
        default=True, metadata={"help": "Multiply the KL in the loss by the ratio: k3 then has the KL's own gradient."}
    )
    scale_rewards: str = field(
        default="group",
        metadata={"help": "Divide by the standard deviation of the `group`, of the `batch`, or by `none`."},
    )
    loss_type: str = field(
        default="dapo",
        metadata={"help": "How tokens make a loss: `dapo` and `bnpo` (their mean), `grpo`, `dr_grpo`, `luspo`."},
    )
    importance_sampling_level: str = field(
        default="token", metadata={"help": "What a ratio is of: a `token`, a `sequence` (GSPO) or a `completion`."}
    )
    delta: float | None = field(
        default=None, metadata={"help": "Bound of the ratio where the advantage is negative, above 1 + epsilon_high."}
    )

    def __post_init__(self):
        super().__post_init__()
        if self.kl_in == "loss" and self.beta and self.kl_estimator == "k1" and not self.use_bias_correction_kl:
            raise ValueError(
                "kl_estimator k1 in the loss: without use_bias_correction_kl its gradient is 0 on average; use k2 or k3"
            )

    @property
    def kl_coefficient(self) -> float:
        return self.beta

    def surrogate(self) -> Surrogate:
        """PPO's clipped ratio, and the KL beside it."""
        return Surrogate(
            level=self.importance_sampling_level,
            loss_type=self.loss_type,
            epsilon_low=self.epsilon,
            epsilon_high=self.epsilon_high,
            delta=self.delta,
            beta=self.beta if self.kl_in == "loss" else 0.0,
            kl_estimator=self.kl_estimator,
            corrected=self.use_bias_correction_kl,
        )


def advantages(experience: Experience, config: GRPOConfig, coefficient: float) -> Credit:
    """`grpo` of the rewards (Shao et al. 2024, arXiv:2402.03300, section 4.1.2)."""
    rewards_N = experience.less_kl(coefficient if config.kl_in == "reward" else 0.0)
    return Credit(experience.per_token(grpo(experience.per_prompt(rewards_N), scale=config.scale_rewards)))


class GRPOTrainer(OnlineTrainer):
    """Trains on prompts: it samples answers, has them rewarded, and makes likelier what beat its group's mean.

    Constructs like TRL's; see `OnlineTrainer`.
    """

    method = method(GRPOConfig)
    online = Online(advantages, OF_GROUPS)
