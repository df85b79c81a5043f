"""The loss of methods that sample: one surrogate of the tokens drawn, and the critic's loss where there is one."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from accord.losses.advantages import sums
from accord.losses.policy_gradient import kl_penalty, surrogate, value
from accord.policy.forward import Asked
from accord.trainers.objective import Method, Metric, Objective, mean
from accord.trainers.online_config import OnlineConfig
from accord.trainers.online_metrics import Names, named
from accord.trainers.scored import Scored, Wanted, read_tokens


def method(config: type[OnlineConfig]) -> Method:
    """What all these methods give the base trainer: they differ in their configurations."""
    return Method(config, (), "", _no_rows, lambda config, examples: online_objective(config, {}), read=read_tokens)


def online_objective(config: Any, names: Names, warming: bool = False) -> Objective:
    """Σ inside·(surrogate + vf_coef·value loss) / Σ units (see `accord.losses.policy_gradient.Share`).

    warming  whether only the critic learns yet
    """
    settings = config.surrogate()
    has_critic = settings.vf_coef > 0
    asked = Asked("entropy", values=has_critic, detached=warming, temperature=config.temperature)

    def olds(scored: Scored) -> Tensor:
        """[N] log-probs of the policy that sampled."""
        return scored.token("logps") if config.updates > 1 else scored.tokens.logps_N.detach()  # type: ignore[union-attr]

    def terms(scored: Scored):
        """[N] losses of the policy, how far it moved, and the value loss or None."""
        tokens = scored.tokens
        assert tokens is not None  # read_tokens gives them
        old_logps_N = olds(scored)
        reference_N = scored.token("reference_logps") if settings.beta else None
        advantages_N = scored.token("advantages")
        policy_N, moved = surrogate(settings, tokens.logps_N, old_logps_N, advantages_N, tokens.lengths_E, reference_N)
        if tokens.values_N is None:
            return policy_N, moved, None
        found = value(
            tokens.values_N, scored.token("values"), scored.token("returns"), cliprange=settings.cliprange_value
        )
        return policy_N, moved, found

    def losses(scored: Scored) -> Tensor:
        policy_N, _, critic = terms(scored)
        total_N = policy_N * (not warming)
        if critic is not None:
            total_N = total_N + settings.vf_coef * critic.loss
        return sums(total_N, scored.tokens.lengths_E) * scored.number("inside")  # type: ignore[union-attr]

    @torch.no_grad()
    def metrics(scored: Scored, losses_E: Tensor) -> dict[str, Metric]:
        policy_N, moved, critic = terms(scored)
        tokens = scored.tokens
        assert tokens is not None and tokens.entropies_N is not None  # noqa: PT018 - both were asked for
        counted_E = (scored.number("inside") > 0).float()
        learnt = partial(mean, where=counted_E.repeat_interleave(tokens.lengths_E))
        # Above tokens, a ratio is a completion's: each counts once, whatever its length.
        once_E = counted_E if settings.level == "token" else counted_E / tokens.lengths_E
        of_ratios = partial(mean, where=once_E.repeat_interleave(tokens.lengths_E))
        found = {
            "entropy": learnt(tokens.entropies_N),
            "approx_kl": of_ratios(moved.approx_kl),
            "low": of_ratios(moved.low),
            "high": of_ratios(moved.high),
            "region": of_ratios(moved.low + moved.high),
            "ratio": of_ratios(moved.ratio),
            "policy_loss": learnt(policy_N),
        }
        if settings.beta:
            kl_N = kl_penalty(settings, tokens.logps_N, olds(scored), tokens.lengths_E, scored.token("reference_logps"))
            found["kl_in_loss"] = learnt(kl_N)
        if config.updates == 1:
            found["sampling/logp_difference"] = mean((scored.token("sampled") - tokens.logps_N).abs())
        if critic is not None:
            found |= {"value_loss": mean(critic.loss), "value_clipped": mean(critic.clipped)}
        return named(names, found)

    return Objective(
        losses,
        units=lambda example: example.numbers["units"],
        metrics=metrics,
        reference=False,
        wanted=Wanted(asked=asked),
    )


def _no_rows(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """These methods read prompts: see `accord.trainers.prompts`."""
    raise TypeError("prompts are not read as rows of completions")
