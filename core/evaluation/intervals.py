"""Means with 95 % bootstrap intervals. Seeded: the same values give the same interval.

Episodes of one level resemble each other, so they are not independent: `groups` (one label a value) makes the bootstrap draw
whole groups, which gives the honest, wider interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the 95 % interval around it."""

    value: float
    low: float
    high: float
    count: int
    """How many values it rests on."""

    @property
    def bounds(self) -> list[float]:
        return [self.low, self.high]


def figure(interval: Interval | None) -> dict[str, Any] | None:
    """As it is reported: its value, its 95 % interval, how many values it rests on; None for what was not measured."""
    if interval is None or not np.isfinite(interval.value):
        return None
    bounds = interval.bounds if np.isfinite(interval.bounds).all() else None
    return {"value": interval.value, "ci95": bounds, "n": interval.count}


def mean(values: Sequence[float] | np.ndarray, groups: Sequence | None = None, seed: int = 0) -> Interval | None:
    """Mean of `values`; those that are not finite (not measured) are left out. None when nothing is left."""
    return ratio(values, None, groups, seed)


def difference(a: Sequence[float], b: Sequence[float], groups: Sequence | None = None, seed: int = 0) -> Interval | None:
    """Mean of the paired differences a[i] - b[i]: much tighter than two separate intervals when both saw the same episode."""
    return mean(np.asarray(a, float) - np.asarray(b, float), groups, seed)


def ratio(
    top: Sequence[float] | np.ndarray,
    bottom: Sequence[float] | np.ndarray | None,
    groups: Sequence | None = None,
    seed: int = 0,
) -> Interval | None:
    """Sum of `top` over sum of `bottom` (None: ones, hence the mean), pairs resampled together."""
    top = np.asarray(top, float)
    bottom = np.ones_like(top) if bottom is None else np.asarray(bottom, float)
    kept = np.isfinite(top) & np.isfinite(bottom)
    labels = np.arange(len(top)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    both = np.stack([top, bottom], -1)[kept]
    return statistic(both, lambda total: total[..., 0] / np.maximum(total[..., 1], 1e-12), labels[kept], seed)


def statistic(
    rows: np.ndarray, function: Callable[[np.ndarray], np.ndarray], groups: Sequence | np.ndarray | None = None, seed: int = 0
) -> Interval | None:
    """Bootstrap any function of a sum over rows: `rows` (N, ...) -> `function` maps sums (R, ...) to figures (R,)."""
    rows = np.asarray(rows, float)
    if len(rows) == 0:
        return None
    labels = np.unique(np.arange(len(rows)) if groups is None else np.asarray(groups), return_inverse=True)[1]
    blocks = np.zeros((labels.max() + 1, *rows.shape[1:]))
    np.add.at(blocks, labels, rows)
    draws = np.random.default_rng(seed).multinomial(len(blocks), np.full(len(blocks), 1 / len(blocks)), size=RESAMPLES)
    resampled = function(np.tensordot(draws.astype(float), blocks, 1))
    finite = resampled[np.isfinite(resampled)]
    known = len(blocks) > 1 and len(finite) > 0  # one group alone says nothing of how much groups differ
    low, high = np.percentile(finite, [2.5, 97.5]) if known else (np.nan, np.nan)
    value = float(function(blocks.sum(0)[None])[0])
    return Interval(value, float(low), float(high), len(rows))
