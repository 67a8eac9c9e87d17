"""95 % intervals of success rates and of their paired differences that hold at few episodes and near 0 and 1."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from core.evaluation.intervals import Interval

Z95 = NormalDist().inv_cdf(0.975)
"""Standard errors to either side of a 95 % interval."""


def wilson(successes: int, trials: int) -> Interval:
    """Success rate with Wilson's score interval (1927); NaN without a trial."""
    if trials == 0:
        return Interval(np.nan, np.nan, np.nan, 0)
    rate = successes / trials
    spread = Z95**2 / trials
    centre = (rate + spread / 2) / (1 + spread)
    half = np.sqrt(rate * (1 - rate) * spread + spread**2 / 4) / (1 + spread)
    # at 0 and at 1 the bound is the rate itself; rounding would leave it beside
    low, high = (0.0 if successes == 0 else centre - half), (1.0 if successes == trials else centre + half)
    return Interval(float(rate), float(low), float(high), trials)


def paired_difference(a: np.ndarray, b: np.ndarray) -> Interval:
    """Rate of a less that of b, bool (E,) of the same episodes; the interval is that of Agresti and Min (2005)."""
    trials = len(a)
    gained, lost = (np.count_nonzero(one & ~other) + 0.5 for one, other in ((a, b), (b, a)))  # half a pair of each kind more
    centre = (gained - lost) / (trials + 2)
    half = Z95 * np.sqrt(((gained + lost) / (trials + 2) - centre**2) / (trials + 2))
    value = (gained - lost) / trials
    return Interval(float(value), float(max(centre - half, -1.0)), float(min(centre + half, 1.0)), trials)
