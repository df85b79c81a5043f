r"""Losses that hold each answer's own reward against a fixed point, and not only one answer against the other.

DPO's margin grows also when both answers become less likely. These losses say where each of them shall go.
`chosen_logratios` and `rejected_logratios`, [E], are log π − log π_ref; the result is one value a pair, [E].
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def nca_pair(chosen_logratios: Tensor, rejected_logratios: Tensor, *, beta: float = 0.1) -> Tensor:
    """−log σ(r_c) − ½·log σ(−r_c) − ½·log σ(−r_r), with r = β·log-ratio (Chen et al. 2024, arXiv:2402.05369, with
    two answers and a hard label). The expectation over a soft label is its form with soft labels."""
    chosen, rejected = beta * chosen_logratios, beta * rejected_logratios
    return -F.logsigmoid(chosen) - (F.logsigmoid(-chosen) + F.logsigmoid(-rejected)) / 2


def bco_pair(chosen_logratios: Tensor, rejected_logratios: Tensor, *, beta: float = 0.1) -> Tensor:
    """−log σ(r_c) − log σ(−r_r): is this answer a chosen one? (Jung et al. 2024, arXiv:2404.04656). Their shift δ of
    the rewards is left out, as in TRL: in a pair both answers have the same prompt."""
    return -F.logsigmoid(beta * chosen_logratios) - F.logsigmoid(-beta * rejected_logratios)


def sppo_hard(chosen_logratios: Tensor, rejected_logratios: Tensor, *, beta: float = 0.1) -> Tensor:
    """(log-ratio_c − 1/2β)² + (log-ratio_r + 1/2β)² (Wu et al. 2024, arXiv:2405.00675, eq. 4.7; β is their 1/η).

    Their P(y wins), soft in the paper, is 1 and 0 here. With a soft label p the expected loss is least where theirs
    is: at the log-ratios (p − ½)/β and (½ − p)/β.
    """
    return (chosen_logratios - 0.5 / beta) ** 2 + (rejected_logratios + 0.5 / beta) ** 2


def apo_zero(chosen_logratios: Tensor, rejected_logratios: Tensor, *, beta: float = 0.1) -> Tensor:
    """1 − σ(r_c) + σ(r_r): chosen up, rejected down, for answers better than the model's own (D'Oosterlinck et al.
    2024, arXiv:2408.06266, eq. 7)."""
    return torch.sigmoid(-beta * chosen_logratios) + torch.sigmoid(beta * rejected_logratios)


def apo_down(chosen_logratios: Tensor, rejected_logratios: Tensor, *, beta: float = 0.1) -> Tensor:
    """σ(r_c) + 1 − σ(r_c − r_r): both down, the rejected more, for answers worse than the model's own (D'Oosterlinck
    et al. 2024, arXiv:2408.06266, eq. 8)."""
    margins = beta * (chosen_logratios - rejected_logratios)
    return torch.sigmoid(beta * chosen_logratios) + torch.sigmoid(-margins)
