"""REINFORCE leave-one-out: a completion is one action, and the others of its prompt are its baseline."""

from dataclasses import dataclass, field

from accord.losses.advantages import Credit, rloo
from accord.losses.policy_gradient import Surrogate
from accord.trainers.experience import Experience
from accord.trainers.online import Online, OnlineTrainer
from accord.trainers.online_config import GroupConfig
from accord.trainers.online_metrics import OF_GROUPS
from accord.trainers.online_objective import method


@dataclass
class RLOOConfig(GroupConfig):
    """Configuration of `RLOOTrainer`; names and defaults are TRL's."""

    num_generations: int = field(default=2, metadata={"help": "Completions of each prompt in a rollout: 2 or more."})
    beta: float = field(default=0.05, metadata={"help": "What a nat of KL from the reference costs, in rewards."})
    normalize_advantages: bool = field(
        default=False, metadata={"help": "Divide advantages by their standard deviation over the rollout."}
    )
    reward_clip_range: list[float] | None = field(
        default=None, metadata={"help": "Two numbers: rewards below the first and above the second are held there."}
    )

    def __post_init__(self):
        super().__post_init__()
        bounds = self.reward_clip_range
        if bounds is not None and (len(bounds) != 2 or bounds[0] >= bounds[1]):
            raise ValueError(f"reward_clip_range is {bounds}: use two numbers, the lower first")

    @property
    def kl_coefficient(self) -> float:
        return self.beta

    def surrogate(self) -> Surrogate:
        """PPO's clipped ratio, of whole completions; their mean."""
        return Surrogate("completion", "grpo", self.epsilon, self.epsilon_high)


def advantages(experience: Experience, config: RLOOConfig, coefficient: float) -> Credit:
    """`rloo` of rewards less β·KL of whole completions (Ahmadian et al. 2024, arXiv:2402.14740, section 2.3).

    `reward_clip_range` holds rewards, before KL; `normalize_advantages`: (A − mean)/(deviation + 10⁻⁴), as TRL.
    """
    rewards_PG = experience.per_prompt(experience.rewards_N)
    if config.reward_clip_range is not None:
        rewards_PG = rewards_PG.clamp(*config.reward_clip_range)
    advantages_PG = rloo(rewards_PG - coefficient * experience.per_prompt(experience.kl_N))
    if config.normalize_advantages:
        advantages_PG = (advantages_PG - advantages_PG.mean()) / (advantages_PG.std() + 1e-4)
    return Credit(experience.per_token(advantages_PG))


class RLOOTrainer(OnlineTrainer):
    """Trains on prompts: it samples answers, has them rewarded, and makes likelier what beat the others.

    Constructs like TRL's; see `OnlineTrainer`.
    """

    method = method(RLOOConfig)
    online = Online(advantages, OF_GROUPS)
