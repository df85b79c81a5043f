"""What KTO is configured by: the loss, and the knobs of prospect theory with their ranges."""

from dataclasses import dataclass, field, fields

from accord.losses import prospect
from accord.trainers.config import AccordConfig
from accord.trainers.ranges import DECAY, POSITIVE, SHARE, Range, check_choices


@dataclass
class KTOConfig(AccordConfig):
    """Configuration of `KTOTrainer`; defaults are TRL's. The knobs of prospect theory: docs/prospect-theory.md."""

    beta: float = field(
        default=0.1, metadata={"help": "How fast value saturates with the log-ratio: β of the KTO loss."}
    )
    loss_type: str = field(
        default="kto", metadata={"help": "`kto`, or `apo_zero_unpaired`: the same with reference_point zero."}
    )
    desirable_weight: float = field(default=1.0, metadata={"help": "λ_D: weight of desirable outputs."})
    undesirable_weight: float = field(default=1.0, metadata={"help": "λ_U: weight of undesirable outputs."})
    balance_weights: bool = field(
        default=False,
        metadata={"help": "Raise the weight of the side with fewer examples until both count the same in all."},
    )
    value_function: str = field(
        default="logistic",
        metadata={"help": "How gains and losses feel: `logistic`, `kahneman_tversky`, `loss_averse` or `logsigmoid`."},
    )
    loss_aversion: float = field(
        default=prospect.LOSS_AVERSION,
        metadata={"help": "λ of kahneman_tversky and loss_averse: how much more a loss counts than an equal gain."},
    )
    risk_alpha: float = field(
        default=prospect.RISK_ALPHA,
        metadata={"help": "α of kahneman_tversky: each further gain or loss counts less; 1 is indifferent to risk."},
    )
    risk_alpha_gain: float | None = field(default=None, metadata={"help": "α for gains. Default: risk_alpha."})
    risk_alpha_loss: float | None = field(default=None, metadata={"help": "α for losses. Default: risk_alpha."})
    reference_point: str = field(
        default="kl",
        metadata={"help": "What gains and losses are counted from: `kl`, `batch`, `ema` or `zero`."},
    )
    ema_decay: float = field(
        default=0.9, metadata={"help": "reference_point ema: the share of the average that stays at each step."}
    )
    decision_weights: str = field(
        default="none",
        metadata={"help": "How probabilities feel: `none` (as they are), `tversky_kahneman` or `prelec`."},
    )
    decision_gamma_gain: float = field(
        default=0.61, metadata={"help": "γ for the probability that an output is desirable; 1 leaves it as it is."}
    )
    decision_gamma_loss: float = field(
        default=0.69, metadata={"help": "γ for the probability that it is undesirable; 1 leaves it as it is."}
    )
    prompt_group_size: int = field(
        default=2,
        metadata={"help": "Examples of one prompt that are drawn together, so that its tokens are computed once."},
    )

    def __post_init__(self):
        super().__post_init__()
        check_choices(self, CHOICES)
        for name, (allowed, meaning) in KNOBS.items():
            value = getattr(self, name)
            if value is not None and not allowed.holds(value):
                raise ValueError(f"{name} is {value}: use {allowed.says} ({meaning})")
        defaults = {f.name: f.default for f in fields(self)}
        for name, (owner, owners) in KNOBS_OF.items():
            if getattr(self, name) != defaults[name] and getattr(self, owner) not in owners:
                raise ValueError(
                    f"{name} does nothing with {owner} {getattr(self, owner)}: leave it out, or use {owner} "
                    + " or ".join(owners)
                )
        if self.loss_type == "apo_zero_unpaired" and self.reference_point not in ("kl", "zero"):
            raise ValueError(
                f"reference_point is {self.reference_point}, and apo_zero_unpaired has the reference point zero: leave "
                "it out, or use loss_type kto"
            )
        examples = self.per_device_train_batch_size * self.gradient_accumulation_steps * self.world_size
        if self.reference_point == "batch" and examples < 2:
            raise ValueError(
                "reference_point batch compares an example with its batch's mean, and the batch is one example: use "
                "per_device_train_batch_size 2 or more, or reference_point ema"
            )


GAMMA = Range("a number from 0.28 to 1", lambda x: 0.28 <= x <= 1)
#: Numbers: what they may be, and what they mean.
KNOBS: dict[str, tuple[Range, str]] = {
    "beta": (POSITIVE, "how fast value saturates with the log-ratio; 0.1 is usual"),
    "desirable_weight": (POSITIVE, "λ_D, the weight of desirable outputs"),
    "undesirable_weight": (POSITIVE, "λ_U, the weight of undesirable outputs"),
    "loss_aversion": (POSITIVE, "λ, how much more a loss counts than an equal gain: 1 is not at all"),
    "risk_alpha": (SHARE, "risk preference α, how fast people get used to more: 1 is not at all"),
    "risk_alpha_gain": (SHARE, "risk preference α for gains: 1 is indifferent, less is averse to risk"),
    "risk_alpha_loss": (SHARE, "risk preference α for losses: 1 is indifferent, less seeks risk"),
    "ema_decay": (DECAY, "the share of the moving average that stays at each step"),
    "decision_gamma_gain": (GAMMA, "how straight the weight of a probability is: 1 is the probability itself"),
    "decision_gamma_loss": (GAMMA, "how straight the weight of a probability is: 1 is the probability itself"),
}
POWER, WEIGHTED = ("value_function", ("kahneman_tversky",)), ("decision_weights", ("tversky_kahneman", "prelec"))
#: Knobs that only some choices of another option listen to.
KNOBS_OF: dict[str, tuple[str, tuple[str, ...]]] = {
    "loss_aversion": ("value_function", ("kahneman_tversky", "loss_averse")),
    "risk_alpha": POWER,
    "risk_alpha_gain": POWER,
    "risk_alpha_loss": POWER,
    "ema_decay": ("reference_point", ("ema",)),
    "decision_gamma_gain": WEIGHTED,
    "decision_gamma_loss": WEIGHTED,
}
CHOICES: dict[str, tuple[str, ...]] = {
    "loss_type": ("kto", "apo_zero_unpaired"),
    "value_function": tuple(prospect.VALUES),
    "reference_point": ("kl", "batch", "ema", "zero"),
    "decision_weights": tuple(prospect.WEIGHTS),
}
