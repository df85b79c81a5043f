r"""Direct Preference Optimization (Rafailov et al. 2023, arXiv:2305.18290).

The implied reward of a completion is r = β·(log π(y|x) − log π_ref(y|x)). Under Bradley–Terry the probability that
people prefer `chosen` is σ(r_chosen − r_rejected); the loss is its cross-entropy with what people said.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def sigmoid(
    chosen_logratios: Tensor,
    rejected_logratios: Tensor,
    *,
    beta: float = 0.1,
    p_chosen: Tensor | float = 1.0,
    label_smoothing: float = 0.0,
) -> Tensor:
    r"""−p·log σ(βΔ) − (1 − p)·log σ(−βΔ), with Δ the difference of the two log-ratios: one value a pair, in nats.

    With p = 1 this is DPO's eq. 7. A soft label p = `p_chosen` in [0, 1] is the probability that people prefer
    `chosen`; the loss is then least at βΔ = logit(p), so that disagreement limits how far the model is pushed.
    `label_smoothing` ε turns p into p(1 − ε) + (1 − p)ε (conservative DPO, Mitchell 2023; eq. 3 of his note).

    chosen_logratios, rejected_logratios   log π − log π_ref of each completion, [E]
    """
    logits = beta * (chosen_logratios - rejected_logratios)
    p = p_chosen * (1 - label_smoothing) + (1 - p_chosen) * label_smoothing
    return -p * F.logsigmoid(logits) - (1 - p) * F.logsigmoid(-logits)


def rewards(logratios: Tensor, beta: float) -> Tensor:
    """The implied rewards β·(log π − log π_ref), without gradient."""
    return torch.as_tensor(beta * logratios).detach()
