"""PPO's critic, made of what it was given."""

from typing import Any

from torch import nn

from accord.policy.forward import causal_lm
from accord.policy.reward_model import load_reward_model
from accord.policy.rewards import gives_rewards
from accord.policy.values import SeparateCritic, ValueHead


def critic_for(policy: nn.Module, given: Any, args: Any) -> nn.Module:
    """A linear head on the policy's trunk, or (`args.critic` "separate") a model of its own.

    given  a model with one score that the critic begins as, its folder or name; None for the policy itself, as it was
           loaded, with a fresh head

    Raises ValueError where the two do not go together.
    """
    inner = causal_lm(policy)
    if args.critic == "shared":
        if given is not None:
            raise ValueError("a critic was given, and args.critic is shared: use critic separate, or give none")
        return ValueHead(inner.config.get_text_config().hidden_size)
    name = inner.config._name_or_path if given is None else given
    if not isinstance(name, nn.Module):
        if not name:
            raise ValueError("critic separate: the policy was not loaded from anywhere, so give a critic")
        name = load_reward_model(name, heads=1 if given is None else None, seed=args.seed, trainable=True).model
    if not gives_rewards(causal_lm(name)):
        raise ValueError(f"critic: a {type(name).__name__} has no head called score: pass a reward model")
    return SeparateCritic(causal_lm(name).train().requires_grad_(True))
