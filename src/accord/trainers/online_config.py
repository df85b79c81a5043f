"""What methods that sample are configured by: the rollout, its rewards, and the brakes."""

from dataclasses import dataclass, field, fields

from accord.losses.advantages import KL_ESTIMATORS, SCALES
from accord.losses.policy_gradient import LEVELS, WEIGHTS, Surrogate
from accord.trainers.config import AccordConfig
from accord.trainers.ranges import COUNT, NOT_NEGATIVE, POSITIVE, PROBABILITY, Range, check_choices, check_ranges
from accord.trainers.trl_settings import instead


@dataclass
class OnlineConfig(AccordConfig):
    """Base of `PPOConfig`, `RLOOConfig` and `GRPOConfig`.

    An optimizer batch is `per_device_train_batch_size` x `gradient_accumulation_steps` x processes completions, as in
    TRL: that number divided by `num_generations` is its number of prompts.
    """

    num_generations: int = field(
        default=8, metadata={"help": "Completions of each prompt in a rollout: G, 2 or more (PPO: 1 or more)."}
    )
    max_completion_length: int = field(default=256, metadata={"help": "Most tokens of a completion."})
    temperature: float = field(
        default=1.0, metadata={"help": "Of sampling; log-probs are of the tempered distribution."}
    )
    top_p: float = field(default=1.0, metadata={"help": "Sample of the likeliest tokens that together have this."})
    top_k: int = field(default=0, metadata={"help": "Sample of the so many likeliest tokens; 0 for all."})
    min_p: float = field(default=0.0, metadata={"help": "Sample of tokens at least so likely, relative to the top."})
    rollout_rows: int = field(
        default=128, metadata={"help": "Completions in flight at once; fewer need less memory, and are slower."}
    )
    reward_weights: list[float] | None = field(
        default=None, metadata={"help": "What each source of rewards counts in their sum. Default: 1 each."}
    )
    disagreement_penalty: float = field(
        default=0.0,
        metadata={"help": "Standard deviations of a reward model's heads that are taken off its mean."},
    )
    missing_eos_penalty: float | None = field(
        default=None, metadata={"help": "Taken off the reward of a completion that was cut at max_completion_length."}
    )
    kl_budget: float | None = field(
        default=None,
        metadata={"help": "Nats a completion: once a rollout's KL from the reference exceeds it, training ends."},
    )
    mask_truncated_completions: bool = field(
        default=False, metadata={"help": "Do not learn from completions that were cut at max_completion_length."}
    )
    num_generations_eval: int = field(default=1, metadata={"help": "Completions of each held-out prompt."})
    turns: int = field(
        default=8, metadata={"help": "Most completions in an episode, where an environment replies to them."}
    )

    def __new__(cls, *args, **named):
        known = {f.name for f in fields(cls)}
        for name in named:
            if name not in known and (remedy := instead(name)):
                raise ValueError(f"{cls.__name__} has no {name}: {remedy}")
        return super().__new__(cls)

    def __post_init__(self):
        if self.disable_dropout is False:
            raise ValueError("disable_dropout false: the policy that learns would not be the one that sampled")
        super().__post_init__()
        check_ranges(self, RANGES)
        choices = {name: among for name, among in CHOICES.items() if hasattr(self, name)}
        check_choices(self, choices)
        check_ranges(self, {name: among for name, among in OWN_RANGES.items() if hasattr(self, name)})
        batch = self.per_device_train_batch_size * self.gradient_accumulation_steps * self.world_size
        if batch % self.num_generations:
            raise ValueError(
                f"an optimizer batch of {batch} completions (per_device_train_batch_size x gradient_accumulation_steps "
                f"x processes) holds no whole number of groups of num_generations {self.num_generations}: make it a "
                "multiple"
            )
        if self.max_length is not None and self.max_length <= self.max_completion_length:
            raise ValueError(
                f"max_completion_length is {self.max_completion_length}, and max_length {self.max_length} leaves no "
                "room for a prompt: raise max_length"
            )
        if self.kl_budget is not None and not self.needs_reference:
            raise ValueError("kl_budget: needs a reference")

    # ---- What the methods' own names come to

    @property
    def mini_batches(self) -> int:
        """Optimizer batches that a rollout is divided into."""
        return 1

    @property
    def iterations(self) -> int:
        """How often a rollout is gone through."""
        return 1

    @property
    def updates(self) -> int:
        """Optimizer steps on each rollout."""
        return self.mini_batches * self.iterations

    @property
    def kl_coefficient(self) -> float:
        """What the KL from the reference costs, in rewards a nat."""
        return 0.0

    @property
    def needs_reference(self) -> bool:
        """Whether the reference is asked about each rollout."""
        return self.kl_coefficient > 0 or self.kl_budget is not None

    @property
    def kl_horizon_gain(self) -> float | None:
        """How fast the KL coefficient follows `kl_target`; None where it stays."""
        return None

    def surrogate(self) -> Surrogate:
        """What is minimised."""
        raise NotImplementedError


