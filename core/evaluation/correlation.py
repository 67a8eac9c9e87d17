"""Correlations along the last axis, many resamples at once."""

from __future__ import annotations

import numpy as np


def pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson's correlation of a and b (..., P) -> (...); NaN where either does not vary."""
    x, y = (np.asarray(v, float) for v in (a, b))
    x, y = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
    size = np.sqrt((x**2).sum(-1) * (y**2).sum(-1))
    varies = (np.ptp(a, -1) > 0) & (np.ptp(b, -1) > 0) & (size > 0)  # what is constant may leave rounding in its sums
    return np.where(varies, (x * y).sum(-1) / np.where(varies, size, 1.0), np.nan)


def spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Rank correlation of a and b (..., P) -> (...); ties share their mean rank; NaN where all are tied."""
    return pearson(ranks(a), ranks(b))


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0 along the last axis of values (..., P); ties share their mean rank."""
    values = np.asarray(values, float)
    above = values[..., :, None] > values[..., None, :]
    same = values[..., :, None] == values[..., None, :]
    return above.sum(-1) + (same.sum(-1) - 1) / 2
