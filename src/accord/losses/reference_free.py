r"""Losses without a reference model: the policy's log-probs themselves are the rewards.

`chosen_logps`, `rejected_logps`, [E], are log π(y|x), summed over the tokens; `chosen_lengths`, `rejected_lengths`,
[E], the numbers of tokens |y|; the result is one value a pair, [E]. Where a paper adds the negative log-likelihood of
the chosen answer, it is `sft`: the mean over that answer's tokens.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from accord.losses.dpo import sigmoid


def sft(chosen_logps: Tensor, chosen_lengths: Tensor) -> Tensor:
    """−log π(chosen)/|chosen|: the mean over the tokens of each answer, so that every pair weighs alike (RPO, Pang et
    al. 2024, arXiv:2404.19733, eq. 1; MPO, Wang et al. 2024, arXiv:2411.10442). TRL takes the mean over the tokens of
    the whole batch, where long answers weigh more."""
    return -chosen_logps / chosen_lengths


def simpo(
    chosen_logps: Tensor,
    rejected_logps: Tensor,
    chosen_lengths: Tensor,
    rejected_lengths: Tensor,
    *,
    beta: float = 2.0,
    simpo_gamma: float = 0.5,
) -> Tensor:
    """−log σ(β·(log π(c)/|c| − log π(r)/|r|) − γ): mean log-probs, as in generation, and a margin γ to be won by
    (SimPO, Meng et al. 2024, arXiv:2405.14734, eq. 6). TRL's loss adds `cpo_alpha` times `sft`.

    With soft labels the margin goes to whichever order is right: p·ℓ(c, r) + (1 − p)·ℓ(r, c). TRL's `label_smoothing`
    keeps it on the chosen's side also where the label is wrong, so that p = ½ would push: it is not taken here.
    """
    chosen, rejected = chosen_logps / chosen_lengths, rejected_logps / rejected_lengths
    return -F.logsigmoid(beta * (chosen - rejected) - simpo_gamma)


def orpo(
    chosen_logps: Tensor,
    rejected_logps: Tensor,
    chosen_lengths: Tensor,
    rejected_lengths: Tensor,
    *,
    beta: float = 0.1,
) -> Tensor:
    """NLL(c) − β·log σ(log odds(c) − log odds(r)), with odds P/(1 − P) of P = exp(log π(y)/|y|) (ORPO, Hong et al.
    2024, arXiv:2403.07691, eq. 6–7; β is their λ).

    NLL is `sft`, of the answer alone; TRL's is of prompt and answer.
    """
    chosen, rejected = log_odds(chosen_logps / chosen_lengths), log_odds(rejected_logps / rejected_lengths)
    return sft(chosen_logps, chosen_lengths) - beta * F.logsigmoid(chosen - rejected)


def cpo(
    chosen_logps: Tensor,
    rejected_logps: Tensor,
    chosen_lengths: Tensor,
    *,
    beta: float = 0.1,
    cpo_alpha: float = 1.0,
    label_smoothing: float = 0.0,
) -> Tensor:
    """−log σ(β·(log π(c) − log π(r))) + α·NLL(c): DPO's loss under a uniform reference, kept near the data (CPO, Xu et
    al. 2024, arXiv:2401.08417). α = `cpo_alpha`; `label_smoothing` is of the first term, as in `dpo.sigmoid`.
    NLL is `sft`."""
    preference = sigmoid(chosen_logps, rejected_logps, beta=beta, label_smoothing=label_smoothing)
    return preference + cpo_alpha * sft(chosen_logps, chosen_lengths)


def slic(
    chosen_logps: Tensor,
    rejected_logps: Tensor,
    chosen_lengths: Tensor,
    *,
    slic_delta: float = 1.0,
    slic_lambda: float = 0.5,
) -> Tensor:
    """max(0, δ − log π(c) + log π(r)) + λ·NLL(c): the chosen shall be likelier by δ nats (SLiC-HF, Zhao et al. 2023,
    arXiv:2305.10425).

    Their regularising target, the answer that the model was fine-tuned on, is the chosen one here. NLL is `sft`.
    """
    hinge = torch.relu(slic_delta - (chosen_logps - rejected_logps))
    return hinge + slic_lambda * sft(chosen_logps, chosen_lengths)


def log_odds(mean_logps: Tensor) -> Tensor:
    """log(P/(1 − P)) of P = exp(mean log-prob). P is held a rounding error below 1, where the odds are infinite."""
    logs = mean_logps.clamp(max=-torch.finfo(mean_logps.dtype).eps)
    return logs - torch.log(-torch.expm1(logs))
