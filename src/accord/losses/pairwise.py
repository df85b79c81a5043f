r"""Every loss of a pair of answers under its name, and how one is evaluated: a loss's parameters say what it needs.

    chosen_logratios, rejected_logratios    log π − log π_ref, [E]
    chosen_scores, rejected_scores          f'(π/π_ref), [E]: a loss that takes these allows every f-divergence
    chosen_logps, rejected_logps            log π, [E]
    chosen_lengths, rejected_lengths        tokens, [E]
    chosen_partner, rejected_partner        what the function in `PARTNERS` finds over the whole batch, [E]
    p_chosen                                probability that people prefer chosen, [E]
    all others                              numbers of the configuration

To add a loss, write its function and put it in `LOSSES`.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from accord.losses import anchored, dpo, reference_free, transport

LOSSES: dict[str, Callable[..., Tensor]] = {
    "sigmoid": dpo.sigmoid,
    "hinge": dpo.hinge,
    "ipo": dpo.ipo,
    "exo_pair": dpo.exo_pair,
    "nca_pair": anchored.nca_pair,
    "robust": dpo.robust,
    "bco_pair": anchored.bco_pair,
    "sppo_hard": anchored.sppo_hard,
    "aot": transport.aot,
    "aot_unpaired": transport.aot_unpaired,
    "apo_zero": anchored.apo_zero,
    "apo_down": anchored.apo_down,
    "discopop": dpo.discopop,
    "sft": reference_free.sft,
    "sigmoid_norm": dpo.sigmoid_norm,
    "simpo": reference_free.simpo,
    "orpo": reference_free.orpo,
    "cpo": reference_free.cpo,
    "slic": reference_free.slic,
}

#: Losses that compare whole batches: quantities of the whole batch -> [E, 2], chosen_partner and rejected_partner.
#: They take no soft labels.
PARTNERS: dict[str, Callable[..., Tensor]] = {
    "aot": transport.aot_partners,
    "aot_unpaired": transport.aot_unpaired_partners,
}


def needs(name: str) -> frozenset[str]:
    """The names of the parameters of a loss."""
    return _parameters(LOSSES[name])


def evaluate(name: str, quantities: Mapping[str, Any]) -> Tensor:
    """The loss `name` of each pair, [E]. `quantities` may hold more than it needs; numbers left out have its defaults.

    A loss that does not take `p_chosen` itself is expected over the label: p·ℓ(chosen, rejected) + (1 − p)·ℓ(rejected,
    chosen). Both answers' quantities are then needed, also of a loss that takes only one's.
    """
    loss, p = LOSSES[name], quantities.get("p_chosen")
    if p is None or "p_chosen" in needs(name) or not takes_soft_labels(name):
        return _call(loss, quantities)
    # An order that nobody prefers may have an infinite loss, and 0·∞ is no number: the other order stands in for it.
    preferred, other = exchanged(quantities, p == 0), exchanged(quantities, p < 1)
    return p * _call(loss, preferred) + (1 - p) * _call(loss, other)


def partners(name: str, quantities: Mapping[str, Any]) -> Tensor:
    """`chosen_partner` and `rejected_partner` of each pair, the columns of [E, 2], from the quantities of the whole
    batch, for a loss in `PARTNERS`."""
    return _call(PARTNERS[name], quantities)


def exchanged(quantities: Mapping[str, Any], where: Tensor) -> dict[str, Any]:
    """The quantities, chosen and rejected in each other's place in the pairs `where`, [E]."""
    result = dict(quantities)
    for chosen in quantities:
        rejected = chosen.replace("chosen_", "rejected_")
        if chosen.startswith("chosen_") and rejected in quantities:
            result[chosen] = torch.where(where, quantities[rejected], quantities[chosen])
            result[rejected] = torch.where(where, quantities[chosen], quantities[rejected])
    return result


def takes_soft_labels(name: str) -> bool:
    """Whether `p_chosen` other than 1 has a meaning: not where batches are compared, which have no label of a pair."""
    return name not in PARTNERS


def takes_divergence(name: str) -> bool:
    """Whether the loss has a form for other divergences than the reverse KL."""
    return "chosen_scores" in needs(name)


def is_reference_free(name: str) -> bool:
    """Whether the loss does without the reference model's log-probs."""
    return not any(part in need for need in needs(name) for part in ("logratios", "scores", "reference", "partner"))


@cache
def _parameters(function: Callable[..., Tensor]) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)


def _call(function: Callable[..., Tensor], quantities: Mapping[str, Any]) -> Tensor:
    return function(**{name: quantities[name] for name in _parameters(function) & quantities.keys()})
