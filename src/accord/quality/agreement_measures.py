"""The measures of agreement: each 1 − D_o / D_e, of counts x_iv: how often value v was said of item i; n_i = Σ_v x_iv.

OBSERVED   the share of pairs of votes on one item that are the same: D_e = 1, no chance taken off
NOMINAL    Krippendorff's α where answers are names
ORDINAL    Krippendorff's α where answers have an order
AC1        Gwet's AC1, which does not collapse where one answer dominates
"""

from math import isqrt

import numpy as np

from accord.quality.agreement_sums import Differences, Floats, Measure


def _pairs(x_IV: Floats) -> Floats:
    """[I, 2]: the ordered pairs of votes that agree, Σ_v x_iv (x_iv − 1), and all, n_i (n_i − 1)."""
    n_I = x_IV.sum(axis=1)
    return np.column_stack([(x_IV * (x_IV - 1)).sum(axis=1), n_I * (n_I - 1)])


def _observed(sums_S: Floats) -> Differences:
    """D_o = 1 − Σ_i Σ_v x_iv (x_iv − 1) / Σ_i n_i (n_i − 1)."""
    seen = 1 - sums_S[..., 0] / sums_S[..., 1]
    return Differences(seen, np.ones_like(seen), np.ones_like(seen))


def _nominal_sums(x_IV: Floats) -> Floats:
    """[I, 1 + V]: (n_i² − Σ_v x_iv²) / (n_i − 1), and x_iv, of items with two votes or more."""
    n_I = x_IV.sum(axis=1)
    differing_I = (n_I**2 - (x_IV**2).sum(axis=1)) / np.maximum(n_I - 1, 1)
    return np.column_stack([differing_I, x_IV]) * (n_I > 1)[:, None]


def _nominal(sums_S: Floats) -> Differences:
    """With n_v = Σ_i x_iv and n = Σ_v n_v, votes that stand alone (n_i < 2) left out:

        D_o = 1/n Σ_i (n_i² − Σ_v x_iv²) / (n_i − 1)        how often two votes on one item differ
        D_e = (n² − Σ_v n_v²) / (n (n − 1))                 how often any two votes do

    Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011.
    """
    n_V = sums_S[..., 1:]
    n = n_V.sum(axis=-1)
    by_chance = (n**2 - (n_V**2).sum(axis=-1)) / (n * (n - 1))
    return Differences(sums_S[..., 0] / n, by_chance, np.ones_like(n))


def _ordinal_sums(x_IV: Floats) -> Floats:
    """[I, V² + V]: coincidences (x_iv x_iw − [v = w] x_iv) / (n_i − 1), and x_iv, of items with two votes or more."""
    items, values = x_IV.shape
    n_I = x_IV.sum(axis=1)
    pairs_IVV = x_IV[:, :, None] * (x_IV[:, None, :] - np.eye(values))
    coincidences_IC = (pairs_IVV / np.maximum(n_I - 1, 1)[:, None, None]).reshape(items, values**2)
    return np.column_stack([coincidences_IC, x_IV]) * (n_I > 1)[:, None]


def _ordinal(sums_S: Floats) -> Differences:
    """With coincidences o_vw, n_v = Σ_w o_vw and n = Σ_v n_v, two values are as far apart as there are votes between:

        δ_vw = (Σ_{g=v..w} n_g − (n_v + n_w) / 2)² / n² = (r_v − r_w)²,    r_v = (Σ_{g≤v} n_g − n_v / 2) / n
        D_o  = 1/n Σ_vw o_vw δ_vw
        D_e  = 1/(n (n − 1)) Σ_vw n_v n_w δ_vw

    r_v is the mean rank of the votes for v, so how far the numbers of a scale are apart makes no difference.
    Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011, section D; his δ has no n², which cancels in α.
    """
    values = isqrt(sums_S.shape[-1])
    n_V = sums_S[..., values**2 :]
    coincidences_VV = sums_S[..., : values**2].reshape(*n_V.shape, values)
    n = n_V.sum(axis=-1)
    rank_V = (np.cumsum(n_V, axis=-1) - n_V / 2) / n[..., None]
    apart_VV = (rank_V[..., :, None] - rank_V[..., None, :]) ** 2
    by_chance = np.einsum("...v,...w,...vw", n_V, n_V, apart_VV) / (n * (n - 1))
    seen = np.einsum("...vw,...vw", coincidences_VV, apart_VV) / n
    used_VV = (n_V[..., :, None] > 0) & (n_V[..., None, :] > 0)
    return Differences(seen, by_chance, np.where(used_VV, apart_VV, 0).max(axis=(-2, -1)))


def _ac1_sums(x_IV: Floats) -> Floats:
    """[I, 2 + V]: p_i = Σ_v x_iv (x_iv − 1) / (n_i (n_i − 1)); 1 where n_i ≥ 2, else 0 as p_i is; x_iv / n_i."""
    n_I = x_IV.sum(axis=1)
    agreeing_I, pairs_I = _pairs(x_IV).T
    return np.column_stack([agreeing_I / np.maximum(pairs_I, 1), n_I > 1, x_IV / np.maximum(n_I, 1)[:, None]])


def _ac1(sums_S: Floats) -> Differences:
    """With q values that can be said, of which v makes up the share π_v of the I items:

        p_a = mean over items with n_i ≥ 2 of p_i            1 − D_o
        π_v = 1/I Σ_i x_iv / n_i                             votes that stand alone count here
        p_e = 1/(q − 1) Σ_v π_v (1 − π_v)                    1 − D_e: at most 1/q
        AC1 = (p_a − p_e) / (1 − p_e)

    Chance is only where votes are guesses, and these are seen where answers vary. So where nearly all votes are one
    answer AC1 nears p_a, while α, for which agreement on it could be chance, nears 0.
    Gwet, "Computing inter-rater reliability and its variance in the presence of high agreement", 2008; with
    missing votes as in his Handbook of Inter-Rater Reliability (2014).
    """
    share_V = sums_S[..., 2:] / sums_S[..., 2:].sum(axis=-1, keepdims=True)
    by_chance = 1 - (share_V * (1 - share_V)).sum(axis=-1) / (share_V.shape[-1] - 1)
    return Differences(1 - sums_S[..., 0] / sums_S[..., 1], by_chance, np.ones_like(by_chance))


OBSERVED = Measure(_pairs, _observed)
NOMINAL = Measure(_nominal_sums, _nominal)
ORDINAL = Measure(_ordinal_sums, _ordinal)
AC1 = Measure(_ac1_sums, _ac1)
