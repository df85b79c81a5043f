"""A distribution in a few numbers, so that a report can draw it without the data."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def histogram(bins: int = 24, **named: ArrayLike) -> dict[str, Any]:
    """Counts of several samples over the same equal bins: {"edges": [bins + 1], NAME: [bins], …}.

    The bins span the middle 98 % of all numbers, zero included; what lies outside is counted in the outermost bins.
    """
    samples = {name: np.asarray(values, dtype=np.float64).ravel() for name, values in named.items()}
    together = np.concatenate([*samples.values(), [0.0]])
    low, high = np.quantile(together, [0.01, 0.99])
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        low, high = -1.0, 1.0
    edges = np.linspace(low, high, bins + 1)
    counts = {name: np.histogram(np.clip(values, low, high), edges)[0].tolist() for name, values in samples.items()}
    return {"edges": edges.tolist(), **counts}
