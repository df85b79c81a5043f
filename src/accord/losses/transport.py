r"""Alignment via Optimal Transport (Melnyk et al. 2024, arXiv:2406.05882): DPO on sorted batches.

The distribution of the chosen's log-ratios shall lie above the rejected's at every quantile. In one dimension optimal
transport is sorting: the k-th smallest of one side is compared with the k-th smallest of the other, over the whole
batch. A batch may be trained on in parts, so whom each answer is compared with, its partner, is found beforehand, for
the whole batch and without gradient. Sums over all pairs are then those of the sorted loss, in value and gradient.

A distribution has no soft labels: those of the pairs are lost in sorting.
"""

import torch
from torch import Tensor

from accord.losses.dpo import sigmoid


def aot(
    chosen_logps: Tensor,
    rejected_logps: Tensor,
    chosen_partner: Tensor,
    rejected_partner: Tensor,
    *,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
) -> Tensor:
    """DPO's loss with another pair's reference: that of the same rank, [E] (AOT paired; section 3).

    chosen_logps, rejected_logps        log π, [E]
    chosen_partner, rejected_partner    log π_ref of both answers of the partner, [E], see `aot_partners`
    """
    chosen, rejected = chosen_logps - chosen_partner, rejected_logps - rejected_partner
    return sigmoid(chosen, rejected, beta=beta, label_smoothing=label_smoothing)


def aot_partners(
    chosen_logps: Tensor, rejected_logps: Tensor, chosen_reference: Tensor, rejected_reference: Tensor
) -> Tensor:
    """The reference's log-probs of the pair that is in the reference's order of log π_ref(chosen) − log π_ref(rejected)
    where this one is in the policy's: [E, 2], columns chosen and rejected. All arguments are of the whole batch."""
    partner = same_rank(chosen_logps - rejected_logps, chosen_reference - rejected_reference)
    return torch.stack([chosen_reference, rejected_reference], 1)[partner]


def aot_unpaired(
    chosen_logratios: Tensor,
    rejected_logratios: Tensor,
    chosen_partner: Tensor,
    rejected_partner: Tensor,
    *,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
) -> Tensor:
    """DPO's loss of each chosen answer with the rejected one of the same rank, [E] (AOT unpaired; section 3).

    Each comparison stands in two pairs, that of its chosen and that of its rejected answer. Its value is counted with
    the first; its gradient reaches each answer in the answer's own pair.

    chosen_logratios, rejected_logratios    log π − log π_ref, [E]
    chosen_partner, rejected_partner        what each is compared with, [E], see `aot_unpaired_partners`
    """
    as_chosen = sigmoid(chosen_logratios, chosen_partner, beta=beta, label_smoothing=label_smoothing)
    as_rejected = sigmoid(rejected_partner, rejected_logratios, beta=beta, label_smoothing=label_smoothing)
    return as_chosen + as_rejected - as_rejected.detach()


def aot_unpaired_partners(chosen_logratios: Tensor, rejected_logratios: Tensor) -> Tensor:
    """The rejected log-ratio of the chosen's rank and the chosen log-ratio of the rejected's rank: [E, 2], columns
    chosen_partner and rejected_partner. Both arguments are of the whole batch."""
    chosen_partner = rejected_logratios[same_rank(chosen_logratios, rejected_logratios)]
    rejected_partner = chosen_logratios[same_rank(rejected_logratios, chosen_logratios)]
    return torch.stack([chosen_partner, rejected_partner], 1)


def same_rank(values: Tensor, others: Tensor) -> Tensor:
    """For each of `values`, the place of the one in `others` with the same rank: [E], a permutation."""
    places = torch.empty_like(values, dtype=torch.long)
    places[values.argsort()] = others.argsort()
    return places
