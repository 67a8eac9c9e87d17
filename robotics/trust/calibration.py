"""Is a predicted success probability what comes true? Reliability bins, Brier score, expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import ZoetropeError
from core.evaluation.intervals import Interval
from robotics.trust.rates import wilson

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """The predictions between two probabilities."""

    low: float
    high: float
    predicted: float
    """Their mean."""
    observed: Interval
    """How often success came."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """How predicted probabilities of success met what happened."""

    bins: tuple[Bin, ...]
    """Those that hold a prediction."""
    brier: float
    """Mean squared error of the probability (Brier 1950), 0 best."""
    brier_base: float
    """The same for one who always says the mean success rate: what a prediction must beat."""
    ece: float
    """Expected calibration error: |predicted - observed| of the bins, weighted by how many they hold (Naeini et al. 2015)."""
    count: int

    def as_dict(self) -> dict[str, Any]:
        bins = [
            {
                "from": b.low,
                "to": b.high,
                "predicted": b.predicted,
                "observed": b.observed.value,
                "ci95": b.observed.bounds,
                "n": b.observed.count,
            }
            for b in self.bins
        ]
        return {"brier": self.brier, "brier_base": self.brier_base, "ece": self.ece, "n": self.count, "bins": bins}


def calibrate(predicted: np.ndarray, happened: np.ndarray, bins: int = BINS) -> Calibration:
    """`predicted` float (...) in [0, 1] against `happened` bool (...), in `bins` of equal width.

    Raises ZoetropeError for other shapes, nothing at all, or what is no probability.
    """
    if predicted.shape != happened.shape or predicted.size == 0:
        raise ZoetropeError(f"calibration: expected one outcome a prediction, found {happened.shape} for {predicted.shape}")
    said, came = predicted.ravel().astype(float), happened.ravel().astype(bool)
    if not ((said >= 0) & (said <= 1)).all():
        raise ZoetropeError("calibration: expected probabilities between 0 and 1")
    which = np.minimum((said * bins).astype(int), bins - 1)
    held = []
    for index in np.unique(which):
        inside = which == index
        observed = wilson(int(came[inside].sum()), int(inside.sum()))
        held.append(Bin(float(index / bins), float((index + 1) / bins), float(said[inside].mean()), observed))
    error = sum(abs(b.predicted - b.observed.value) * b.observed.count for b in held) / len(said)
    base = float(came.mean())
    return Calibration(
        bins=tuple(held), brier=float(np.mean((said - came) ** 2)), brier_base=base * (1 - base), ece=error, count=len(said)
    )
