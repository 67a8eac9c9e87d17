"""Bootstrap over policies and episodes at once, and the noise floor: what a perfect world would score with the same sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.evaluation.correlation import pearson, spearman
from core.evaluation.intervals import Interval
from robotics.trust.outcomes import Outcomes
from robotics.trust.ranking import Ties, mmrv

DRAWS = 1000
BAND = (5.0, 95.0)
"""Percentiles of the noise floor's band."""
MINIMUM_POLICIES = 3
"""Two policies correlate by plus or minus one, whatever the world is worth."""

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(world, true) success rates (..., P) -> figures (...)."""


def statistics(ties: Ties) -> dict[str, Statistic]:
    """The three figures of agreement by name."""
    return {"pearson": pearson, "spearman": spearman, "mmrv": lambda world, true: mmrv(world=world, true=true, ties=ties)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Resampled:
    """Success rates float (R, P) of resampled policies, in MuJoCo and in the world, both from the same resampled episodes.

    Policies and episodes are drawn independently with replacement, and an episode is drawn for all policies together (the
    two-way bootstrap of crossed factors: Owen 2007, arXiv 0706.3101). It holds what happens with other policies and resets.
    """

    outcomes: Outcomes
    true: np.ndarray
    world: np.ndarray

    @classmethod
    def draw(cls, outcomes: Outcomes, draws: int = DRAWS, seed: int = 0) -> Resampled:
        rng = np.random.default_rng(seed)
        policies, episodes = outcomes.true.shape
        rows = rng.integers(policies, size=(draws, policies))
        weights = rng.multinomial(episodes, np.full(episodes, 1 / episodes), size=draws)
        true, world = (np.take_along_axis(weights @ t.T.astype(int), rows, 1) for t in (outcomes.true, outcomes.world))
        return cls(outcomes=outcomes, true=true / episodes, world=world / episodes)  # counts first: equal rates stay equal

    def interval(self, statistic: Statistic) -> Interval:
        """The figure of the whole table, with the 95 % percentile interval; NaN where too few policies tell."""
        value = float(statistic(self.outcomes.world.mean(1), self.outcomes.true.mean(1)))
        found = statistic(self.world, self.true)
        found = found[np.isfinite(found)]
        low, high = np.percentile(found, [2.5, 97.5]) if len(found) and np.isfinite(value) else (np.nan, np.nan)
        return Interval(value, float(low), float(high), len(self.outcomes.policies))


@dataclass(frozen=True, slots=True)
class Band:
    """Where a figure lies by chance alone."""

    mean: float
    low: float
    high: float


def noise_floor(rates: np.ndarray, episodes: int, ties: Ties = "simpler", draws: int = DRAWS, seed: int = 0) -> dict[str, Band]:
    """What a perfect world scores on `episodes` episodes of each policy: `pearson`, `spearman` and `mmrv` with 5-95 % bands.

    `rates` float (P,): true success rates. Both worlds draw binomially at these rates and independently of each other, so the
    floor knows no pairing: a world that follows single episodes can beat it.
    """
    rng = np.random.default_rng(seed)
    world, true = rng.binomial(episodes, rates, size=(2, draws, len(rates))) / episodes
    return {name: _band(statistic(world, true)) for name, statistic in statistics(ties).items()}


def _band(found: np.ndarray) -> Band:
    found = found[np.isfinite(found)]
    if len(found) == 0:
        return Band(np.nan, np.nan, np.nan)
    low, high = np.percentile(found, BAND)
    return Band(float(found.mean()), float(low), float(high))
