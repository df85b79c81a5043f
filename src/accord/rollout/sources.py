"""What people give a trainer as its reward, brought to one source."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from accord.feedback import AccordError
from accord.policy.forward import causal_lm
from accord.policy.load import load_tokenizer
from accord.policy.reward_model import has_saved_heads, load_reward_model
from accord.policy.rewards import gives_rewards
from accord.rollout.rewards import Function, Mixture, RewardModel, RewardSource

#: A source; a Python function; a reward model, loaded or by its folder or name.
RewardLike = RewardSource | Callable[..., Any] | nn.Module | str | Path


def source_of(
    rewards: RewardLike | Sequence[RewardLike],
    weights: Sequence[float] | None = None,
    *,
    tokenizers: Any = None,
    disagreement_penalty: float = 0.0,
    options: Mapping[str, Any] | None = None,
) -> RewardSource:
    """One source of all `rewards`, weighted.

    tokenizers            of reward models that are given loaded: one, or one for each of `rewards`; None for their own
    disagreement_penalty  of every reward model that is loaded here (see `RewardModel`)
    options               of those models: see `reward_rows`
    """
    given = list(rewards) if isinstance(rewards, list | tuple) else [rewards]
    if not given:
        raise AccordError("reward_funcs: nothing gives a reward: pass a function, a reward model's folder, or a source")
    each = list(tokenizers) if isinstance(tokenizers, list | tuple) else [tokenizers] * len(given)
    if len(each) != len(given):
        raise AccordError(f"reward_processing_classes: {len(each)} for {len(given)} sources: give one for each")
    sources = [_source(one, tokenizer, disagreement_penalty, options or {}) for one, tokenizer in zip(given, each)]  # noqa: B905
    if weights is not None and len(weights) != len(sources):
        raise AccordError(f"reward_weights: {len(weights)} weights for {len(sources)} sources: give one for each")
    if len(sources) == 1 and weights in (None, [1.0]):
        return sources[0]
    return Mixture(list(zip(weights or [1.0] * len(sources), sources, strict=True)))


def reward_models(source: RewardSource) -> list[RewardModel]:
    """The reward models in a source: what has to be moved to a device."""
    parts = [each for _, each in source.weighted] if isinstance(source, Mixture) else [source]
    return [part for part in parts if isinstance(part, RewardModel)]


def _source(one: Any, tokenizer: Any, penalty: float, options: Mapping[str, Any]) -> RewardSource:
    if isinstance(one, str | Path):
        loaded = load_reward_model(one)
        if not has_saved_heads(loaded.model):
            raise AccordError(f"{one}: a language model, which gives no rewards; train a reward model: `accord reward`")
        return RewardModel(loaded.model, loaded.tokenizer, Path(one).name, penalty, options)
    if isinstance(one, nn.Module):
        if not gives_rewards(causal_lm(one)):
            raise AccordError(f"reward_funcs: a {type(one).__name__} gives no rewards: it has no head called score")
        name = causal_lm(one).config._name_or_path
        return RewardModel(one, tokenizer or load_tokenizer(name), Path(name).name or "reward_model", penalty, options)
    if isinstance(getattr(one, "name", None), str):
        return one
    if callable(one):
        return Function(one)
    raise AccordError(f"reward_funcs: a {type(one).__name__} gives no rewards: pass a function, a folder or a source")
