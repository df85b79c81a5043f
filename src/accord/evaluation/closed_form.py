r"""The closed form: what a method shall arrive at, where every completion can be listed.

max E_π[r] − β·KL(π‖π_ref) has the solution π* ∝ π_ref·exp(r/β) (Rafailov et al. 2023, arXiv:2305.18290, eq. 4). Some
methods arrive there, others have an optimum of their own; those below are exact. Distributions are tensors [Y] of the
probabilities of Y completions; `accord.evaluation.small_world` makes worlds to try them in.
"""

import torch
import torch.nn.functional as F
from scipy.optimize import brentq
from torch import Tensor

FAR = 200.0  # an outcome |x| that none reaches: σ'(x) is e⁻²⁰⁰ there


def win_rates(reference_Y: Tensor, reward_Y: Tensor) -> Tensor:
    """[Y] how many people prefer y to a draw from π_ref: E_{y'~π_ref}[P(y ≻ y')]."""
    return torch.sigmoid(reward_Y[:, None] - reward_Y) @ reference_Y


def optimum(reference_Y: Tensor, score_Y: Tensor, beta: float) -> Tensor:
    r"""[Y] the maximum of E_π[score] − β·KL(π‖π_ref): π_ref·exp(score/β), made to sum to 1.

    With the reward for a score it is π*, at which DPO and the policy of a reward model arrive. With the win rates and
    β = τ it is what IPO shall reach (Azar et al. 2023, arXiv:2310.12036, eq. 7) by whole log-ratios; see below.
    `reference_Y` need not sum to 1: one of ones gives the optimum without a reference.
    """
    return (reference_Y.log() + score_Y / beta).softmax(-1)


def optimum_forward(reference_Y: Tensor, score_Y: Tensor, beta: float) -> Tensor:
    r"""[Y] the maximum of E_π[score] − β·KL(π_ref‖π), the KL in the other direction: β·π_ref/(c − score), with the c
    that makes it sum to 1 (Grill et al. 2020, arXiv:2007.12509, the policy π̄).

    Uncorrected, k3 in the loss leads here. `reference_Y` must sum to 1.
    """

    def excess(c: float) -> float:
        return (beta * reference_Y / (c - score_Y)).sum().item() - 1

    best = int(score_Y.argmax())
    top, share = score_Y[best].item(), reference_Y[best].item()  # at the first c the best one alone has 1
    c = top + beta if share > 1 - 1e-12 else brentq(excess, top + beta * share, top + beta, xtol=1e-14)
    return beta * reference_Y / (c - score_Y)


def optimum_per_token(reference_Y: Tensor, score_Y: Tensor, lengths_Y: Tensor, beta: float) -> Tensor:
    r"""[Y] where a loss arrives that looks at log-ratios per token: π_ref·exp(|y|·(score/β + k)).

    Such a loss sets β·(log π − log π_ref)/|y| to the score plus a constant, the same for all; k is the one with which
    probabilities sum to 1. IPO as it is run arrives there, with the win rates and β = τ. Where all completions have
    one length it is `optimum` of β/|y|; else k, too, makes long ones likelier, or less likely.
    """

    def log_total(k: float) -> float:
        return (reference_Y.log() + lengths_Y * (score_Y / beta + k)).logsumexp(-1).item()

    bound = score_Y.abs().max().item() / beta + 1
    k = brentq(log_total, -bound, bound, xtol=1e-14)
    return reference_Y * torch.exp(lengths_Y * (score_Y / beta + k))


def kto_optimum(
    reference_Y: Tensor,
    p_desirable_Y: Tensor,
    beta: float,
    *,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
    reference_point: float | None = None,
) -> Tensor:
    r"""[Y] where KTO arrives, each completion shown as often as π_ref draws it: with x = β(log π/π_ref − z₀).

    With σ for value and s = λ_D·p − λ_U·(1 − p) the loss is a constant less E_{π_ref}[s·σ(x)]. Where s ≤ 0 nothing
    keeps π from 0. The others share out a sum of 1: by Lagrange s·σ'(x)·π_ref/π is the same for all of them, or

        log s + log σ'(x) − x/β = c.

    The left falls in x if β < 1, so that c gives x, and x gives π ∝ π_ref·exp(x/β). What is left to find is c:
    z₀ = KL(π‖π_ref) says that E_π[x] = 0; another `reference_point` is log π/π_ref − x/β.
    As β → 0, π becomes π_ref·max(s, 0), made to sum to 1.
    """
    if not 0 < beta < 1:
        raise ValueError(f"beta is {beta}: KTO's optimum is known for values between 0 and 1")
    s_Y = desirable_weight * p_desirable_Y - undesirable_weight * (1 - p_desirable_Y)
    kept_Y = s_Y > 0
    if not kept_Y.any():
        raise ValueError("no completion is desirable: KTO then only pushes away, and arrives nowhere")
    log_s, log_reference = s_Y[kept_Y].log(), reference_Y[kept_Y].log()

    def outcomes(c: float) -> Tensor:
        low, high = torch.full_like(log_s, -FAR), torch.full_like(log_s, FAR)
        for _ in range(60):
            x = (low + high) / 2
            beyond = log_s + F.logsigmoid(x) + F.logsigmoid(-x) - x / beta > c
            low, high = torch.where(beyond, x, low), torch.where(beyond, high, x)
        return low

    def excess(c: float) -> float:
        x = outcomes(c)
        log_shares = log_reference + x / beta
        if reference_point is None:
            return (log_shares.softmax(-1) @ x).item()
        return log_shares.logsumexp(-1).item() + reference_point

    found_Y = torch.zeros_like(reference_Y)
    c = brentq(excess, -FAR / 2 / beta, FAR / 2 / beta, xtol=1e-12)
    found_Y[kept_Y] = (log_reference + outcomes(c) / beta).softmax(-1)
    return found_Y


def total_variation(p_Y: Tensor, q_Y: Tensor) -> float:
    """½·Σ|p − q|, in [0, 1]: the most by which the two can differ on how likely anything is."""
    return (p_Y - q_Y).abs().sum().item() / 2


def kl(p_Y: Tensor, q_Y: Tensor) -> float:
    """KL(p‖q) = Σ p·log(p/q) in nats; infinite where q lacks what p has."""
    return (torch.xlogy(p_Y, p_Y) - torch.xlogy(p_Y, q_Y)).sum().item()
