"""PPO's critic, made of what it was given."""

import copy
from typing import Any

from torch import nn

from accord.policy.forward import causal_lm
from accord.policy.reward_model import load_reward_model
from accord.policy.rewards import gives_rewards
from accord.policy.values import SeparateCritic, ValueHead


def critic_for(policy: nn.Module, given: Any, args: Any) -> nn.Module:
    """A linear head on the policy's trunk, or (`args.critic` "separate") a model of its own.

    given  a model with one score that the critic begins as, its folder or name; None for the policy itself, as it was
           loaded, with a fresh head. A model is copied: it may be what gives the rewards, and must not learn

    Raises ValueError where the two do not go together.
    """
    inner = causal_lm(policy)
    if args.critic == "shared":
        if given is not None:
            raise ValueError("a critic was given, and args.critic is shared: use critic separate, or give none")
        return ValueHead(inner.config.get_text_config().hidden_size)
    if isinstance(given, nn.Module):
        model = copy.deepcopy(causal_lm(given))
    elif name := inner.config._name_or_path if given is None else given:
        heads = 1 if given is None else None
        model = causal_lm(load_reward_model(name, heads=heads, seed=args.seed, trainable=True).model)
    else:
        raise ValueError("critic separate: the policy was not loaded from anywhere, so give a critic")
    if not gives_rewards(model):
        raise ValueError(f"critic: a {type(model).__name__} has no head called score: pass a reward model")
    return SeparateCritic(model.train().requires_grad_(True))
