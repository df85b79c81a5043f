"""Wilson's interval against values worked out by hand, and against its own definition."""

from math import sqrt

import pytest

from accord.quality.wilson import Z, wilson


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (5, 10, 0.2366, 0.7634),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (1, 1, 0.2065, 1.0),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I
        (15, 148, 0.0624, 0.1605),  # the same
        (1, 29, 0.0061, 0.1718),  # the same
    ],
)
def test_known_intervals(k, n, low, high):
    assert wilson(k, n) == pytest.approx((low, high), abs=5e-5)


def test_the_bounds_are_as_far_as_they_are_said_to_be():
    k, n = 7, 40
    for bound in wilson(k, n):
        assert abs(k / n - bound) == pytest.approx(Z * sqrt(bound * (1 - bound) / n))


def test_no_cases_say_nothing():
    with pytest.raises(ZeroDivisionError):
        wilson(0, 0)
