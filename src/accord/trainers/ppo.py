"""Proximal policy optimization: a critic says what was expected of each token, and a clip keeps steps small."""

from dataclasses import dataclass, field

from accord.losses.advantages import Credit, gae, whiten
from accord.losses.policy_gradient import Surrogate
from accord.trainers.experience import Experience
from accord.trainers.online import Online, OnlineTrainer
from accord.trainers.online_config import OnlineConfig
from accord.trainers.online_metrics import OF_PPO
from accord.trainers.online_objective import method


@dataclass
class PPOConfig(OnlineConfig):
    """Configuration of `PPOTrainer`; names and defaults are those of the last TRL that had PPO, where it had them."""

    learning_rate: float = field(default=3e-6, metadata={"help": "The initial learning rate."})
    num_generations: int = field(default=1, metadata={"help": "Completions of each prompt in a rollout."})
    num_ppo_epochs: int = field(default=4, metadata={"help": "How often each rollout is trained on."})
    num_mini_batches: int = field(default=1, metadata={"help": "Optimizer batches in a rollout."})
    kl_coef: float = field(default=0.05, metadata={"help": "What a nat of KL from the reference costs, in rewards."})
    kl_target: float | None = field(
        default=None, metadata={"help": "Nats a completion that kl_coef is steered towards. Default: it stays."}
    )
    kl_horizon: int = field(
        default=10_000, metadata={"help": "Completions over which kl_coef follows kl_target; more is slower."}
    )
    cliprange: float = field(default=0.2, metadata={"help": "How far a ratio may move from 1."})
    cliprange_value: float | None = field(
        default=0.2, metadata={"help": "How far a value may move from the old one; none for no limit."}
    )
    vf_coef: float = field(default=0.1, metadata={"help": "What the value loss counts beside the policy's."})
    gamma: float = field(default=1.0, metadata={"help": "What a later token's reward counts, for each token between."})
    lam: float = field(default=0.95, metadata={"help": "λ of generalised advantage estimation."})
    whiten_rewards: bool = field(
        default=False, metadata={"help": "Divide tokens' rewards by their standard deviation over the rollout."}
    )
    critic: str = field(
        default="shared",
        metadata={"help": "`shared`: a linear head on the policy's hidden states; `separate`: a model of its own."},
    )
    critic_warmup_steps: int = field(
        default=0, metadata={"help": "First optimizer steps in which only the critic learns."}
    )

    @property
    def mini_batches(self) -> int:
        return self.num_mini_batches

    @property
    def iterations(self) -> int:
        return self.num_ppo_epochs

    @property
    def kl_coefficient(self) -> float:
        return self.kl_coef

    @property
    def kl_horizon_gain(self) -> float | None:
        if self.kl_target is None:
            return None
        batch = self.per_device_train_batch_size * self.gradient_accumulation_steps * self.world_size
        return batch * self.mini_batches / self.kl_horizon

    def surrogate(self) -> Surrogate:
        """PPO's clipped ratio of tokens, and the value loss beside it; the mean over tokens."""
        return Surrogate(epsilon_low=self.cliprange, vf_coef=self.vf_coef, cliprange_value=self.cliprange_value)


def advantages(experience: Experience, config: PPOConfig, coefficient: float) -> Credit:
    """`gae` of each token's reward less β·(log π − log π_ref), whitened (Stiennon et al. 2020, arXiv:2009.01325;
    Ziegler et al. 2019, arXiv:1909.08593)."""
    rewards_N = experience.less_kl(coefficient)
    if config.whiten_rewards:
        rewards_N = whiten(rewards_N, shift_mean=False)
    assert experience.values_N is not None  # PPO has a critic
    found = gae(
        rewards_N,
        experience.values_N,
        experience.lengths_E,
        gamma=config.gamma,
        lam=config.lam,
        bootstrap_C=experience.bootstrap_E,
    )
    return found._replace(advantages_N=whiten(found.advantages_N))


class PPOTrainer(OnlineTrainer):
    """Trains on prompts: it samples answers, has them rewarded, and makes likelier the tokens after which more came
    than its critic expected.

    critic   a model with one score that begins as the critic, such as the reward model: its folder, its name or itself;
             None, with `args.critic` "separate", for the policy with a fresh head

    Constructs like `RLOOTrainer`; see `OnlineTrainer`.
    """

    method = method(PPOConfig)
    online = Online(advantages, OF_PPO, critic=True)
