"""How much desirable and undesirable examples count, where there are more of the one than of the other."""

import logging
from collections.abc import Sequence

from accord.trainers.examples import Example
from accord.trainers.kto_config import KTOConfig

log = logging.getLogger(__name__)


#: The KTO paper keeps λ_D·n_D / (λ_U·n_U) from 1 to 4/3; TRL warns beyond the same interval.
MOST = 4 / 3


def side_weights(config: KTOConfig, examples: Sequence[Example]) -> tuple[float, float]:
    """λ_D and λ_U: with `balance_weights` such that λ_D·n_D = λ_U·n_U, by raising that of the side with fewer examples.

    n is the sum of the weights of a side's examples; one with p between 0 and 1 counts on both. Without
    `balance_weights` they stand as given, with a warning where the paper would have others.
    """
    desirable, undesirable = config.desirable_weight, config.undesirable_weight
    n_desirable = sum(e.weight * e.p for e in examples)
    n_undesirable = sum(e.weight * (1 - e.p) for e in examples)
    if not (n_desirable and n_undesirable):
        _one_sided(config, examples, "undesirable" if n_desirable else "desirable")
        return desirable, undesirable
    ratio = desirable * n_desirable / (undesirable * n_undesirable)
    if config.balance_weights:
        fewer_desirable = n_desirable < n_undesirable
        return (desirable / ratio, undesirable) if fewer_desirable else (desirable, undesirable * ratio)
    if round(ratio, 2) < 1:
        advice = f"desirable_weight from {desirable / ratio:.2f} to {desirable / ratio * MOST:.2f}"
    elif round(ratio, 2) > round(MOST, 2):
        advice = f"undesirable_weight from {undesirable * ratio / MOST:.2f} to {undesirable * ratio:.2f}"
    else:
        return desirable, undesirable
    log.warning(
        f"unbalanced data: desirable_weight·n_D / (undesirable_weight·n_U) = {desirable:g}·{n_desirable:g} / "
        f"({undesirable:g}·{n_undesirable:g}) = {ratio:.2f}, and the KTO paper advises 1 to {MOST:.2f}: use {advice}, "
        "or balance_weights"
    )
    return desirable, undesirable


def _one_sided(config: KTOConfig, examples: Sequence[Example], missing: str) -> None:
    if not examples:
        return
    said = f"none of the {len(examples)} train examples is {missing}"
    if config.balance_weights:
        raise ValueError(f"balance_weights: {said}, so nothing can be balanced: add some, or leave it out")
    log.warning(f"{said}: KTO learns from both kinds")
