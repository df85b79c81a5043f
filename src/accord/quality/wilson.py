"""How sure a share is that was counted in few cases.

With k of n and p = k / n, the bounds are those p' whose distance to p is z standard errors of p':

    (p + z²/2n ± z √(p (1 − p) / n + z²/4n²)) / (1 + z²/n)

Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference". Of 3 in 3 it is not sure.
"""

from math import sqrt

Z = 1.959964  # for 95 %


def wilson(k: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share of which k in n cases were counted, some perhaps for half.

    Raises ZeroDivisionError where n is 0.
    """
    p, spread = k / n, Z**2 / n
    middle, half = p + spread / 2, Z * sqrt(p * (1 - p) / n + spread / (4 * n))
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))