@dataclass
class GroupConfig(OnlineConfig):
    """What RLOO and GRPO have in common: TRL's names for how a rollout is trained on."""

    steps_per_generation: int | None = field(
        default=None,
        metadata={"help": "Batches of per_device_train_batch_size in a rollout. Default: one optimizer batch."},
    )
    generation_batch_size: int | None = field(
        default=None,
        metadata={"help": "Completions in a rollout, over all processes: steps_per_generation said otherwise."},
    )
    num_iterations: int = field(default=1, metadata={"help": "How often each rollout is trained on."})
    epsilon: float = field(default=0.2, metadata={"help": "How far a ratio may fall below 1 (and rise above it)."})
    epsilon_high: float | None = field(
        default=None, metadata={"help": "How far a ratio may rise above 1; DAPO uses 0.28. Default: epsilon."}
    )

    def __post_init__(self):
        super().__post_init__()
        if self.num_generations < 2:
            raise ValueError(
                f"num_generations: group size {self.num_generations} leaves nothing to compare a completion with; use "
                "2 or more"
            )
        self._mini_batches = self._optimizer_batches()

    def _optimizer_batches(self) -> int:
        """Those in a rollout. ValueError where it is no whole number of them."""
        steps, size = self.steps_per_generation, self.per_device_train_batch_size * self.world_size
        if self.generation_batch_size is not None:
            if steps is not None:
                raise ValueError("generation_batch_size and steps_per_generation say the same: give one")
            if self.generation_batch_size % (size * self.gradient_accumulation_steps):
                raise ValueError(
                    f"generation_batch_size is {self.generation_batch_size}: use a multiple of the optimizer batch, "
                    f"{size * self.gradient_accumulation_steps} completions"
                )
            steps = self.generation_batch_size // size
        if steps is None:
            return 1
        if steps < self.gradient_accumulation_steps or steps % self.gradient_accumulation_steps:
            raise ValueError(
                f"steps_per_generation is {steps}: use a multiple of gradient_accumulation_steps "
                f"{self.gradient_accumulation_steps}, so that a rollout is a whole number of optimizer batches"
            )
        return steps // self.gradient_accumulation_steps

    @property
    def mini_batches(self) -> int:
        return self._mini_batches

    @property
    def iterations(self) -> int:
        return self.num_iterations


RANGES: dict[str, Range] = {
    "num_generations": COUNT,
    "num_generations_eval": COUNT,
    "max_completion_length": COUNT,
    "temperature": POSITIVE,
    "top_p": PROBABILITY,
    "top_k": NOT_NEGATIVE,
    "min_p": PROBABILITY,
    "rollout_rows": COUNT,
    "disagreement_penalty": NOT_NEGATIVE,
    "missing_eos_penalty": NOT_NEGATIVE,
    "kl_budget": POSITIVE,
    "turns": COUNT,
}
#: Of knobs that only some methods have.
OWN_RANGES: dict[str, Range] = {
    "num_iterations": COUNT,
    "num_ppo_epochs": COUNT,
    "num_mini_batches": COUNT,
    "beta": NOT_NEGATIVE,
    "kl_coef": NOT_NEGATIVE,
    "kl_target": POSITIVE,
    "kl_horizon": COUNT,
    "epsilon": Range("a number above 0, below 1", lambda x: 0 < x < 1),
    "epsilon_high": POSITIVE,
    "delta": Range("a number above 1 + epsilon_high", lambda x: x > 1),
    "cliprange": Range("a number above 0, below 1", lambda x: 0 < x < 1),
    "cliprange_value": POSITIVE,
    "vf_coef": POSITIVE,
    "gamma": PROBABILITY,
    "lam": PROBABILITY,
    "critic_warmup_steps": NOT_NEGATIVE,
}
CHOICES: dict[str, tuple[str, ...]] = {
    "loss_type": tuple(WEIGHTS),
    "importance_sampling_level": tuple(LEVELS),
    "scale_rewards": tuple(SCALES),
    "kl_estimator": tuple(KL_ESTIMATORS),
    "kl_in": ("loss", "reward"),
    "critic": ("shared", "separate"),
}
