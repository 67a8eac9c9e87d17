"""Prediction-powered inference: many generated rollouts and few true ones give one interval for the true success rate.

PPI (Angelopoulos et al. 2023, arXiv 2301.09633) with the power tuning of PPI++ (2023, arXiv 2311.01453): the mean of the
generated rollouts, corrected by how far they were from the truth where both were run. The correction keeps the interval valid
whatever the world is worth; the better the world foretells single episodes, the narrower it becomes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.errors import ZoetropeError
from robotics.trust.rates import Z95

PSEUDO_PAIRS = 4.0
"""Pairs added, one of each kind, as Agresti and Coull (1998) add two successes and two failures. Without them a world that
erred in none of twenty paired episodes would count as one that never errs, and the interval would miss the truth too often."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Powered:
    """True success rates of P policies, arrays (...) of one shape."""

    value: np.ndarray
    """Prediction-powered estimate."""
    low: np.ndarray
    high: np.ndarray
    """95 % interval."""
    tuning: np.ndarray
    """Lambda, how far the generated rollouts are believed: 0 not at all, 1 fully."""
    error: np.ndarray
    """Standard error with the generated rollouts."""
    error_alone: np.ndarray
    """Standard error of the true rollouts alone."""

    @property
    def rollouts_saved(self) -> float:
        """Share of true rollouts that the generated ones save, all policies together, for intervals of the same width.

        True rollouts alone need (error_alone / error)^2 times as many, as errors fall with the root of their number.
        """
        return float(1 - self.error.size / ((self.error_alone / self.error) ** 2).sum())


def powered(true: np.ndarray, paired: np.ndarray, generated: np.ndarray) -> Powered:
    """Combine `true` and `paired` (..., n), the same episodes in both worlds, with `generated` (..., N) of the world alone.

    Outcomes are booleans; the generated ones may be probabilities as well. Raises ZoetropeError where shapes do not fit.
    """
    if true.shape != paired.shape or 0 in true.shape:
        raise ZoetropeError(f"powered: expected one generated rollout a true one, found {paired.shape} for {true.shape}")
    if generated.shape[:-1] != true.shape[:-1] or generated.shape[-1] < 2:
        raise ZoetropeError(f"powered: expected two further generated rollouts or more a policy, found {generated.shape}")
    Y, F, G = (v.astype(float) for v in (true, paired, generated))
    n, N = Y.shape[-1] + PSEUDO_PAIRS, G.shape[-1]
    half = PSEUDO_PAIRS / 2  # of the pairs added, half hold a success; a quarter holds it in both worlds
    mean_Y, mean_F = ((v.sum(-1) + half) / n for v in (Y, F))
    var_Y, var_F = (((v**2).sum(-1) + half) / n - m**2 for v, m in ((Y, mean_Y), (F, mean_F)))
    covariance = ((Y * F).sum(-1) + half / 2) / n - mean_Y * mean_F
    var_G = G.var(-1, ddof=1)
    tuning = np.clip(covariance / n / (var_G / N + var_F / n), 0.0, 1.0)  # makes the variance below least
    variance = tuning**2 * var_G / N + (var_Y - 2 * tuning * covariance + tuning**2 * var_F) / n
    error = np.sqrt(variance)
    centre = mean_Y + tuning * (G.mean(-1) - mean_F)
    return Powered(
        value=np.clip(Y.mean(-1) + tuning * (G.mean(-1) - F.mean(-1)), 0.0, 1.0),
        low=np.clip(centre - Z95 * error, 0.0, 1.0),
        high=np.clip(centre + Z95 * error, 0.0, 1.0),
        tuning=tuning,
        error=error,
        error_alone=np.sqrt(var_Y / n),
    )
