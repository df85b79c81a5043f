"""How sure a figure is: percentile bootstrap over prompts.

Examples that share a prompt are not independent, so whole prompts are drawn, never single examples. Two statistics of
the same examples with the same seed see the same draws, so their difference is a paired one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

RESAMPLES = 2000
LEVEL = 0.95
CHUNK = 4_000_000  # numbers held at a time


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95 % interval. The bounds are NaN where one prompt alone stands behind it."""

    value: float
    low: float
    high: float

    def above(self, x: float) -> bool:
        """Whether the whole interval lies above `x`."""
        return self.low > x

    def below(self, x: float) -> bool:
        """Whether the whole interval lies below `x`."""
        return self.high < x

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def bootstrap(
    statistic: Callable[[Floats], Floats],
    sums_NK: ArrayLike,
    clusters_N: Sequence[str] | ArrayLike | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """`statistic` of the summed columns of `sums_NK`, with its percentile interval.

    statistic   [..., K] → [...]: whatever can be said from sums (a mean is Σwx / Σw)
    clusters_N  which examples go together (prompt ids); each alone where None

    Efron & Tibshirani 1993, ch. 13; clusters as in Miller 2024 ("Adding error bars to evals"), section 2.2.
    """
    sums_NK = np.asarray(sums_NK, dtype=np.float64)
    sums_CK = _sum_by(sums_NK, cluster_index(clusters_N, len(sums_NK)))
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(statistic(sums_CK.sum(0)))
        drawn = [statistic(counts_BC @ sums_CK) for counts_BC in draws(len(sums_CK), seed, resamples)]
    return percentiles(value, np.concatenate(drawn) if drawn else np.empty(0))


def weighted_mean(x_N: ArrayLike, weights_N: ArrayLike, clusters_N=None, *, seed: int = 0) -> Interval:
    """Σwx / Σw with its interval."""
    x_N, weights_N = np.asarray(x_N, dtype=np.float64), np.asarray(weights_N, dtype=np.float64)
    return bootstrap(ratio, np.stack([weights_N * x_N, weights_N], -1), clusters_N, seed=seed)


def proportion(x_N: ArrayLike, weights_N: ArrayLike, clusters_N=None, *, seed: int = 0) -> Interval:
    """The mean of numbers in [0, 1].

    Where all of them are 1 (or 0) every draw agrees and the bootstrap would claim certainty; the bound is then
    Clopper and Pearson's for n prompts: (1 − 0.95)/2 = lowⁿ.
    """
    x_N = np.asarray(x_N, dtype=np.float64)
    found = weighted_mean(x_N, weights_N, clusters_N, seed=seed)
    counted = x_N[np.asarray(weights_N) > 0]
    unanimous = len(counted) > 0 and np.all(counted == counted[0]) and counted[0] in (0.0, 1.0)
    if not unanimous:
        return found
    prompts = int(cluster_index(clusters_N, len(x_N)).max()) + 1
    low = ((1 - LEVEL) / 2) ** (1 / prompts)
    return Interval(1.0, low, 1.0) if counted[0] else Interval(0.0, 0.0, 1 - low)


def ratio(sums: Floats) -> Floats:
    """The first column's sum over the second's."""
    return sums[..., 0] / sums[..., 1]


def cluster_index(clusters_N, n: int) -> NDArray[np.intp]:
    """A number 0 … C−1 for each example, equal where the examples go together."""
    if clusters_N is None:
        return np.arange(n)
    if len(clusters_N) != n:
        raise ValueError(f"{len(clusters_N)} prompt ids for {n} examples; give one for each")
    return np.unique(np.asarray(clusters_N), return_inverse=True)[1]


def draws(clusters: int, seed: int, resamples: int = RESAMPLES) -> Iterator[NDArray[np.int64]]:
    """How often each of C clusters is drawn in each of the resamples: arrays [B, C], B of them at a time.

    Nothing for fewer than two clusters, which cannot tell how they vary.
    """
    if clusters < 2:
        return
    random = np.random.default_rng(seed)
    at_once = max(1, CHUNK // clusters)
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = random.integers(clusters, size=(rows, clusters)) + clusters * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * clusters).reshape(rows, clusters)


def percentiles(value: float, drawn: Floats) -> Interval:
    """`value` with the middle 95 % of what was drawn."""
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return Interval(value, np.nan, np.nan)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def _sum_by(sums_NK: Floats, index_N: NDArray[np.intp]) -> Floats:
    return np.stack([np.bincount(index_N, weights=column) for column in sums_NK.T], -1)
